/* A channel after the other, as features are counted. */
static void flatten(const float* x, float* y, int pixels, int channels) {
    for (int c = 0; c < channels; c++)
        for (int i = 0; i < pixels; i++) *y++ = x[i * channels + c];
}
