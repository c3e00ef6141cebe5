/* A convolution of each channel for itself; what lies beyond the border adds nothing. */
static void depthwise(const float* x, float* y, const struct window* w, const float* weight, const float* bias, int relu) {
    const int height = w->kernel_height, width = w->kernel_width, channels = w->channels;
    const int right = w->dilation_width * channels, down = w->dilation_height * w->width * channels;
    for (int row = 0; row < w->out_height; row++)
        for (int column = 0; column < w->out_width; column++) {
            const int r = row * w->stride_height - w->padding_height, s = column * w->stride_width - w->padding_width;
            const int whole = r >= 0 && r + (height - 1) * w->dilation_height < w->height && s >= 0 &&
                              s + (width - 1) * w->dilation_width < w->width;
            const float* v = weight;
            for (int c = 0; c < channels; c++) {
                float sum = bias[c];
                const float* line = whole ? x + (r * w->width + s) * channels + c : 0;
                if (whole && width == 3)
                    for (int i = 0; i < height; i++, line += down, v += 3)
                        sum += line[0] * v[0] + line[right] * v[1] + line[2 * right] * v[2];
                else
                    for (int i = 0; i < height; i++)
                        for (int j = 0; j < width; j++, v++) {
                            const int p = r + i * w->dilation_height, q = s + j * w->dilation_width;
                            if (p >= 0 && p < w->height && q >= 0 && q < w->width) sum += x[(p * w->width + q) * channels + c] * *v;
                        }
                *y++ = relu && sum < 0.0f ? 0.0f : sum;
            }
        }
}
