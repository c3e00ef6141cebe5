"""Layers as values: frozen, validated when made, of the standard library alone.

A layer kind is a frozen dataclass here, a member of `Layer` (of `Join`, if it has a second input), with

- its fields, checked in `__post_init__`;
- `output(shape)`, its shape after (a join's: `join(shape, source)`), SpecError where it does not fit;
- `parameters(shape)` and `macs(before, after)`, its trained numbers and multiplications, and
  `operation` and `window(shape)`, its name and sliding window: the row of every table is made of them.

Beside it a kind takes its public name (`stepladder/__init__.py`), its torch module (`engine/plain.py`), and what the native
engine makes of it (`engine/kernels.py`, which refuses what it has not met). All else goes by these: networks, receptive
fields, tables, pages, records and their reading back.
"""

from dataclasses import dataclass
from math import comb, prod
from typing import ClassVar, Literal

from stepladder.spec.check import SpecError, number, one_of, whole
from stepladder.spec.window import Window

Shape = tuple[int, ...]
"""(channels, height, width) of an image, or (features,) once it is flat."""


def written(shape: Shape) -> str:
    """A shape in words: 4 x 26 x 26."""
    return " x ".join(map(str, shape))


def _image(layer: object, shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise SpecError(f"its input is flat ({shape[0]} features), expected channels x height x width")
    return shape[0], shape[1], shape[2]


# What several kinds have in common, as their methods.


def _unchanged(layer: object, shape: Shape) -> Shape:
    """The same shape."""
    return shape


def _untrained(layer: object, shape: Shape) -> int:
    """None are trained."""
    return 0


def _unmultiplied(layer: object, before: Shape, after: Shape) -> int:
    """No input is multiplied by a weight."""
    return 0


def _without_window(layer: object, shape: Shape) -> Window | None:
    """None slides."""
    return None


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

    operation: ClassVar[str] = "conv"

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
        return Window.square(self.kernel, self.stride, self.padding)


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
        if self.padding > self.kernel // 2:
            raise SpecError(f"{self}: padding is at most half the kernel ({self.kernel // 2}), got {self.padding}")

    @property
    def step(self) -> int:
        """The stride in effect."""
        return self.stride or self.kernel

    def output(self, shape: Shape) -> Shape:
        """Shape after this layer; raises SpecError where it does not fit."""
        channels, height, width = _image(self, shape)
        return (channels, *self.window(shape).places((height, width)))

    parameters = _untrained
    macs = _unmultiplied

    def window(self, shape: Shape) -> Window:
        """What slides over the image."""
        return Window.square(self.kernel, self.step, self.padding)


@dataclass(frozen=True)
class AvgPool:
    """The mean over `kernel` x `kernel`; `stride=None` means the kernel's size (LeCun et al. 1998, without their weights)."""

    kernel: int = 2
    stride: int | None = None

    operation: ClassVar[str] = "avgpool"

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
        return (channels, *self.window(shape).places((height, width)))

    parameters = _untrained
    macs = _unmultiplied

    def window(self, shape: Shape) -> Window:
        """What slides over the image."""
        return Window.square(self.kernel, self.step)


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
        channels, height, width = _image(self, shape)
        return (channels, *self.window(shape).places((height, width)))

    parameters = _untrained

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
        return (_image(self, shape)[0],)

    parameters = _untrained
    macs = _unmultiplied

    def window(self, shape: Shape) -> Window:
        """One that covers the image."""
        return Window((shape[1], shape[2]))


@dataclass(frozen=True)
class Flatten:
    """(channels, height, width) becomes (channels * height * width,)."""

    operation: ClassVar[str] = "flatten"

    def output(self, shape: Shape) -> Shape:
        """Shape after this layer; raises SpecError where it does not fit."""
        return (prod(_image(self, shape)),)

    parameters = _untrained
    macs = _unmultiplied
    window = _without_window


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

    window = _without_window


@dataclass(frozen=True)
class BatchNorm:
    """Batch norm on its own (Ioffe and Szegedy 2015), where it does not follow a convolution directly, as in
    `[Conv(8, norm=None), BatchNorm()]`: convolution, ReLU, norm. Each channel, or each feature once it is flat."""

    operation: ClassVar[str] = "batch norm"

    output = _unchanged

    def parameters(self, shape: Shape) -> int:
        """Scale and shift of each channel."""
        return 2 * shape[0]

    def macs(self, before: Shape, after: Shape) -> int:
        """None are counted: with running statistics it is a part of the convolution before or after it."""
        return 0

    window = _without_window


@dataclass(frozen=True)
class ReLU:
    """ReLU on its own, where it does not follow a convolution or its norm directly."""

    operation: ClassVar[str] = "relu"

    output = _unchanged
    parameters = _untrained
    macs = _unmultiplied
    window = _without_window


@dataclass(frozen=True)
class Dropout:
    """Drops this share of the activations, here alone (Srivastava et al. 2014); the recipe's `dropout` does so after every
    activated convolution."""

    share: float

    operation: ClassVar[str] = "dropout"

    def __post_init__(self) -> None:
        number(self, "share", 0, 1)

    output = _unchanged
    parameters = _untrained
    macs = _unmultiplied
    window = _without_window


@dataclass(frozen=True)
class Residual:
    """Adds to its input what entered the last `layers` layers, then ReLU unless `activation=None` (He et al. 2016, with the
    identity as shortcut: both have one shape).

    `[Conv(8, padding=1), Conv(8, padding=1, activation=None), Residual(2)]` is the paper's block on 8 channels.
    """

    layers: int
    activation: Literal["relu"] | None = "relu"

    operation: ClassVar[str] = "add"

    def __post_init__(self) -> None:
        whole(self, "layers", least=1)
        one_of(self, "activation", ("relu", None))

    def join(self, shape: Shape, source: Shape) -> Shape:
        """Shape after this layer, from that of its input and of what entered the last `layers`; SpecError where they differ."""
        if shape != source:
            raise SpecError(f"its input is {written(shape)}, expected the shape of what it is added to, {written(source)}")
        return shape

    parameters = _untrained
    macs = _unmultiplied
    window = _without_window


@dataclass(frozen=True)
class Excite:
    """Multiplies each channel of what entered the last `layers` layers by the sigmoid of its input, one number a channel:
    the end of a squeeze-and-excitation (Hu, Shen and Sun 2018).

    `[GlobalAvgPool(), Linear(4, activation="relu"), Linear(16), Excite(3)]` is the paper's block on 16 channels, reduced to 4.
    """

    layers: int

    operation: ClassVar[str] = "mul"

    def __post_init__(self) -> None:
        whole(self, "layers", least=2)

    def join(self, shape: Shape, source: Shape) -> Shape:
        """Shape after this layer, from that of its input and of what entered the last `layers`; SpecError where they do not fit."""
        if len(source) != 3:
            raise SpecError(
                f"what entered the last {self.layers} layers is flat ({source[0]} features), expected channels to scale"
            )
        if shape != source[:1]:
            raise SpecError(
                f"its input is {written(shape)}, expected one number for each of {source[0]} channels of {written(source)}"
            )
        return source

    parameters = _untrained
    macs = _unmultiplied
    window = _without_window


Join = Residual | Excite
"""Layers that have a second input: what entered an earlier layer."""

Convolution = Conv
"""Layers that may have a norm, and that dropout follows where they are activated."""

Pooling = MaxPool | AvgPool | BlurPool
"""Layers that belong to the convolution they follow: its dropout comes after them."""

Pointwise = BatchNorm | ReLU | Dropout
"""Layers after which every number depends on the one in its place alone (and a norm on its statistics)."""

Following = BatchNorm | ReLU
"""Layers that belong to the convolution or pooling they follow, likewise."""

Layer = Conv | MaxPool | AvgPool | BlurPool | GlobalAvgPool | Flatten | Linear | Pointwise | Join


def normed(layer: Layer) -> bool:
    """Whether a layer has a batch norm, or is one."""
    return isinstance(layer, BatchNorm) or (isinstance(layer, Conv) and layer.norm == "batch")


def activated(layer: Layer) -> bool:
    """Whether a layer makes a convolution's output an activation."""
    return isinstance(layer, ReLU) or (isinstance(layer, Conv) and layer.activation is not None)
