"""Layers that make images smaller or flat, without trained weights."""

from dataclasses import dataclass
from math import comb, prod
from typing import ClassVar

from stepladder.spec.check import SpecError, whole
from stepladder.spec.layers.shape import Shape, image_of, unmultiplied, untrained, without_window
from stepladder.spec.window import Window


def _up_to_half(layer: object, kernel: int, padding: int) -> None:
    """Raise SpecError for a padding of which a window could see nothing else."""
    if padding > kernel // 2:
        raise SpecError(f"{layer}: padding is at most half the kernel ({kernel // 2}), got {padding}")


@dataclass(frozen=True)
class MaxPool:
    """Max pooling over `kernel` x `kernel`; `stride=None` means the kernel's size."""

    kernel: int = 2
    stride: int | None = None
    padding: int = 0

    operation: ClassVar[str] = "maxpool"

    def __post_init__(self) -> None:
        whole(self, "kernel", least=1)
        whole(self, "padding", least=0)
        if self.stride is not None:
            whole(self, "stride", least=1)
        _up_to_half(self, self.kernel, self.padding)

    @property
    def step(self) -> int:
        """The stride in effect."""
        return self.stride or self.kernel

    def output(self, shape: Shape) -> Shape:
        """Shape after this layer; raises SpecError where it does not fit."""
        channels, height, width = image_of(self, shape)
        return (channels, *self.window(shape).places((height, width)))

    parameters = untrained
    macs = unmultiplied

    def window(self, shape: Shape) -> Window:
        """What slides over the image."""
        return Window.square(self.kernel, self.step, self.padding)


@dataclass(frozen=True)
class AvgPool:
    """The mean over `kernel` x `kernel`, zeros of the `padding` included; `stride=None` means the kernel's size (LeCun et al.
    1998, without their weights)."""

    kernel: int = 2
    stride: int | None = None
    padding: int = 0

    operation: ClassVar[str] = "avgpool"

    def __post_init__(self) -> None:
        whole(self, "kernel", least=1)
        whole(self, "padding", least=0)
        if self.stride is not None:
            whole(self, "stride", least=1)
        _up_to_half(self, self.kernel, self.padding)

    @property
    def step(self) -> int:
        """The stride in effect."""
        return self.stride or self.kernel

    def output(self, shape: Shape) -> Shape:
        """Shape after this layer; raises SpecError where it does not fit."""
        channels, height, width = image_of(self, shape)
        return (channels, *self.window(shape).places((height, width)))

    parameters = untrained
    macs = unmultiplied

    def window(self, shape: Shape) -> Window:
        """What slides over the image."""
        return Window.square(self.kernel, self.step, self.padding)


@dataclass(frozen=True)
class BlurPool:
    """Anti-aliased downsampling: every channel through a fixed binomial filter of `kernel` x `kernel`, then every `stride`-th
    row and column (Zhang 2019, "Making convolutional networks shift-invariant again"; zeros on the border, where the paper
    mirrors). Behind `MaxPool(kernel, stride=1)` it is the paper's MaxBlurPool, behind a convolution its ConvBlurPool.
    """

    kernel: int = 3
    stride: int = 2

    operation: ClassVar[str] = "fixed conv"

    def __post_init__(self) -> None:
        whole(self, "kernel", least=3, most=63)
        whole(self, "stride", least=1)
        if self.kernel % 2 == 0:
            raise SpecError(f"{self}: kernel is {self.kernel}, expected an odd number: the filter has a centre")

    @property
    def padding(self) -> int:
        """Zeros on each side: half the kernel."""
        return self.kernel // 2

    @property
    def weights(self) -> list[float]:
        """The filter along one axis: binomial coefficients, as shares of their sum. Its outer product is the filter."""
        return [comb(self.kernel - 1, place) / 2 ** (self.kernel - 1) for place in range(self.kernel)]

    def output(self, shape: Shape) -> Shape:
        """Shape after this layer; raises SpecError where it does not fit."""
        channels, height, width = image_of(self, shape)
        return (channels, *self.window(shape).places((height, width)))

    parameters = untrained

    def macs(self, before: Shape, after: Shape) -> int:
        """Multiplications of an input by a weight, for one image."""
        return prod(after) * self.kernel**2

    def window(self, shape: Shape) -> Window:
        """What slides over the image."""
        return Window.square(self.kernel, self.stride, self.padding)


@dataclass(frozen=True)
class GlobalAvgPool:
    """The mean of each channel: (channels, height, width) becomes (channels,)."""

    operation: ClassVar[str] = "global average pool"

    def output(self, shape: Shape) -> Shape:
        """Shape after this layer; raises SpecError where it does not fit."""
        return (image_of(self, shape)[0],)

    parameters = untrained
    macs = unmultiplied

    def window(self, shape: Shape) -> Window:
        """One that covers the image."""
        return Window((shape[1], shape[2]))


@dataclass(frozen=True)
class Flatten:
    """(channels, height, width) becomes (channels * height * width,)."""

    operation: ClassVar[str] = "flatten"

    def output(self, shape: Shape) -> Shape:
        """Shape after this layer; raises SpecError where it does not fit."""
        return (prod(image_of(self, shape)),)

    parameters = untrained
    macs = unmultiplied
    window = without_window
