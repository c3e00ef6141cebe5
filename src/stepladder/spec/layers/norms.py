"""Norms on their own: after them every number depends on the one in its place and on the mean and variance of those it is
normed with."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from stepladder.spec.check import SpecError, number, positive, whole
from stepladder.spec.layers.shape import Shape, later, unchanged, without_window, written


def _uncounted(layer: object, before: Shape, after: Shape) -> int:
    """None are counted, as by torch's counter: the norm's work is small, and with running statistics a part of a convolution."""
    return 0


@dataclass(frozen=True)
class BatchNorm:
    """Batch norm on its own (Ioffe and Szegedy 2015), where it does not follow a convolution directly, as in
    `[Conv(8, norm=None), BatchNorm()]`: convolution, ReLU, norm. Each channel, or each feature once it is flat.

    `epsilon` is added to the variance, `momentum` the share of a batch's statistics in the running ones.
    """

    epsilon: float = later(1e-5)
    momentum: float = later(0.1)

    operation: ClassVar[str] = "batch norm"

    def __post_init__(self) -> None:
        positive(self, "epsilon", 1)
        number(self, "momentum", 0, 1)

    output = unchanged

    def parameters(self, shape: Shape) -> int:
        """Scale and shift of each channel."""
        return 2 * shape[0]

    macs = _uncounted
    window = without_window


@dataclass(frozen=True)
class GroupNorm:
    """Norms each image for itself, over groups of so many neighbouring channels that there are `groups` of them, then scales
    and shifts each channel, or feature once it is flat (Wu and He 2018). `GroupNorm(1)` is over all, `GroupNorm(channels)`
    instance norm (Ulyanov, Vedaldi and Lempitsky 2016). `epsilon` is added to the variance.
    """

    groups: int
    epsilon: float = 1e-5

    operation: ClassVar[str] = "group norm"

    def __post_init__(self) -> None:
        whole(self, "groups", least=1)
        positive(self, "epsilon", 1)

    def output(self, shape: Shape) -> Shape:
        """The same shape; raises SpecError where the groups do not divide it."""
        if shape[0] % self.groups:
            raise SpecError(f"{self.groups} groups do not divide the {shape[0]} channels of its input, {written(shape)}")
        if prod(shape) == self.groups:
            raise SpecError(f"each group is one number of its input, {written(shape)}, expected several: one has no deviation")
        return shape

    def parameters(self, shape: Shape) -> int:
        """Scale and shift of each channel."""
        return 2 * shape[0]

    macs = _uncounted
    window = without_window


@dataclass(frozen=True)
class LayerNorm:
    """Norms each image for itself, over all its numbers, then scales and shifts each number (Ba, Kiros and Hinton 2016), as
    torch.nn.LayerNorm([channels, height, width]) or, of flat features, LayerNorm(features). `epsilon` is added to the
    variance.
    """

    epsilon: float = 1e-5

    operation: ClassVar[str] = "layer norm"

    def __post_init__(self) -> None:
        positive(self, "epsilon", 1)

    def output(self, shape: Shape) -> Shape:
        """The same shape; raises SpecError where it is one number."""
        if prod(shape) == 1:
            raise SpecError("its input is one number, expected several: one has no deviation")
        return shape

    def parameters(self, shape: Shape) -> int:
        """Scale and shift of each number."""
        return 2 * prod(shape)

    macs = _uncounted
    window = without_window
