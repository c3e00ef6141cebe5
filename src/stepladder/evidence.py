"""What a step's runs show: estimates over seeds, effects in pairs, and which images are missed.

Pure functions over numbers. Accuracies are fractions; intervals are 95 %.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
_SAME = 1e-9
"""Differences of fractions that are equal but for rounding are closer than this; one image in a million is not."""


@dataclass(frozen=True)
class Estimate:
    """A quantity over `n` seeds: mean, standard deviation, t-interval of the mean, and the smallest value.

    One value has no `sd`, and values without spread have no interval: these fields are None.
    """

    n: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None
    worst: float


@dataclass(frozen=True)
class Share:
    """The share of `n` seeds for which something holds, with its Wilson interval."""

    share: float
    low: float
    high: float
    n: int

    @property
    def count(self) -> int:
        """How many seeds that is."""
        return round(self.share * self.n)


@dataclass(frozen=True)
class Effect:
    """Child minus parent, paired over `n` shared seeds: mean and t-interval (None with one pair, or pairs that all agree)."""

    n: int
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Best:
    """The largest accuracy among `epochs` x `seeds` looks at the test set: a maximum, which is no estimate."""

    accuracy: float
    epochs: int
    seeds: int


@dataclass(frozen=True)
class Missed:
    """A test image that `missed_by` seeds answered wrong; `answers` counts what they said, most frequent first."""

    index: int
    label: int
    missed_by: int
    answers: dict[int, int]


@dataclass(frozen=True)
class Evidence:
    """All that a step's runs show. What no finished seed can show is None; `lowest` is the smallest test accuracy in the
    last epochs that the budget asks to hold, over the finished seeds."""

    epochs: int
    seeds: tuple[int, ...]
    diverged: tuple[int, ...]
    test: Estimate | None
    train: Estimate | None
    held: Share | None
    lowest: float | None
    best: Best | None
    effect: Effect | None
    live: bool | None


def estimate(values: Sequence[float]) -> Estimate:
    """Mean, spread and t-interval of one value for each seed; raises ValueError without values."""
    if not len(values):
        raise ValueError("no values to estimate from")
    n, mean, worst = len(values), float(np.mean(values)), float(np.min(values))
    if n == 1:
        return Estimate(n, mean, None, None, None, worst)
    if np.ptp(values) < _SAME:
        # The formula would give an interval of width 0, and a claim of certainty from two runs that happen to agree.
        return Estimate(n, mean, 0.0, None, None, worst)
    low, high = stats.t.interval(CONFIDENCE, n - 1, loc=mean, scale=stats.sem(values))
    return Estimate(n, mean, float(np.std(values, ddof=1)), float(low), float(high), worst)


def held(histories: Sequence[Sequence[float]], accuracy: float, hold: int) -> Share:
    """The share of seeds whose test accuracy is at least `accuracy` in each of the last `hold` epochs.

    `histories` has one sequence of accuracies for each seed. One of fewer than `hold` epochs holds nothing: pass an empty
    one for a seed that diverged.
    """
    holds = [len(history) >= hold and min(history[-hold:]) >= accuracy for history in histories]
    interval = stats.binomtest(sum(holds), len(holds)).proportion_ci(CONFIDENCE, method="wilson")
    return Share(sum(holds) / len(holds), float(interval.low), float(interval.high), len(holds))


def best(histories: Sequence[Sequence[float]]) -> Best:
    """The largest accuracy of all epochs and seeds, with how many epochs and seeds it was chosen from."""
    return Best(max(map(max, histories)), max(map(len, histories)), len(histories))


def effect(child: Mapping[int, float], parent: Mapping[int, float]) -> Effect | None:
    """The paired difference of two steps' accuracies, given by seed; None where they share no seed."""
    differences = [child[seed] - parent[seed] for seed in sorted(child.keys() & parent.keys())]
    if not differences:
        return None
    found = estimate(differences)
    return Effect(found.n, found.mean, found.low, found.high)


def live(child: Mapping[int, str], parent: Mapping[int, str]) -> bool | None:
    """Whether a change did anything, from the hashes of the final weights by seed; None where no seed is shared.

    A change is dead when every shared seed ends with the very bits of the parent.
    """
    shared = child.keys() & parent.keys()
    return any(child[seed] != parent[seed] for seed in shared) if shared else None


def missed(answers: Sequence[NDArray[np.intp]], labels: NDArray[np.uint8]) -> list[Missed]:
    """The images that at least one seed answered wrong, most often missed first, then by index.

    `answers` has one array (images,) for each seed.
    """
    if not answers:
        return []
    table = np.stack(answers)
    wrong = table != labels
    by = wrong.sum(axis=0)
    order = sorted(np.flatnonzero(by).tolist(), key=lambda index: (-by[index], index))
    return [
        Missed(index, int(labels[index]), int(by[index]), dict(Counter(table[wrong[:, index], index].tolist()).most_common()))
        for index in order
    ]
