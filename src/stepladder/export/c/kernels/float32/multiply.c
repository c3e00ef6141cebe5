/* The product of two values of one shape, or of a with one number a channel (channels > 0). */
static void multiply(const float* a, const float* b, float* y, int numbers, int channels) {
    for (int i = 0; i < numbers; i++) y[i] = a[i] * b[channels ? i % channels : i];
}
