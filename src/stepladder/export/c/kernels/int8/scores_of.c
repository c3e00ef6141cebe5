/* The numbers as scores. */
static void scores_of(const uint8_t* x, int32_t* y, int classes, int32_t zero) {
    for (int i = 0; i < classes; i++) y[i] = x[i] - zero;
}
