/* The mean under each window, zeros beyond the border included. */
static void avg_pool(const uint8_t* x, uint8_t* y, const struct window* w, int32_t multiplier, uint8_t zero,
                     const struct requantise* to) {
    for (int row = 0; row < w->out_height; row++)
        for (int column = 0; column < w->out_width; column++)
            for (int c = 0; c < w->channels; c++) {
                int32_t sum = 0;
                for (int i = 0; i < w->kernel_height; i++)
                    for (int j = 0; j < w->kernel_width; j++) {
                        const int r = row * w->stride_height - w->padding_height + i;
                        const int s = column * w->stride_width - w->padding_width + j;
                        if (r >= 0 && r < w->height && s >= 0 && s < w->width)
                            sum += x[(r * w->width + s) * w->channels + c] - zero;
                    }
                *y++ = (uint8_t)requantised((int64_t)sum * multiplier, to);
            }
}
