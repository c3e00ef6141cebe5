/* x times its sigmoid. */
static void silu(const float* x, float* y, int numbers) {
    for (int i = 0; i < numbers; i++) y[i] = x[i] / (1.0f + exponential(-x[i]));
}
