"""A trained network as a program for inference: what all exports are written from."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepladder.spec import Shape
from stepladder.spec.window import Window

Array = NDArray[Any]
Floats = NDArray[np.float32]

IMAGE = -1
"""In the place of an operation's number: the normalised image."""


class Operation(NamedTuple):
    """One operation on one image. Whatever it takes is read in the shape that it expects: making maps flat is no operation, as
    numbers lie in the order channel, row, column.

    | kind | what it makes of its own input x, and of the source of a join |
    |---|---|
    | conv | `weight` (channels, channels / groups, rows, columns), `bias` (channels,), zeros as padding |
    | linear | `weight` (features, features before), `bias` (features,) |
    | max_pool, avg_pool | of each window; a mean counts the zeros of the padding, a maximum does not see them |
    | mean | of each channel: (channels, height, width) becomes (channels,) |
    | add, multiply | of source and x; x of a product may be one number a channel |
    | scale | the channels of the source times the sigmoid of x, one number a channel |
    | concat | the channels of the source, then those of x |
    | affine | x * `weight` + `bias`, each (channels,) |
    | group_norm | x - mean over its deviation in each of `groups` groups of channels, `parameter` added to the variance, then as \
affine; `weight` and `bias` of shape (channels,), or `before` where each number has its own |
    | function | `function` alone; `weight` holds the slopes of prelu, (channels,) or (1,) |
    """

    kind: str
    inputs: tuple[int, ...]
    """Numbers of the operations it takes, the source of a join first; IMAGE is the image."""
    before: Shape
    """Of its own input x: (channels, height, width) or (features,)."""
    shape: Shape
    """After it."""
    weight: Floats | None = None
    bias: Floats | None = None
    window: Window | None = None
    groups: int = 1
    function: str | None = None
    """Applied at the end, of every kind: relu, leaky_relu (of slope `parameter`), prelu (alone), relu6, elu (of alpha
    `parameter`), silu, hard_swish, gelu, tanh or sigmoid."""
    parameter: float = 0.0


class Program(NamedTuple):
    """Operations in order, the last of which makes the class scores; each channel of an image of `input` (channels, height,
    width), levels from 0 to 255, is normalised first: (level / 255 - mean) / std."""

    operations: tuple[Operation, ...]
    input: tuple[int, int, int]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def arrays(operation: Operation) -> tuple[Floats, Floats]:
    """Weight and bias of an operation that has both."""
    assert operation.weight is not None
    assert operation.bias is not None
    return operation.weight, operation.bias


def taken(operation: Operation) -> list[Shape]:
    """The shape in which an operation takes each of its inputs."""
    if len(operation.inputs) == 1:
        return [operation.before]
    if operation.kind == "concat":
        return [(operation.shape[0] - operation.before[0], *operation.shape[1:]), operation.before]
    return [operation.shape, operation.before]
