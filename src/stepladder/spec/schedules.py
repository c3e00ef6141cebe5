"""How the learning rate moves while a network is trained, as values.

`StepLR` moves it between epochs, the others for every batch. A schedule says by what the recipe's learning rate is
multiplied in a batch, but for `OneCycle`, which has rates of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi

from stepladder.spec.check import number, positive, whole

MOST_RATE = 1_000.0
"""Learning rates and weight decays lie below it: weights are float32, and no training was ever seen to work from there on."""


@dataclass(frozen=True)
class StepLR:
    """The learning rate is multiplied by `factor` after every `every` epochs."""

    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        whole(self, "every", least=1)
        number(self, "factor", 0.0, 1_000.0)

    def multiplier(self, epoch: int) -> float:
        """What the recipe's learning rate is multiplied by in `epoch`, counted from 0."""
        return self.factor ** (epoch // self.every)


@dataclass(frozen=True)
class OneCycle:
    """The learning rate rises to `peak` in the first `warmup` of all batches, then falls until the last, both along a half
    cosine (Smith & Topin 2018, in the form of torch's OneCycleLR; momentum stays as it is).

    `peak` is the rate itself, in the place of the recipe's learning rate; `start` and `end` are shares of it, by default
    those of torch.
    """

    peak: float
    warmup: float = 0.3
    start: float = 0.04
    end: float = 4e-6

    def __post_init__(self) -> None:
        positive(self, "peak", MOST_RATE)
        for name in ("warmup", "start", "end"):
            number(self, name, 0.0, 1.0)

    def rate(self, batch: int, batches: int) -> float:
        """The learning rate of `batch`, counted from 0, out of all `batches` of the training."""
        top = self.warmup * batches - 1  # of which batch, counted from 0 and in fractions, is the peak's
        if batch < top:
            return self.peak * (self.start + (1 - self.start) * _half_cosine(1 - batch / top))
        return self.peak * (self.end + (1 - self.end) * _half_cosine((batch - top) / (batches - 1 - top)))


@dataclass(frozen=True)
class Cosine:
    """The learning rate falls along a half cosine, towards `end` (a share of it) after the last batch (Loshchilov & Hutter
    2017, without restarts), after a linear warm-up in the first `warmup` (a share) of all batches (Goyal et al. 2017)."""

    warmup: float = 0.0
    end: float = 0.0

    def __post_init__(self) -> None:
        number(self, "warmup", 0.0, 1.0)
        number(self, "end", 0.0, 1.0)

    def multiplier(self, batch: int, batches: int) -> float:
        """What the recipe's learning rate is multiplied by in `batch`, counted from 0, out of all `batches`."""
        return _decay(self, batch, batches, _half_cosine)


@dataclass(frozen=True)
class LinearDecay:
    """The learning rate falls along a straight line, towards `end` (a share of it) after the last batch, after a linear
    warm-up in the first `warmup` (a share) of all batches (Goyal et al. 2017)."""

    warmup: float = 0.0
    end: float = 0.0

    def __post_init__(self) -> None:
        number(self, "warmup", 0.0, 1.0)
        number(self, "end", 0.0, 1.0)

    def multiplier(self, batch: int, batches: int) -> float:
        """What the recipe's learning rate is multiplied by in `batch`, counted from 0, out of all `batches`."""
        return _decay(self, batch, batches, _line)


Schedule = StepLR | OneCycle | Cosine | LinearDecay


def _decay(schedule: Cosine | LinearDecay, batch: int, batches: int, shape: Callable[[float], float]) -> float:
    """The warm-up, then from 1 towards the schedule's end along `shape`, which falls from 1 (at 0) to 0 (at 1)."""
    warm = schedule.warmup * batches
    if batch < warm:
        return (batch + 1) / (warm + 1)  # not from 0: the first batch is to count too
    return schedule.end + (1 - schedule.end) * shape((batch - warm) / (batches - warm))


def _half_cosine(gone: float) -> float:
    return (1 + cos(pi * gone)) / 2


def _line(gone: float) -> float:
    return 1 - gone
