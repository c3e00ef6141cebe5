/* x, times the slope where it is below 0. */
static void leaky_relu(const float* x, float* y, int numbers, float slope) {
    for (int i = 0; i < numbers; i++) y[i] = x[i] > 0.0f ? x[i] : slope * x[i];
}
