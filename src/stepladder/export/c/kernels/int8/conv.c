/* A convolution, or a linear layer: a window as large as the image. Without a patch what a window sees lies side by side in x.
   The bias holds what the zero of x adds to each sum. */
static void conv(const uint8_t* x, uint8_t* y, uint8_t* patch, const struct window* w, const int8_t* weight, const int32_t* bias,
                 const int32_t* multiplier, uint8_t zero, const struct requantise* to) {
    const int taps = w->kernel_height * w->kernel_width * (w->channels / w->groups);
    const int outputs = w->out_channels / w->groups;
    for (int row = 0; row < w->out_height; row++)
        for (int column = 0; column < w->out_width; column++) {
            const int r = row * w->stride_height - w->padding_height, s = column * w->stride_width - w->padding_width;
            const uint8_t* seen = patch ? patch : x + (r * w->width + s) * w->channels;
            if (patch) gather(x, patch, w, r, s, zero);
            for (int g = 0; g < w->groups; g++, seen += taps)
                for (int i = 0; i < outputs; i += 2) {
                    const int o = g * outputs + i, second = i + 1 < outputs;
                    int32_t sums[2] = {bias[o], bias[o + second]};
                    dot(seen, weight + o * taps, weight + (o + second) * taps, taps, sums);
                    *y++ = (uint8_t)requantised((int64_t)sums[0] * multiplier[o], to);
                    if (second) *y++ = (uint8_t)requantised((int64_t)sums[1] * multiplier[o + 1], to);
                }
        }
}
