/* Newton's method from above; 0 of 0. */
static float square_root(float v) {
    float root = v > 1.0f ? v : 1.0f;
    for (float next = (root + v / root) / 2.0f; next < root; next = (root + v / root) / 2.0f) root = next;
    return root;
}

/* The norm of each group of channels over all pixels; weight and bias for each channel, or (each) for each number. */
static void group_norm(const float* x, float* y, int pixels, int channels, int groups, float epsilon, const float* weight,
                       const float* bias, int each) {
    const int size = channels / groups, count = pixels * size;
    for (int g = 0; g < groups; g++) {
        float mean = 0.0f, variance = 0.0f;
        for (int i = 0; i < count; i++) mean += x[i / size * channels + g * size + i % size];
        mean /= (float)count;
        for (int i = 0; i < count; i++) {
            const float v = x[i / size * channels + g * size + i % size] - mean;
            variance += v * v;
        }
        const float deviation = square_root(variance / (float)count + epsilon);
        for (int i = 0; i < count; i++) {
            const int c = g * size + i % size, n = i / size * channels + c;
            y[n] = (x[n] - mean) / deviation * weight[each ? n : c] + bias[each ? n : c];
        }
    }
}
