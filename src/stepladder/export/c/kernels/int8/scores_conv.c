/* The last layer's sums, on one scale. */
static void scores_conv(const uint8_t* x, int32_t* y, int taps, int classes, const int8_t* weight, const int32_t* bias,
                        const int32_t* multiplier, int32_t middle, const struct requantise* to) {
    for (int o = 0; o < classes; o++, weight += taps) {
        int32_t sums[2] = {bias[o], 0};
        dot(x, weight, weight, taps, sums);
        y[o] = requantised((int64_t)sums[0] * multiplier[o], to) - middle;
    }
}
