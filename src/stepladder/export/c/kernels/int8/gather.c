/* What the window at this row and column sees: for each group of channels its rows, columns and channels, `zero` beyond the border.
 */
static void gather(const uint8_t* x, uint8_t* patch, const struct window* w, int row, int column, uint8_t zero) {
    const int channels = w->channels / w->groups, line = w->kernel_width * channels;
    const int whole = w->groups == 1 && w->dilation_width == 1 && column >= 0 && column + w->kernel_width <= w->width;
    for (int g = 0; g < w->groups; g++)
        for (int i = 0; i < w->kernel_height; i++) {
            const int r = row + i * w->dilation_height;
            if (whole && r >= 0 && r < w->height) {
                const uint8_t* from = x + (r * w->width + column) * channels;
                for (int c = 0; c < line; c++) *patch++ = from[c];
                continue;
            }
            for (int j = 0; j < w->kernel_width; j++) {
                const int s = column + j * w->dilation_width;
                const int inside = r >= 0 && r < w->height && s >= 0 && s < w->width;
                const uint8_t* from = inside ? x + (r * w->width + s) * w->channels + g * channels : 0;
                for (int c = 0; c < channels; c++) *patch++ = from ? from[c] : zero;
            }
        }
}
