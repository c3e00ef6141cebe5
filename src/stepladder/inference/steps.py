"""A program as steps on images of rows x columns x channels, the order in which a convolution's inner loop runs through memory."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from stepladder.inference.operation import IMAGE, Floats, Operation, Program
from stepladder.spec import Shape, UserError
from stepladder.spec.window import Window

POINT = Window((1, 1))

SUMS = ("conv", "linear", "affine", "add")
"""Kinds that end in a ReLU at no cost."""


class Step(NamedTuple):
    """What is computed of earlier values. Step n makes value n."""

    kind: str
    """`image`, `conv` (linear layers and channels scaled and shifted too), `max_pool`, `avg_pool` (means of whole images too),
    `add`, `multiply`, `scale`, `concat`, `function`, `group_norm`, or `flatten` (to a channel after the other)."""
    inputs: tuple[int, ...]
    before: tuple[int, int, int]
    """Height, width and channels of its own input, the last."""
    shape: tuple[int, int, int]
    weight: Floats | None = None
    """(outputs, kernel height, kernel width, inputs of a group) of a convolution; of others what they need."""
    bias: Floats | None = None
    window: Window = POINT
    groups: int = 1
    function: str | None = None
    parameter: float = 0.0
    operation: int = IMAGE
    """Of the program that it is or ends in."""

    @property
    def size(self) -> int:
        """How many numbers it makes."""
        return prod(self.shape)

    @property
    def depthwise(self) -> bool:
        """Whether it is a convolution of each channel for itself."""
        return self.kind == "conv" and self.groups == self.before[2] == self.shape[2]

    @property
    def taps(self) -> int:
        """How many numbers each output of a convolution is made of."""
        assert self.weight is not None
        return int(self.weight[0].size)

    @property
    def patch(self) -> int:
        """How many numbers a convolution gathers at a time: none where a window's lie side by side."""
        if self.kind != "conv" or self.depthwise:
            return 0
        (height, width), line = self.window.kernel, self.before[1]
        together = self.groups == 1 and self.window.padding == (0, 0) and self.window.dilation == (1, 1)
        return 0 if together and (height == 1 or width == line) else self.taps * self.groups

    @property
    def macs(self) -> int:
        """Multiplications by a weight."""
        return self.size * self.taps if self.kind == "conv" else 0


def steps(program: Program, raw: bool) -> list[Step]:
    """The steps of an unfused program. `raw` reads grey levels where they lie; else, and of several channels, the first step makes
    an image of them."""
    channels, height, width = program.input
    image = (height, width, channels)
    made = [] if raw and channels == 1 else [Step("image", (IMAGE,), image, image)]
    of = {IMAGE: len(made) - 1}  # the value of each operation
    for number, operation in enumerate(program.operations):
        inputs: list[int] = []
        for value in (of[each] for each in operation.inputs):
            before = image if value == IMAGE else made[value].shape
            expected = operation.before if len(inputs) == len(operation.inputs) - 1 else operation.shape
            if len(expected) == 1 and before[:2] != (1, 1) and operation.kind != "linear":
                made.append(Step("flatten", (value,), before, (1, 1, prod(before))))  # features are counted channel by channel
                value = len(made) - 1
            inputs.append(value)
        own = image if inputs[-1] == IMAGE else made[inputs[-1]].shape
        made.append(_step(operation, tuple(inputs), own)._replace(operation=number))
        of[number] = len(made) - 1
    return made


def unfused(program: Program) -> Program:
    """The same, each function but a ReLU at the end of a sum an operation of its own."""
    made: list[Operation] = []
    of = {IMAGE: IMAGE}
    for number, operation in enumerate(program.operations):
        operation = operation._replace(inputs=tuple(of[value] for value in operation.inputs))
        function, shape = operation.function, operation.shape
        if function is None or operation.kind == "function" or (function == "relu" and operation.kind in SUMS):
            made.append(operation)
        else:
            made.append(operation._replace(function=None))
            made.append(Operation("function", (len(made) - 1,), shape, shape, function=function, parameter=operation.parameter))
        of[number] = len(made) - 1
    return program._replace(operations=tuple(made))


def check_integers(found: Sequence[Step]) -> None:
    """Raise UserError for what is not written in integers."""
    for step in found:
        if step.kind == "group_norm":
            raise UserError("GroupNorm and LayerNorm cannot be written in int8: they need the values' mean and deviation in floats")
        if step.kind == "function" and step.weight is not None and step.weight.size > 1:
            raise UserError("PReLU(per_channel=True) cannot be written in int8, expected one slope for all")


def scored(step: Step) -> str:
    """How the last step makes scores of its sums, which tell more than 8 bits."""
    if step.kind == "conv" and step.shape[:2] == (1, 1) and not step.patch and not step.depthwise:
        return "conv"
    return "mean" if step.kind == "avg_pool" and step.window.kernel == step.before[:2] else ""


def _step(operation: Operation, inputs: tuple[int, ...], before: tuple[int, int, int]) -> Step:
    """An operation as a step."""
    shape, weight, bias = _placed(operation.shape), operation.weight, operation.bias
    relu = operation.function
    match operation.kind:
        case "conv":
            assert weight is not None
            assert operation.window is not None
            window = operation.window
            return Step("conv", inputs, before, shape, weight.transpose(0, 2, 3, 1), bias, window, operation.groups, relu)
        case "linear":
            assert weight is not None
            height, width, channels = before
            seen = weight.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
            return Step("conv", inputs, before, shape, seen, bias, Window((height, width)), function=relu)
        case "affine":
            channels = before[2]
            each = [np.broadcast_to(np.asarray(array, np.float32).reshape(-1), channels) for array in (weight, bias)]
            return Step("conv", inputs, before, shape, each[0].reshape(-1, 1, 1, 1), each[1], groups=channels, function=relu)
        case "max_pool" | "avg_pool":
            assert operation.window is not None
            return Step(operation.kind, inputs, before, shape, window=operation.window)
        case "mean":
            return Step("avg_pool", inputs, before, shape, window=Window(before[:2], before[:2]))
        case "add":
            return Step("add", inputs, before, shape, function=relu)
        case "multiply" | "scale" | "concat":
            return Step(operation.kind, inputs, before, shape)
        case "function":
            return Step("function", inputs, before, shape, weight, function=operation.function, parameter=operation.parameter)
        case "group_norm":
            assert weight is not None
            assert bias is not None
            weight, bias = (array.transpose(1, 2, 0) if array.ndim == 3 else array for array in (weight, bias))
            groups, epsilon = operation.groups, operation.parameter
            return Step("group_norm", inputs, before, shape, weight, bias, groups=groups, parameter=epsilon)
    raise UserError(f"a layer of kind {operation.kind} cannot be written in C")


def _placed(shape: Shape) -> tuple[int, int, int]:
    """Height, width and channels; features are the channels of one pixel."""
    return (shape[1], shape[2], shape[0]) if len(shape) == 3 else (1, 1, shape[0])
