/* Levels, a channel after the other, to one scale, the channels of a pixel side by side. */
static void image_in(const uint8_t* x, uint8_t* y, int pixels, int channels, const int32_t* multiplier,
                     const struct requantise* to) {
    for (int c = 0; c < channels; c++)
        for (int i = 0; i < pixels; i++)
            y[i * channels + c] = (uint8_t)requantised((int64_t)x[c * pixels + i] * multiplier[c], to + c);
}
