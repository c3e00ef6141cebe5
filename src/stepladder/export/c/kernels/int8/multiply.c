/* The product of two values of one shape, or of a with one number a channel (channels > 0). */
static void multiply(const uint8_t* a, const uint8_t* b, uint8_t* y, int numbers, int channels, int32_t zero_a, int32_t zero_b,
                     int32_t multiplier, const struct requantise* to) {
    for (int i = 0; i < numbers; i++) {
        const int32_t product = (a[i] - zero_a) * (b[channels ? i % channels : i] - zero_b);
        y[i] = (uint8_t)requantised((int64_t)product * multiplier, to);
    }
}
