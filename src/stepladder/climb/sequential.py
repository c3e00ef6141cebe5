"""Sequential probability ratio tests (Wald 1945): after every pair of runs, whether what there is will do."""

from collections.abc import Iterable, Sequence
from math import log
from typing import Literal, NamedTuple

import numpy as np

PRIOR_SHARE = 0.71
"""The standard deviation of an accuracy over seeds, as a share of what sampling the images that judge it would add: networks of a
few thousand parameters have 0.055 points near 99.4 % of 10,000 images of MNIST, where sampling adds 0.077."""
PRIOR_FREEDOM = 4
"""So many degrees of freedom the prior deviation counts for."""
LEAST = 3
"""Observations before a test says yes: the deviation is not known as well as Wald's test takes it to be."""

Answer = Literal["yes", "no", "open"]


class Limits(NamedTuple):
    """What a test may get wrong: `alpha` is the chance of yes where there is no difference, `beta` that of no where there is the
    one looked for, both about (Wald's bounds); after `most` observations what is still open is no."""

    alpha: float
    beta: float
    most: int


class Test(NamedTuple):
    """How a test stands: its observations, the logarithm of the likelihood ratio of a difference against none, the answer, and the
    seed of the first observation; the others follow."""

    observations: tuple[float, ...]
    log_ratio: float
    answer: Answer
    seed: int = 0


def sprt(observations: Sequence[float], low: float, high: float, deviation: float, limits: Limits) -> Test:
    """Whether the mean of normal observations of a known standard deviation is `high` rather than `low`.

    The logarithm of the likelihood ratio is (high - low) / deviation^2 * sum(x - (high + low) / 2); yes from
    log((1 - beta) / alpha) and `LEAST` observations on, no from log(beta / (1 - alpha)) down.
    """
    middle = (low + high) / 2
    ratio = (high - low) / deviation**2 * sum(x - middle for x in observations)
    answer: Answer = "open"
    if ratio >= log((1 - limits.beta) / limits.alpha) and len(observations) >= LEAST:
        answer = "yes"
    elif ratio <= log(limits.beta / (1 - limits.alpha)) or len(observations) >= limits.most:
        answer = "no"
    return Test(tuple(observations), ratio, answer)


def prior(accuracy: float, images: int) -> float:
    """The standard deviation over seeds that is expected of an accuracy near this one on so many images, before there are runs."""
    return float(PRIOR_SHARE * np.sqrt(max(accuracy * (1 - accuracy), 1 / images) / images))


def deviation(groups: Iterable[Sequence[float]], expected: float) -> float:
    """The standard deviation of an accuracy over seeds, pooled within groups of runs that differ in their seeds alone, what was
    expected counting as `PRIOR_FREEDOM` more degrees of freedom."""
    squares, freedom = PRIOR_FREEDOM * expected**2, float(PRIOR_FREEDOM)
    for group in groups:
        if len(group) > 1:
            squares += float(np.var(group)) * len(group)
            freedom += len(group) - 1
    return float(np.sqrt(squares / freedom))


def power(effect: float, difference: float, deviation: float, limits: Limits) -> float:
    """The chance that a test which looks for a difference says yes where it is `effect`, by 4,000 draws of a fixed seed."""
    draws = np.random.default_rng(0).normal(effect, deviation, (4_000, limits.most))
    ratios = difference / deviation**2 * np.cumsum(draws - difference / 2, axis=1)
    yes, no = (ratios >= log((1 - limits.beta) / limits.alpha)), (ratios <= log(limits.beta / (1 - limits.alpha)))
    never = limits.most
    yes[:, : LEAST - 1] = False
    first_yes, first_no = (np.where(hit.any(1), hit.argmax(1), never) for hit in (yes, no))
    return float(np.mean(first_yes < first_no))


def detectable(difference: float, deviation: float, limits: Limits) -> float:
    """The effect that a test finds four times out of five."""
    low, high = 0.0, difference
    while power(high, difference, deviation, limits) < 0.8:
        low, high = high, 2 * high
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, difference, deviation, limits) >= 0.8 else (middle, high)
    return high
