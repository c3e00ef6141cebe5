/* How a window slides over an image of rows x columns x channels. */
struct window {
    int height, width, channels, out_height, out_width, out_channels, groups;
    int kernel_height, kernel_width, stride_height, stride_width;
    int padding_height, padding_width, dilation_height, dilation_width;
};
