/* Each channel of a times the sigmoid of one number, in 65,535ths, from a table. */
static void scale(const uint8_t* a, const uint8_t* b, uint8_t* y, int pixels, int channels, int32_t zero, const uint16_t* sigmoid,
                  int32_t multiplier, const struct requantise* to) {
    for (int i = 0; i < pixels * channels; i++) {
        const int32_t product = (a[i] - zero) * (int32_t)sigmoid[b[i % channels]];
        y[i] = (uint8_t)requantised((int64_t)product * multiplier, to);
    }
}
