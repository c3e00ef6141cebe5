/* Levels, a channel after the other, as numbers of deviation 1, the channels of a pixel side by side. */
static void image_in(const uint8_t* x, float* y, int pixels, int channels, const float* mean, const float* std) {
    for (int c = 0; c < channels; c++)
        for (int i = 0; i < pixels; i++) y[i * channels + c] = ((float)x[c * pixels + i] / 255.0f - mean[c]) / std[c];
}
