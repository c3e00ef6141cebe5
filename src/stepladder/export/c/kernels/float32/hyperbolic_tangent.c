/* The hyperbolic tangent. */
static void hyperbolic_tangent(const float* x, float* y, int numbers) {
    for (int i = 0; i < numbers; i++) y[i] = 1.0f - 2.0f / (1.0f + exponential(2.0f * x[i]));
}
