"""Quantities over seeds: means with intervals, shares with intervals, and maxima that say what they were picked from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
SAME = 1e-9
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
    """The share of `n` seeds for which something holds, and what that shows of a new seed: its chance is `least` or more,
    and `most` or less, each an exact 95 % bound of its own (Clopper and Pearson 1934): 20 of 20 show at least 0.86."""

    share: float
    least: float
    most: float
    n: int

    @property
    def count(self) -> int:
        """How many seeds that is."""
        return round(self.share * self.n)


@dataclass(frozen=True)
class Best:
    """The largest accuracy among `epochs` x `seeds` looks at the test set: a maximum, which is no estimate."""

    accuracy: float
    epochs: int
    seeds: int


def estimate(values: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """Mean, spread and t-interval of one value for each seed; raises ValueError without values."""
    if not len(values):
        raise ValueError("no values to estimate from")
    n, mean, worst = len(values), float(np.mean(values)), float(np.min(values))
    if n == 1:
        return Estimate(n, mean, None, None, None, worst)
    if np.ptp(values) < SAME:
        # The formula would give an interval of width 0, and a claim of certainty from two runs that happen to agree.
        return Estimate(n, mean, 0.0, None, None, worst)
    from scipy import stats  # here and below: a second of imports, which is for those who have something to judge

    low, high = stats.t.interval(confidence, n - 1, loc=mean, scale=stats.sem(values))
    return Estimate(n, mean, float(np.std(values, ddof=1)), float(low), float(high), worst)


def reach(n: int) -> float:
    """How many standard errors the 95 % interval of a mean of `n` values, two at least, reaches to either side (Student's t)."""
    from scipy import stats

    return float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1))


def held(histories: Sequence[Sequence[float]], accuracy: float, hold: int) -> Share:
    """The share of seeds whose test accuracy is at least `accuracy` in each of the last `hold` epochs.

    `histories` has one sequence of accuracies for each seed. One of fewer than `hold` epochs holds nothing: pass an empty
    one for a seed that diverged.
    """
    holds = [len(history) >= hold and min(history[-hold:]) >= accuracy for history in histories]
    return share(sum(holds), len(holds))


def share(count: int, n: int) -> Share:
    """`count` of `n` seeds as a share."""
    from scipy import stats

    least, most = (
        stats.binomtest(count, n, alternative=side).proportion_ci(CONFIDENCE, method="exact") for side in ("greater", "less")
    )
    return Share(count / n, float(least.low), float(most.high), n)


def sampling(accuracy: float, images: int) -> float:
    """What the test set's own sampling adds to an accuracy: the half-width of its 95 % interval over test sets of so many
    images, where that over seeds takes the one there is as it is. Steps measured on the same images share most of it."""
    from scipy import stats

    return float(stats.norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt(accuracy * (1 - accuracy) / images))


def best(histories: Sequence[Sequence[float]]) -> Best:
    """The largest accuracy of all epochs and seeds, with how many epochs and seeds it was chosen from."""
    return Best(max(map(max, histories)), max(map(len, histories)), len(histories))
