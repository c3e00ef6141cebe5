/* The sum of each channel over all pixels. */
static void scores_mean(const uint8_t* x, int32_t* y, int pixels, int channels, int32_t zero) {
    for (int c = 0; c < channels; c++) {
        y[c] = 0;
        for (int i = 0; i < pixels; i++) y[c] += x[i * channels + c] - zero;
    }
}
