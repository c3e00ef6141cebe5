"""What sliding windows see, in numpy."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from stepladder.inference.steps import Step

Array = NDArray[Any]


def seen(x: Array, step: Step, beyond: float) -> Array:
    """(n, rows, columns, channels, kernel height, kernel width) of images (n, height, width, channels), `beyond` the border."""
    window = step.window
    (up, left), (height, width), (down, right) = window.padding, window.kernel, window.dilation
    padded = np.pad(x, ((0, 0), (up, up), (left, left), (0, 0)), constant_values=beyond)
    reach = ((height - 1) * down + 1, (width - 1) * right + 1)
    found = sliding_window_view(padded, reach, axis=(1, 2))
    return found[:, :: window.stride[0], :: window.stride[1], :, ::down, ::right]


def convolved(x: Array, weight: Array, step: Step, beyond: float = 0.0) -> Array:
    """The sums of a convolution (n, rows, columns, outputs), in the type of x."""
    patches = seen(x, step, beyond)
    n, rows, columns, channels, *kernel = patches.shape
    if step.depthwise:
        return np.asarray(np.einsum("nrcgij,gij->nrcg", patches, weight[..., 0], optimize=True))
    groups, inputs, outputs = step.groups, channels // step.groups, len(weight) // step.groups
    rows_of = patches.reshape(n * rows * columns, groups, inputs * kernel[0] * kernel[1])
    each = weight.transpose(0, 3, 1, 2).reshape(groups, outputs, -1)
    sums = [rows_of[:, group] @ each[group].T for group in range(groups)]
    return np.concatenate(sums, axis=1).reshape(n, rows, columns, -1)
