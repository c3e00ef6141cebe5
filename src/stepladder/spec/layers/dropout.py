"""Dropout in one place of a network."""

from dataclasses import dataclass
from typing import ClassVar

from stepladder.spec.check import number
from stepladder.spec.layers.shape import unchanged, unmultiplied, untrained, without_window


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


@dataclass(frozen=True)
class Dropout2d:
    """Drops this share of each image's channels, whole ones, here alone (Tompson et al. 2015). Once it is flat, each feature is
    a channel, so that it is Dropout; torch does the same there, and warns."""

    share: float

    operation: ClassVar[str] = "dropout 2d"

    def __post_init__(self) -> None:
        number(self, "share", 0, 1)

    output = unchanged
    parameters = untrained
    macs = unmultiplied
    window = without_window
