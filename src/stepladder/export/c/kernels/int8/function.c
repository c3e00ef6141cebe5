/* A function of each number, from a table. */
static void function(const uint8_t* x, uint8_t* y, int numbers, const uint8_t* table) {
    for (int i = 0; i < numbers; i++) y[i] = table[x[i]];
}
