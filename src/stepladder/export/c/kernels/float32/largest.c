/* The place of the largest score, the first of several. */
static int largest(const float* scores, int classes) {
    int best = 0;
    for (int i = 1; i < classes; i++)
        if (scores[i] > scores[best]) best = i;
    return best;
}
