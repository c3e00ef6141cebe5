/* x times the share of the standard normal distribution below it, by the error function to 1.5e-7 (Abramowitz and Stegun 7.1.26).
 */
static void gelu(const float* x, float* y, int numbers) {
    for (int i = 0; i < numbers; i++) {
        const float v = (x[i] < 0.0f ? -x[i] : x[i]) * 0.707106781f, t = 1.0f / (1.0f + 0.3275911f * v);
        const float poly = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
        const float half = poly * exponential(-v * v) / 2.0f;
        y[i] = x[i] * (x[i] < 0.0f ? half : 1.0f - half);
    }
}
