/* 1 / (1 + exp(-x)). */
static void sigmoid(const float* x, float* y, int numbers) {
    for (int i = 0; i < numbers; i++) y[i] = 1.0f / (1.0f + exponential(-x[i]));
}
