"""Activations on their own, where they do not follow a convolution or its norm directly, and those that no convolution has."""

from dataclasses import dataclass
from typing import ClassVar

from stepladder.spec.check import number, one_of, positive
from stepladder.spec.layers.shape import Shape, unchanged, unmultiplied, untrained, without_window


@dataclass(frozen=True)
class ReLU:
    """ReLU on its own, where it does not follow a convolution or its norm directly."""

    operation: ClassVar[str] = "relu"

    output = unchanged
    parameters = untrained
    macs = unmultiplied
    window = without_window


@dataclass(frozen=True)
class LeakyReLU:
    """x where it is above 0, else slope * x (Maas, Hannun and Ng 2013)."""

    slope: float = 0.01

    operation: ClassVar[str] = "leaky relu"

    def __post_init__(self) -> None:
        number(self, "slope", 0, 1)

    output = unchanged
    parameters = untrained
    macs = unmultiplied
    window = without_window


@dataclass(frozen=True)
class PReLU:
    """LeakyReLU whose slope is trained, 0.25 at first: one for all, or one for each channel, or feature once it is flat
    (He et al. 2015)."""

    per_channel: bool = False

    operation: ClassVar[str] = "prelu"

    def __post_init__(self) -> None:
        one_of(self, "per_channel", (True, False))

    output = unchanged

    def parameters(self, shape: Shape) -> int:
        """Slopes."""
        return shape[0] if self.per_channel else 1

    macs = unmultiplied
    window = without_window


@dataclass(frozen=True)
class ReLU6:
    """ReLU of at most 6 (Howard et al. 2017)."""

    operation: ClassVar[str] = "relu6"

    output = unchanged
    parameters = untrained
    macs = unmultiplied
    window = without_window


@dataclass(frozen=True)
class ELU:
    """x where it is above 0, else alpha * (exp(x) - 1) (Clevert, Unterthiner and Hochreiter 2016)."""

    alpha: float = 1.0

    operation: ClassVar[str] = "elu"

    def __post_init__(self) -> None:
        positive(self, "alpha", 100)

    output = unchanged
    parameters = untrained
    macs = unmultiplied
    window = without_window


@dataclass(frozen=True)
class SiLU:
    """x * sigmoid(x), also called Swish (Elfwing, Uchibe and Doya 2018; Ramachandran, Zoph and Le 2017)."""

    operation: ClassVar[str] = "silu"

    output = unchanged
    parameters = untrained
    macs = unmultiplied
    window = without_window


@dataclass(frozen=True)
class HardSwish:
    """x * ReLU6(x + 3) / 6 (Howard et al. 2019, MobileNetV3)."""

    operation: ClassVar[str] = "hard swish"

    output = unchanged
    parameters = untrained
    macs = unmultiplied
    window = without_window


@dataclass(frozen=True)
class GELU:
    """x times the share of the standard normal distribution below x (Hendrycks and Gimpel 2016), exactly, by the error
    function."""

    operation: ClassVar[str] = "gelu"

    output = unchanged
    parameters = untrained
    macs = unmultiplied
    window = without_window


@dataclass(frozen=True)
class Tanh:
    """The hyperbolic tangent."""

    operation: ClassVar[str] = "tanh"

    output = unchanged
    parameters = untrained
    macs = unmultiplied
    window = without_window


@dataclass(frozen=True)
class Sigmoid:
    """1 / (1 + exp(-x))."""

    operation: ClassVar[str] = "sigmoid"

    output = unchanged
    parameters = untrained
    macs = unmultiplied
    window = without_window
