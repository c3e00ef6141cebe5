/* x, alpha * (exp(x) - 1) where it is below 0. */
static void elu(const float* x, float* y, int numbers, float alpha) {
    for (int i = 0; i < numbers; i++) y[i] = x[i] > 0.0f ? x[i] : alpha * (exponential(x[i]) - 1.0f);
}
