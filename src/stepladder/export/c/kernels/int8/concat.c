/* So many channels of each pixel, to their place among those of y and to its scale. */
static void concat(const uint8_t* x, uint8_t* y, int pixels, int channels, int of, int32_t multiplier,
                   const struct requantise* to) {
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < channels; c++) y[i * of + c] = (uint8_t)requantised((int64_t)x[i * channels + c] * multiplier, to);
}
