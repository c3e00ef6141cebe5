/* The mean under each window, zeros beyond the border included. */
static void avg_pool(const float* x, float* y, const struct window* w) {
    for (int row = 0; row < w->out_height; row++)
        for (int column = 0; column < w->out_width; column++)
            for (int c = 0; c < w->channels; c++) {
                float sum = 0.0f;
                for (int i = 0; i < w->kernel_height; i++)
                    for (int j = 0; j < w->kernel_width; j++) {
                        const int r = row * w->stride_height - w->padding_height + i;
                        const int s = column * w->stride_width - w->padding_width + j;
                        if (r >= 0 && r < w->height && s >= 0 && s < w->width) sum += x[(r * w->width + s) * w->channels + c];
                    }
                *y++ = sum / (float)(w->kernel_height * w->kernel_width);
            }
}
