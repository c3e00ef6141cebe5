"""Sequential t-tests (Rushton 1950, Hajnal 1961; bounds of Wald 1945): after every pair of runs, whether what there is will do."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import isfinite, log, sqrt
from typing import Literal, NamedTuple

import numpy as np

PRIOR_SHARE = 0.71
"""The standard deviation of an accuracy over seeds, as a share of what sampling the images that judge it would add: networks of a
few thousand parameters have 0.055 points near 99.4 % of 10,000 images of MNIST, where sampling adds 0.077."""
PRIOR_FREEDOM = 4
"""So many degrees of freedom the prior deviation counts for."""
LEAST = 3
"""Observations before a test says yes."""
MOST_T, MOST_FREEDOM, LEAST_RATIO = 30.0, 100.0, -1_000.0
"""Beyond these answers stay the same, but scipy's density of a noncentral t runs out of numbers (1.17, from a freedom of 200)."""

Answer = Literal["yes", "no", "open"]


class Limits(NamedTuple):
    """What a test may get wrong: `alpha` is the chance of yes where there is no difference, `beta` that of no where there is the
    one looked for, both about (Wald's bounds); after `most` observations what is still open is no."""

    alpha: float
    beta: float
    most: int


class Spread(NamedTuple):
    """A standard deviation as it was estimated, and with how many degrees of freedom."""

    deviation: float
    freedom: float


class Test(NamedTuple):
    """How a test stands: its observations, the logarithm of the likelihood ratio of a difference against none, the answer, and the
    seed of the first observation; the others follow."""

    observations: tuple[float, ...]
    log_ratio: float
    answer: Answer
    seed: int = 0


def sequential(observations: Sequence[float], low: float, high: float, spread: Spread, limits: Limits) -> Test:
    """Whether the mean of normal observations is `high` rather than `low`; their spread is estimated beside them.

    The likelihood ratio is that of the statistic t = (mean - low) sqrt(n) / deviation: noncentral, with (high - low) sqrt(n) /
    deviation, against central. Yes from log((1 - beta) / alpha) and `LEAST` observations on, no from log(beta / (1 - alpha)) down.
    """
    ratio = _log_ratio(float(np.mean(observations)) - low, high - low, len(observations), spread)
    answer: Answer = "open"
    yes, no = _bounds(limits)
    if ratio >= yes and len(observations) >= LEAST:
        answer = "yes"
    elif ratio <= no or len(observations) >= limits.most:
        answer = "no"
    return Test(tuple(observations), ratio, answer)


@lru_cache(maxsize=2**14)  # a climb is worked out anew after every run
def _log_ratio(mean: float, difference: float, count: int, spread: Spread) -> float:
    """Of `difference` against 0, by the mean of so many observations."""
    from scipy import stats  # here and below: a second of imports, which is for those who climb

    error, freedom = spread.deviation / sqrt(count), min(spread.freedom, MOST_FREEDOM)
    t = max(-MOST_T, min(MOST_T, mean / error))
    there, none = np.asarray(stats.nct.logpdf(t, freedom, [difference / error, 0.0]))  # without a difference it is central
    return max(LEAST_RATIO, float(there - none))


def _bounds(limits: Limits) -> tuple[float, float]:
    """The logarithms of ratio from which on the answer is yes, and down from which it is no."""
    return log((1 - limits.beta) / limits.alpha), log(limits.beta / (1 - limits.alpha))


def prior(accuracy: float, images: int) -> float:
    """The standard deviation over seeds that is expected of an accuracy near this one on so many images, before there are runs."""
    return float(PRIOR_SHARE * np.sqrt(max(accuracy * (1 - accuracy), 1 / images) / images))


def pooled(groups: Iterable[Sequence[float]], expected: float) -> Spread:
    """The standard deviation of an accuracy over seeds, pooled within groups of runs that differ in their seeds alone. What was
    expected counts as `PRIOR_FREEDOM` more degrees of freedom, as long as runs do not deviate by more than that."""
    squares, freedom = 0.0, 0.0
    for group in groups:
        if len(group) > 1:
            squares += float(np.var(group)) * len(group)
            freedom += len(group) - 1
    if squares <= freedom * expected**2:
        squares, freedom = squares + PRIOR_FREEDOM * expected**2, freedom + PRIOR_FREEDOM
    return Spread(sqrt(squares / freedom), freedom)


def power(effect: float, difference: float, deviation: float, limits: Limits) -> float:
    """The chance that a test of pairs which looks for a difference says yes where it is `effect` and pairs deviate as was expected,
    by 4,000 draws of a fixed seed."""
    draws = np.random.default_rng(0).normal(effect, deviation, (4_000, limits.most))
    means = np.cumsum(draws, axis=1) / np.arange(1, limits.most + 1)
    least, most = np.array([_decided_by(count, difference, deviation, limits) for count in range(1, limits.most + 1)]).T
    yes, no, never = means >= most, means <= least, limits.most
    yes[:, : LEAST - 1] = False
    first_yes, first_no = (np.where(hit.any(1), hit.argmax(1), never) for hit in (yes, no))
    return float(np.mean(first_yes < first_no))


@lru_cache(maxsize=256)
def _decided_by(count: int, difference: float, deviation: float, limits: Limits) -> tuple[float, float]:
    """The mean of so many pairs down from which the answer is no, and that from which on it is yes."""
    from scipy import optimize

    spread = Spread(deviation, PRIOR_FREEDOM + 2 * (count - 1))
    yes, no = _bounds(limits)
    farthest = MOST_T * deviation / sqrt(count)

    def mean(bound: float) -> float:
        def above(mean: float) -> float:
            return _log_ratio(mean, difference, count, spread) - bound

        if above(farthest) < 0 or above(-farthest) > 0:
            return float("inf" if bound > 0 else "-inf")  # no mean of so few decides
        return float(optimize.brentq(above, -farthest, farthest))

    return mean(no), mean(yes)


def shows(difference: float, deviation: float, limits: Limits) -> bool:
    """Whether a test that looks for a difference can say yes at all, where pairs deviate as was expected."""
    return isfinite(_decided_by(limits.most, difference, deviation, limits)[1])


def detectable(difference: float, deviation: float, limits: Limits) -> float:
    """The effect that a test finds four times out of five."""
    low, high = 0.0, difference
    while power(high, difference, deviation, limits) < 0.8:
        low, high = high, 2 * high
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, difference, deviation, limits) >= 0.8 else (middle, high)
    return high
