"""Layers that have a second input: what entered an earlier layer. With them a list of layers is any graph without cycles."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from stepladder.spec.check import SpecError, one_of, whole
from stepladder.spec.layers.shape import Shape, unmultiplied, untrained, without_window, written


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

    parameters = untrained
    macs = unmultiplied
    window = without_window


@dataclass(frozen=True)
class Branch:
    """Goes on from what entered the last `layers` layers, and leaves its own input to a later join.

    `[Conv(8, padding=1), Conv(8, padding=1, activation=None), Branch(2), Conv(8, 1, activation=None), Residual(2)]` is a residual
    block with a projection as its shortcut (He et al. 2016): what entered the last two layers is the second convolution's output.
    """

    layers: int

    operation: ClassVar[str] = "branch"

    def __post_init__(self) -> None:
        whole(self, "layers", least=1)

    def join(self, shape: Shape, source: Shape) -> Shape:
        """Shape after this layer: that of what entered the last `layers`."""
        return source

    parameters = untrained
    macs = unmultiplied
    window = without_window


@dataclass(frozen=True)
class Concat:
    """The channels of what entered the last `layers` layers, then those of its input (Huang et al. 2017); features, once flat.

    `[BatchNorm(), ReLU(), Conv(12, padding=1, norm=None, activation=None), Concat(3)]` is the paper's layer of growth rate 12.
    """

    layers: int

    operation: ClassVar[str] = "cat"

    def __post_init__(self) -> None:
        whole(self, "layers", least=1)

    def join(self, shape: Shape, source: Shape) -> Shape:
        """Shape after this layer, from that of its input and of what entered the last `layers`; SpecError where they do not fit."""
        if (len(shape), shape[1:]) != (len(source), source[1:]):
            expected = "the height and width of" if len(source) == 3 else "flat features, as in"
            raise SpecError(f"its input is {written(shape)}, expected {expected} what it is joined to, {written(source)}")
        return (source[0] + shape[0], *shape[1:])

    parameters = untrained
    macs = unmultiplied
    window = without_window


@dataclass(frozen=True)
class Multiply:
    """The product of its input and what entered the last `layers` layers, number by number or, where the input is one number a
    channel, channel by channel."""

    layers: int

    operation: ClassVar[str] = "mul"

    def __post_init__(self) -> None:
        whole(self, "layers", least=1)

    def join(self, shape: Shape, source: Shape) -> Shape:
        """Shape after this layer, from that of its input and of what entered the last `layers`; SpecError where they do not fit."""
        if shape != source and not (len(source) == 3 and _one_a_channel(shape, source)):
            expected = f"the shape of what it is multiplied with, {written(source)}, or one number for each channel of it"
            raise SpecError(f"its input is {written(shape)}, expected {expected}")
        return source

    parameters = untrained
    macs = unmultiplied
    window = without_window


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
        if not _one_a_channel(shape, source):
            raise SpecError(
                f"its input is {written(shape)}, expected one number for each of {source[0]} channels of {written(source)}"
            )
        return source

    parameters = untrained
    macs = unmultiplied
    window = without_window


def _one_a_channel(shape: Shape, source: Shape) -> bool:
    """Whether a shape has one number for each channel of an image."""
    return shape in (source[:1], (source[0], 1, 1))
