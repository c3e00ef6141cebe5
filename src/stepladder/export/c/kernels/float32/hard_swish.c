/* x times ReLU6(x + 3) / 6. */
static void hard_swish(const float* x, float* y, int numbers) {
    for (int i = 0; i < numbers; i++) y[i] = x[i] * (x[i] < -3.0f ? 0.0f : x[i] > 3.0f ? 6.0f : x[i] + 3.0f) / 6.0f;
}
