"""Layers and networks as values: frozen, validated when made, of the standard library alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, get_args

from stepladder.spec.check import SpecError, one_of, whole

Shape = tuple[int, ...]
"""(channels, height, width) of an image, or (features,) once it is flat."""


def _image(layer: object, shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise SpecError(f"its input is flat ({shape[0]} features), expected channels x height x width")
    return shape[0], shape[1], shape[2]


def _window(size: tuple[int, int], kernel: int, stride: int, padding: int) -> tuple[int, int]:
    """Output height and width of a sliding window (floor division, as torch does)."""
    if kernel > min(size) + 2 * padding:
        raise SpecError(f"its {kernel} x {kernel} window is larger than its input, {size[0]} x {size[1]} padded by {padding}")
    height, width = ((side + 2 * padding - kernel) // stride + 1 for side in size)
    return height, width


@dataclass(frozen=True)
class Conv:
    """A square convolution, then batch norm (unless `norm=None`), then ReLU (unless `activation=None`).

    `padding` is zeros on each side, `groups=channels` (of the input) makes it depthwise.
    """

    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 0
    groups: int = 1
    bias: bool = False
    norm: Literal["batch"] | None = "batch"
    activation: Literal["relu"] | None = "relu"

    def __post_init__(self) -> None:
        for field in ("channels", "kernel", "stride", "groups"):
            whole(self, field, least=1)
        whole(self, "padding", least=0)
        one_of(self, "bias", (True, False))
        one_of(self, "norm", ("batch", None))
        one_of(self, "activation", ("relu", None))

    def output(self, shape: Shape) -> Shape:
        """Shape after this layer; raises SpecError where it does not fit."""
        channels, height, width = _image(self, shape)
        if channels % self.groups or self.channels % self.groups:
            raise SpecError(
                f"{self.groups} groups divide neither or only one of {channels} input and {self.channels} output channels"
            )
        return (self.channels, *_window((height, width), self.kernel, self.stride, self.padding))

    def parameters(self, shape: Shape) -> int:
        """Trained numbers: weights, bias, and the norm's scale and shift."""
        weights = self.channels * shape[0] // self.groups * self.kernel**2
        return weights + self.channels * (self.bias + 2 * (self.norm is not None))


@dataclass(frozen=True)
class MaxPool:
    """Max pooling over `kernel` x `kernel`; `stride=None` means the kernel's size."""

    kernel: int = 2
    stride: int | None = None
    padding: int = 0

    def __post_init__(self) -> None:
        whole(self, "kernel", least=1)
        whole(self, "padding", least=0)
        if self.stride is not None:
            whole(self, "stride", least=1)
        if self.padding > self.kernel // 2:
            raise SpecError(f"{self}: padding is at most half the kernel ({self.kernel // 2}), got {self.padding}")

    @property
    def step(self) -> int:
        """The stride in effect."""
        return self.stride or self.kernel

    def output(self, shape: Shape) -> Shape:
        """Shape after this layer; raises SpecError where it does not fit."""
        channels, height, width = _image(self, shape)
        return (channels, *_window((height, width), self.kernel, self.step, self.padding))

    def parameters(self, shape: Shape) -> int:
        """None are trained."""
        return 0


@dataclass(frozen=True)
class AvgPool:
    """The mean over `kernel` x `kernel`; `stride=None` means the kernel's size (LeCun et al. 1998, without their weights)."""

    kernel: int = 2
    stride: int | None = None

    def __post_init__(self) -> None:
        whole(self, "kernel", least=1)
        if self.stride is not None:
            whole(self, "stride", least=1)

    @property
    def step(self) -> int:
        """The stride in effect."""
        return self.stride or self.kernel

    def output(self, shape: Shape) -> Shape:
        """Shape after this layer; raises SpecError where it does not fit."""
        channels, height, width = _image(self, shape)
        return (channels, *_window((height, width), self.kernel, self.step, 0))

    def parameters(self, shape: Shape) -> int:
        """None are trained."""
        return 0


@dataclass(frozen=True)
class GlobalAvgPool:
    """The mean of each channel: (channels, height, width) becomes (channels,)."""

    def output(self, shape: Shape) -> Shape:
        """Shape after this layer; raises SpecError where it does not fit."""
        return (_image(self, shape)[0],)

    def parameters(self, shape: Shape) -> int:
        """None are trained."""
        return 0


@dataclass(frozen=True)
class Flatten:
    """(channels, height, width) becomes (channels * height * width,)."""

    def output(self, shape: Shape) -> Shape:
        """Shape after this layer; raises SpecError where it does not fit."""
        return (prod(_image(self, shape)),)

    def parameters(self, shape: Shape) -> int:
        """None are trained."""
        return 0


@dataclass(frozen=True)
class Linear:
    """A fully connected layer on flat input, then ReLU if `activation="relu"`."""

    features: int
    bias: bool = True
    activation: Literal["relu"] | None = None

    def __post_init__(self) -> None:
        whole(self, "features", least=1)
        one_of(self, "bias", (True, False))
        one_of(self, "activation", ("relu", None))

    def output(self, shape: Shape) -> Shape:
        """Shape after this layer; raises SpecError where it does not fit."""
        if len(shape) != 1:
            raise SpecError(
                f"its input is {' x '.join(map(str, shape))}, expected flat features: put GlobalAvgPool() or Flatten() before it"
            )
        return (self.features,)

    def parameters(self, shape: Shape) -> int:
        """Weights and bias."""
        return self.features * (shape[0] + self.bias)


Layer = Conv | MaxPool | AvgPool | GlobalAvgPool | Flatten | Linear


@dataclass(frozen=True)
class Network:
    """An architecture: layers applied in order to images of `input` (channels, height, width), ending in one number a class."""

    layers: Sequence[Layer]
    input: tuple[int, int, int] = (1, 28, 28)
    classes: int = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "input", tuple(self.input))
        whole(self, "classes", least=2)
        if len(self.input) != 3 or any(type(side) is not int or side < 1 for side in self.input):
            raise SpecError(f"Network: input is {self.input!r}, expected three whole numbers: channels, height, width")
        if not self.layers:
            raise SpecError("Network: it has no layers")
        if (final := self.shapes()[-1]) != (self.classes,):
            raise SpecError(
                f"layer {len(self.layers)}, {self.layers[-1]}: the network ends in {' x '.join(map(str, final))} "
                f"numbers, expected one for each of {self.classes} classes"
            )

    def shapes(self) -> list[Shape]:
        """The shape before the first layer and after each: one more than there are layers."""
        shapes: list[Shape] = [self.input]
        for number, layer in enumerate(self.layers, start=1):
            if not isinstance(layer, Layer):
                names = ", ".join(kind.__name__ for kind in get_args(Layer))
                raise SpecError(f"layer {number} is {layer!r}, expected one of {names}")
            try:
                shapes.append(layer.output(shapes[-1]))
            except SpecError as error:
                raise SpecError(f"layer {number}, {layer}: {error}") from None
        return shapes

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(layer.parameters(shape) for layer, shape in zip(self.layers, self.shapes(), strict=False))
