/* A channel after the other, as features are counted. */
static void flatten(const uint8_t* x, uint8_t* y, int pixels, int channels) {
    for (int c = 0; c < channels; c++)
        for (int i = 0; i < pixels; i++) *y++ = x[i * channels + c];
}
