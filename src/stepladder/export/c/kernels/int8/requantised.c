/* To a value's scale: all that is below 0 after the shift is below every bound, so that no negative number is shifted. */
struct requantise {
    int shift;
    int64_t offset; /* what stands for 0, and a half to round, shifted */
    int32_t least, most;
};

static int32_t requantised(int64_t product, const struct requantise* to) {
    product += to->offset;
    if (product < 0) return to->least;
    product >>= to->shift;
    return product < to->least ? to->least : product > to->most ? to->most : (int32_t)product;
}
