"""Layers as values: frozen, validated when made, of the standard library alone."""

from dataclasses import dataclass
from math import comb, prod
from typing import Literal

from stepladder.spec.check import SpecError, one_of, whole

Shape = tuple[int, ...]
"""(channels, height, width) of an image, or (features,) once it is flat."""


def text(shape: Shape) -> str:
    """A shape in words: 4 x 26 x 26."""
    return " x ".join(map(str, shape))


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
class BlurPool:
    """Anti-aliased downsampling: every channel through a fixed binomial filter of `kernel` x `kernel`, then every `stride`-th
    row and column (Zhang 2019, "Making convolutional networks shift-invariant again"; zeros on the border, where the paper
    mirrors). Behind `MaxPool(kernel, stride=1)` it is the paper's MaxBlurPool, behind a convolution its ConvBlurPool.
    """

    kernel: int = 3
    stride: int = 2

    def __post_init__(self) -> None:
        whole(self, "kernel", least=3)
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
        channels, height, width = _image(self, shape)
        return (channels, *_window((height, width), self.kernel, self.stride, self.padding))

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
            raise SpecError(f"its input is {text(shape)}, expected flat features: put GlobalAvgPool() or Flatten() before it")
        return (self.features,)

    def parameters(self, shape: Shape) -> int:
        """Weights and bias."""
        return self.features * (shape[0] + self.bias)


@dataclass(frozen=True)
class Residual:
    """Adds to its input what entered the last `layers` layers, then ReLU unless `activation=None` (He et al. 2016, with the
    identity as shortcut: both have one shape).

    `[Conv(8, padding=1), Conv(8, padding=1, activation=None), Residual(2)]` is the paper's block on 8 channels.
    """

    layers: int
    activation: Literal["relu"] | None = "relu"

    def __post_init__(self) -> None:
        whole(self, "layers", least=1)
        one_of(self, "activation", ("relu", None))

    def join(self, shape: Shape, source: Shape) -> Shape:
        """Shape after this layer, from that of its input and of what entered the last `layers`; SpecError where they differ."""
        if shape != source:
            raise SpecError(f"its input is {text(shape)}, expected the shape of what it is added to, {text(source)}")
        return shape

    def parameters(self, shape: Shape) -> int:
        """None are trained."""
        return 0


@dataclass(frozen=True)
class Excite:
    """Multiplies each channel of what entered the last `layers` layers by the sigmoid of its input, one number a channel:
    the end of a squeeze-and-excitation (Hu, Shen and Sun 2018).

    `[GlobalAvgPool(), Linear(4, activation="relu"), Linear(16), Excite(3)]` is the paper's block on 16 channels, reduced to 4.
    """

    layers: int

    def __post_init__(self) -> None:
        whole(self, "layers", least=2)

    def join(self, shape: Shape, source: Shape) -> Shape:
        """Shape after this layer, from that of its input and of what entered the last `layers`; SpecError where they do not fit."""
        if len(source) != 3:
            raise SpecError(
                f"what entered the last {self.layers} layers is flat ({source[0]} features), expected channels to scale"
            )
        if shape != source[:1]:
            raise SpecError(f"its input is {text(shape)}, expected one number for each of {source[0]} channels of {text(source)}")
        return source

    def parameters(self, shape: Shape) -> int:
        """None are trained."""
        return 0


Join = Residual | Excite
"""Layers that have a second input: what entered an earlier layer."""

Layer = Conv | MaxPool | AvgPool | BlurPool | GlobalAvgPool | Flatten | Linear | Join
