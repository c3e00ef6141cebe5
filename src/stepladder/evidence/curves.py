"""How test accuracy moves from epoch to epoch: late in training, and around a cut of the learning rate."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stepladder.evidence.estimates import Estimate, estimate

CUT = 0.9
"""A learning rate that falls to this share or less from one epoch to the next was cut."""


@dataclass(frozen=True)
class Cut:
    """The first cut of a constant learning rate: `epoch` (from 1) is the first at the lower rate; `epochs` so many before
    and after it are compared.

    `before` and `after`: the mean change of test accuracy from one epoch to the next, up or down, in those epochs; `gain`:
    the mean accuracy after minus before, over seeds. A run calms down and gains by training alone too.
    """

    epoch: int
    epochs: int
    before: float
    after: float
    gain: Estimate


@dataclass(frozen=True)
class Late:
    """The last `epochs` epochs over the finished seeds: `moves` is the mean change of test accuracy from one epoch to the
    next, up or down; `rise` that of the least-squares line from the first of them to the last."""

    epochs: int
    moves: Estimate
    rise: Estimate


def late(histories: Sequence[Sequence[float]], epochs: int) -> Late | None:
    """The last `epochs` of each seed's test accuracies; None where that is fewer than two."""
    ends = [history[-epochs:] for history in histories]
    shortest = min(map(len, ends), default=0)
    if shortest < 2:
        return None
    return Late(shortest, estimate([_moves(end) for end in ends]), estimate([_rise(end) for end in ends]))


def cut(histories: Sequence[Sequence[float]], rates: Sequence[float], epochs: int) -> Cut | None:
    """The first cut among the learning `rates` (one an epoch), with up to `epochs` of each seed's test accuracies before it
    and after; None where there is none, where a side has fewer than two, or where the rate was not constant before."""
    place = next((place for place in range(1, len(rates)) if rates[place] <= CUT * rates[place - 1]), 0)
    width = min(epochs, place, len(rates) - place)
    if not histories or width < 2 or np.ptp(rates[place - width : place]):
        return None
    befores, afters = ([history[start : start + width] for history in histories] for start in (place - width, place))
    return Cut(
        epoch=place + 1,
        epochs=width,
        before=float(np.mean([_moves(before) for before in befores])),
        after=float(np.mean([_moves(after) for after in afters])),
        gain=estimate([float(np.mean(after) - np.mean(before)) for before, after in zip(befores, afters, strict=True)]),
    )


def _rise(accuracies: Sequence[float]) -> float:
    """What the least-squares line rises by from the first epoch to the last: its slope is cov(x, y) / var(x)."""
    x = np.arange(len(accuracies)) - (len(accuracies) - 1) / 2
    return float((np.asarray(accuracies) - np.mean(accuracies)) @ x / (x @ x) * (len(accuracies) - 1))


def _moves(accuracies: Sequence[float]) -> float:
    """The mean absolute change from one epoch to the next: unlike a standard deviation, hardly raised by a slow trend."""
    return float(np.mean(np.abs(np.diff(accuracies))))
