/* x where it is above 0. */
static void relu(const float* x, float* y, int numbers) {
    for (int i = 0; i < numbers; i++) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
