"""Layers after which every number depends on the one in its place alone, and a norm on its statistics."""

from dataclasses import dataclass
from typing import ClassVar

from stepladder.spec.check import number
from stepladder.spec.layers.shape import Shape, unchanged, unmultiplied, untrained, without_window


@dataclass(frozen=True)
class BatchNorm:
    """Batch norm on its own (Ioffe and Szegedy 2015), where it does not follow a convolution directly, as in
    `[Conv(8, norm=None), BatchNorm()]`: convolution, ReLU, norm. Each channel, or each feature once it is flat."""

    operation: ClassVar[str] = "batch norm"

    output = unchanged

    def parameters(self, shape: Shape) -> int:
        """Scale and shift of each channel."""
        return 2 * shape[0]

    def macs(self, before: Shape, after: Shape) -> int:
        """None are counted: with running statistics it is a part of the convolution before or after it."""
        return 0

    window = without_window


@dataclass(frozen=True)
class ReLU:
    """ReLU on its own, where it does not follow a convolution or its norm directly."""

    operation: ClassVar[str] = "relu"

    output = unchanged
    parameters = untrained
    macs = unmultiplied
    window = without_window


@dataclass(frozen=True)
class Dropout:
    """Drops this share of the activations, here alone (Srivastava et al. 2014); the recipe's `dropout` does so after every
    activated convolution."""

    share: float

    operation: ClassVar[str] = "dropout"

    def __post_init__(self) -> None:
        number(self, "share", 0, 1)

    output = unchanged
    parameters = untrained
    macs = unmultiplied
    window = without_window
