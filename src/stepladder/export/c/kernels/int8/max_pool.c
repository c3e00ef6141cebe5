/* The largest number under each window. */
static void max_pool(const uint8_t* x, uint8_t* y, const struct window* w) {
    for (int row = 0; row < w->out_height; row++)
        for (int column = 0; column < w->out_width; column++)
            for (int c = 0; c < w->channels; c++) {
                const uint8_t* largest = 0;
                for (int i = 0; i < w->kernel_height; i++)
                    for (int j = 0; j < w->kernel_width; j++) {
                        const int r = row * w->stride_height - w->padding_height + i * w->dilation_height;
                        const int s = column * w->stride_width - w->padding_width + j * w->dilation_width;
                        if (r >= 0 && r < w->height && s >= 0 && s < w->width) {
                            const uint8_t* v = x + (r * w->width + s) * w->channels + c;
                            largest = largest && *largest >= *v ? largest : v;
                        }
                    }
                *y++ = *largest;
            }
}
