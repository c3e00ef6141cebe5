/* x between 0 and 6. */
static void relu6(const float* x, float* y, int numbers) {
    for (int i = 0; i < numbers; i++) y[i] = x[i] < 0.0f ? 0.0f : x[i] > 6.0f ? 6.0f : x[i];
}
