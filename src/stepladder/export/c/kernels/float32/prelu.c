/* x, times its channel's slope where it is below 0. */
static void prelu(const float* x, float* y, int numbers, int channels, const float* slopes) {
    for (int i = 0; i < numbers; i++) y[i] = x[i] > 0.0f ? x[i] : slopes[i % channels] * x[i];
}
