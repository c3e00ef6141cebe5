"""Layers whose weights multiply: convolutions and fully connected ones."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal

from stepladder.spec.check import SpecError, one_of, whole
from stepladder.spec.layers.shape import Shape, image_of, later, without_window, written
from stepladder.spec.window import Window


@dataclass(frozen=True)
class Conv:
    """A square convolution, then batch norm (unless `norm=None`), then ReLU (unless `activation=None`).

    `padding` is zeros on each side. `groups` split the channels: each output sees the inputs of its own group, so
    `groups=channels` (of the input) makes it depthwise. The taps of the kernel are `dilation` apart (Yu and Koltun 2016).
    """

    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 0
    groups: int = 1
    bias: bool = False
    norm: Literal["batch"] | None = "batch"
    activation: Literal["relu"] | None = "relu"
    dilation: int = later(1)

    operation: ClassVar[str] = "conv"

    def __post_init__(self) -> None:
        for field in ("channels", "kernel", "stride", "groups", "dilation"):
            whole(self, field, least=1)
        whole(self, "padding", least=0)
        one_of(self, "bias", (True, False))
        one_of(self, "norm", ("batch", None))
        one_of(self, "activation", ("relu", None))

    def output(self, shape: Shape) -> Shape:
        """Shape after this layer; raises SpecError where it does not fit."""
        channels, height, width = image_of(self, shape)
        if channels % self.groups or self.channels % self.groups:
            raise SpecError(
                f"{self.groups} groups divide neither or only one of {channels} input and {self.channels} output channels"
            )
        return (self.channels, *self.window(shape).places((height, width)))

    def parameters(self, shape: Shape) -> int:
        """Trained numbers: weights, bias, and the norm's scale and shift."""
        weights = self.channels * shape[0] // self.groups * self.kernel**2
        return weights + self.channels * (self.bias + 2 * (self.norm == "batch"))

    def macs(self, before: Shape, after: Shape) -> int:
        """Multiplications of an input by a weight, for one image."""
        return prod(after) * before[0] // self.groups * self.kernel**2

    def window(self, shape: Shape) -> Window:
        """What slides over the image."""
        return Window.square(self.kernel, self.stride, self.padding, self.dilation)


@dataclass(frozen=True)
class Linear:
    """A fully connected layer on flat input, then ReLU if `activation="relu"`."""

    features: int
    bias: bool = True
    activation: Literal["relu"] | None = None

    operation: ClassVar[str] = "linear"

    def __post_init__(self) -> None:
        whole(self, "features", least=1)
        one_of(self, "bias", (True, False))
        one_of(self, "activation", ("relu", None))

    def output(self, shape: Shape) -> Shape:
        """Shape after this layer; raises SpecError where it does not fit."""
        if len(shape) != 1:
            raise SpecError(f"its input is {written(shape)}, expected flat features: put GlobalAvgPool() or Flatten() before it")
        return (self.features,)

    def parameters(self, shape: Shape) -> int:
        """Weights and bias."""
        return self.features * (shape[0] + self.bias)

    def macs(self, before: Shape, after: Shape) -> int:
        """Multiplications of an input by a weight, for one image."""
        return prod(before) * prod(after)

    window = without_window
