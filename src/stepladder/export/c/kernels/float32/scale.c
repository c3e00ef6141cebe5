/* Each channel of a times the sigmoid of one number. */
static void scale(const float* a, const float* b, float* y, int pixels, int channels) {
    for (int c = 0; c < channels; c++) {
        const float factor = 1.0f / (1.0f + exponential(-b[c]));
        for (int i = c; i < pixels * channels; i += channels) y[i] = a[i] * factor;
    }
}
