/* e to the power of v: 2 to a whole power times a Taylor polynomial on [-ln(2) / 2, ln(2) / 2]. */
static float exponential(float v) {
    if (v > 88.0f) v = 88.0f;
    if (v < -87.0f) return 0.0f;
    const int power = (int)(v * 1.44269504f + (v < 0.0f ? -0.5f : 0.5f));
    const float r = v - (float)power * 0.693359375f + (float)power * 2.12194440e-4f;
    float y = 1.0f + r * (1.0f + r / 2.0f * (1.0f + r / 3.0f * (1.0f + r / 4.0f * (1.0f + r / 5.0f * (1.0f + r / 6.0f)))));
    for (int i = 0; i < power; i++) y *= 2.0f;
    for (int i = 0; i > power; i--) y *= 0.5f;
    return y;
}
