"""Whether a step reaches the budget's accuracy, and about how many more seeds would tell."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from stepladder.evidence.estimates import CONFIDENCE, SAME, Estimate, Share

TargetVerdict = Literal["reached", "missed", "undecided"]
MOST_MORE = 1000
"""Beyond so many more seeds, a number would be no plan."""


@dataclass(frozen=True)
class Target:
    """Whether the target is reached; `more_seeds` is about how many more would decide, where it is undecided and seeds can."""

    verdict: TargetVerdict
    more_seeds: int | None


def target(test: Estimate | None, held: Share, accuracy: float, images: int) -> Target:
    """Reached: the interval of the mean lies at or above `accuracy`, and every seed held it. Missed: the interval lies
    below. Undecided: the rest, one seed among it, or none that finished (`test` is None). `images` is the size of the
    test set.

    More seeds cannot reach what one seed has failed to hold (or diverged on): where the mean is not below the target,
    `more_seeds` is then None.
    """
    if not test:
        return Target("undecided", None)
    every = held.count == held.n
    if test.low is not None and test.low >= accuracy and every:
        return Target("reached", None)
    if test.high is not None and test.high < accuracy:
        return Target("missed", None)
    distance = test.mean - accuracy
    if distance >= 0 and not every:
        return Target("undecided", None)
    return Target("undecided", _more(test, abs(distance), images))


def _more(test: Estimate, distance: float, images: int) -> int | None:
    """How many more seeds make the half-width of the t-interval smaller than `distance`, at the spread found.

    Without a spread, at that of runs whose errors are calibrated, sqrt(error / (2 images)) (Jordan 2023): a floor.
    """
    if distance < SAME:
        return None
    sd = test.sd or ((1 - test.mean) / (2 * images)) ** 0.5
    more = np.arange(1, MOST_MORE + 1)
    n = test.n + more
    halves = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * sd / np.sqrt(n)
    enough = np.flatnonzero(halves < distance)
    return int(more[enough[0]]) if len(enough) else None
