"""Layers that have a second input: what entered an earlier layer."""

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

    parameters = untrained
    macs = unmultiplied
    window = without_window
