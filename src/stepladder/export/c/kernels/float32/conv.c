/* What the window at this row and column sees: for each group of channels its rows, columns and channels, 0 beyond the border. */
static void gather(const float* x, float* patch, const struct window* w, int row, int column) {
    const int channels = w->channels / w->groups;
    for (int g = 0; g < w->groups; g++)
        for (int i = 0; i < w->kernel_height; i++)
            for (int j = 0; j < w->kernel_width; j++) {
                const int r = row + i * w->dilation_height, s = column + j * w->dilation_width;
                const int inside = r >= 0 && r < w->height && s >= 0 && s < w->width;
                const float* from = inside ? x + (r * w->width + s) * w->channels + g * channels : 0;
                for (int c = 0; c < channels; c++) *patch++ = from ? from[c] : 0.0f;
            }
}

/* Two sums of products of the same x. */
static void dot(const float* x, const float* v, const float* w, int taps, float* sums) {
    float a = sums[0], b = sums[1];
    for (const float* end = x + taps; x < end; x++, v++, w++) {
        a += *x * *v;
        b += *x * *w;
    }
    sums[0] = a;
    sums[1] = b;
}

/* A convolution, or a linear layer: a window as large as the image. Without a patch what a window sees lies side by side in x. */
static void conv(const float* x, float* y, float* patch, const struct window* w, const float* weight, const float* bias, int relu) {
    const int taps = w->kernel_height * w->kernel_width * (w->channels / w->groups);
    const int outputs = w->out_channels / w->groups;
    for (int row = 0; row < w->out_height; row++)
        for (int column = 0; column < w->out_width; column++) {
            const int r = row * w->stride_height - w->padding_height, s = column * w->stride_width - w->padding_width;
            const float* seen = patch ? patch : x + (r * w->width + s) * w->channels;
            if (patch) gather(x, patch, w, r, s);
            for (int g = 0; g < w->groups; g++, seen += taps)
                for (int i = 0; i < outputs; i += 2) {
                    const int o = g * outputs + i, second = i + 1 < outputs;
                    float sums[2] = {bias[o], bias[o + second]};
                    dot(seen, weight + o * taps, weight + (o + second) * taps, taps, sums);
                    *y++ = relu && sums[0] < 0.0f ? 0.0f : sums[0];
                    if (second) *y++ = relu && sums[1] < 0.0f ? 0.0f : sums[1];
                }
        }
}
