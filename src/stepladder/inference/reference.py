"""What a program computes, in numpy: the reference that exports are compared with."""

from math import erf
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from stepladder.inference.operation import IMAGE, Floats, Operation, Program, arrays
from stepladder.spec.window import Window

BATCH = 250
"""So many images are answered at a time."""


def run(program: Program, images: NDArray[np.uint8]) -> Floats:
    """Class scores (n, classes) of grey or colour levels (n, channels, height, width)."""
    parts = np.array_split(images, max(1, -(-len(images) // BATCH)))
    return np.concatenate([values(program, part)[-1].reshape(len(part), len(program.classes)) for part in parts])


def values(program: Program, images: NDArray[np.uint8]) -> list[Floats]:
    """What each operation makes of a batch: (n, *shape) each."""
    image, made = normalised(program, images), list[Floats]()
    for operation in program.operations:
        made.append(applied(operation, [image if own == IMAGE else made[own] for own in operation.inputs]))
    return made


def normalised(program: Program, images: NDArray[np.uint8]) -> Floats:
    """The levels of images as the network takes them."""
    mean, std = (np.array(each, np.float32)[:, None, None] for each in (program.mean, program.std))
    found: Floats = (images.astype(np.float32) / np.float32(255) - mean) / std
    return found


def applied(operation: Operation, inputs: list[Floats]) -> Floats:
    """What an operation makes of its inputs, (n, ...) each."""
    source, x = inputs[0], inputs[-1].reshape(-1, *operation.before)
    made = _made(operation, source, x).reshape(len(x), *operation.shape)
    found: Floats = _function(operation, made).astype(np.float32)
    return found


def _made(operation: Operation, source: Floats, x: Floats) -> Any:
    shape = (-1, *operation.shape)
    match operation.kind:
        case "conv" | "linear" | "affine" | "group_norm":
            return _weighted(operation, x)
        case "max_pool":
            return _windows(x, operation.window, -np.inf).max((4, 5))
        case "avg_pool":
            return _windows(x, operation.window).mean((4, 5), dtype=np.float32)
        case "mean":
            return x.mean((2, 3))
        case "add":
            return source.reshape(x.shape) + x
        case "multiply":
            return source.reshape(shape) * _spread(x, operation)
        case "scale":
            return source.reshape(shape) * _spread(_sigmoid(x), operation)
        case "concat":
            channels = operation.shape[0] - operation.before[0]
            return np.concatenate([source.reshape(-1, channels, *operation.shape[1:]), x], 1)
        case "function":
            return x
    raise ValueError(f"{operation.kind} is no operation")


def _weighted(operation: Operation, x: Floats) -> Floats:
    weight, bias = arrays(operation)
    if operation.kind == "conv":
        return _conv(x, weight, operation.window, operation.groups) + bias[:, None, None]
    if operation.kind == "linear":
        return x @ weight.T + bias
    if operation.kind == "group_norm":
        groups = x.reshape(len(x), operation.groups, -1).astype(np.float64)
        mean, variance = groups.mean(2, keepdims=True), groups.var(2, keepdims=True)
        x = ((groups - mean) / np.sqrt(variance + operation.parameter)).reshape(x.shape).astype(np.float32)
    return x * _each(weight, x) + _each(bias, x)


def _conv(x: Floats, weight: Floats, window: Window | None, groups: int) -> Floats:
    taps = _windows(x, window)
    n, _, height, width, *_ = taps.shape
    made = list[Floats]()
    for part, own in zip(np.split(taps, groups, 1), np.split(weight, groups), strict=True):
        columns = part.transpose(0, 2, 3, 1, 4, 5).reshape(n * height * width, -1)
        made.append((columns @ own.reshape(len(own), -1).T).reshape(n, height, width, -1))
    return np.concatenate(made, 3).transpose(0, 3, 1, 2)


def _windows(x: Floats, window: Window | None, padding: float = 0.0) -> Floats:
    """(n, channels, places down, places along, taps down, taps along)."""
    assert window
    rows, columns = ((side, side) for side in window.padding)
    padded = np.pad(x, ((0, 0), (0, 0), rows, columns), constant_values=padding)
    sides = [dilation * (kernel - 1) + 1 for kernel, dilation in zip(window.kernel, window.dilation, strict=True)]
    found: Floats = sliding_window_view(padded, sides, (2, 3))
    return found[:, :, :: window.stride[0], :: window.stride[1], :: window.dilation[0], :: window.dilation[1]]


def _spread(x: Floats, operation: Operation) -> Floats:
    """Numbers for each place of a map, or one for each channel."""
    return x if x.shape[1:] == operation.shape else x.reshape(len(x), -1, 1, 1)


def _each(array: Floats, x: Floats) -> Floats:
    """A number for each channel, or for each number of an image."""
    return array if array.shape == x.shape[1:] else array.reshape(-1, *[1] * (x.ndim - 2))


def _slopes(operation: Operation, x: Floats) -> Floats:
    assert operation.weight is not None
    return operation.weight if len(operation.weight) == 1 else _each(operation.weight, x)


def _sigmoid(x: Floats) -> Floats:
    found: Floats = 0.5 * (1 + np.tanh(0.5 * x))
    return found


def _function(operation: Operation, x: Floats) -> Any:
    match operation.function:
        case None:
            return x
        case "relu":
            return np.maximum(x, 0)
        case "leaky_relu":
            return np.where(x > 0, x, operation.parameter * x)
        case "prelu":
            return np.where(x > 0, x, _slopes(operation, x) * x)
        case "relu6":
            return np.clip(x, 0, 6)
        case "elu":
            return np.where(x > 0, x, operation.parameter * np.expm1(np.minimum(x, 0)))
        case "silu":
            return x * _sigmoid(x)
        case "hard_swish":
            return x * np.clip(x + 3, 0, 6) / 6
        case "gelu":
            return x * 0.5 * (1 + np.frompyfunc(erf, 1, 1)(x / np.sqrt(2)).astype(np.float32))
        case "tanh":
            return np.tanh(x)
        case "sigmoid":
            return _sigmoid(x)
    raise ValueError(f"{operation.function} is no function")
