/* So many channels of each pixel, to their place among those of y. */
static void concat(const float* x, float* y, int pixels, int channels, int of) {
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < channels; c++) y[i * of + c] = x[i * channels + c];
}
