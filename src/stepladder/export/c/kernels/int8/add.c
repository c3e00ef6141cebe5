/* The sum of two values of one shape, each on its scale. */
static void add(const uint8_t* a, const uint8_t* b, uint8_t* y, int numbers, int32_t by_a, int32_t by_b,
                const struct requantise* to) {
    for (int i = 0; i < numbers; i++) y[i] = (uint8_t)requantised((int64_t)a[i] * by_a + (int64_t)b[i] * by_b, to);
}
