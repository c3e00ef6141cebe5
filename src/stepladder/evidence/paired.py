"""Tests on pairs: one difference, child minus parent, for each seed that both steps have; or two runs' answers, image by image."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from stepladder.evidence.estimates import SAME
from stepladder.evidence.flips import DRAWS, drawn_p

ALPHA = 0.05
POWER = 0.80
MARGIN = 0.0005
"""Two steps are taken to be equal when their accuracies differ by less than this: 0.05 percentage points."""

GRID = (200.0, 800.0, 3200.0)
"""What `anytime_p` bets on: 2, 8 and 32 for each point of difference. The best bet is the effect over the variance of the
differences: 16 a point at 0.1 points and a deviation of 0.078; three a factor of 4 apart lose little from 0.05 to 2 points."""

EXACT = 20
"""Up to so many pairs, all sign patterns are counted (a million); above, they are drawn."""


@dataclass(frozen=True)
class McNemar:
    """Two runs on the same images: how many only the child and only the parent answered right, and the exact two-sided
    p of so uneven a split if neither run were the better one."""

    only_child: int
    only_parent: int
    p: float


def sign_flip_p(differences: Sequence[float]) -> float:
    """The two-sided p of the mean difference, if each one's sign were a coin's throw (Fisher's paired permutation test).

    The share of sign patterns whose sum is at least as far from 0 as the one found, among all 2^n up to n = 20. Above,
    among 99,999 patterns drawn from a fixed seed and the one found (Phipson and Smyth 2010), which is never below 2e-5.
    """
    if len(differences) > EXACT:
        return drawn_p(differences)
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    return float(np.mean(np.abs(sums) >= abs(sum(differences)) - SAME))


def anytime_p(differences: Sequence[float]) -> float:
    """The p of the same null as `sign_flip_p`'s, each sign a coin's throw, that may be looked at after every seed.

    The mean over `GRID` and its mirror of prod 2 / (1 + exp(-2 lambda d)), in order of seeds: each factor is a ratio of two
    likelihoods of the sign, so that the products are a martingale which starts at 1, and one that ever reaches 20 is met in at
    most 5 % (Ville 1939; for symmetric differences Ramdas, Ruf, Larsson and Koolen 2020). p is 1 over its largest value.
    """
    bets = np.array([*GRID, *(-bet for bet in GRID)])[:, None]
    factors = np.log(2) - np.logaddexp(0, -2 * bets * np.asarray(differences, dtype=float))
    wealth = np.exp(np.minimum(np.cumsum(factors, axis=1), 700)).mean(axis=0)  # 700: short of what a float can hold
    return min(1.0, 1 / float(wealth.max()))


def smallest_p(pairs: int) -> float:
    """The smallest p that `sign_flip_p` can give: that of the two patterns in which all signs agree."""
    return 2 / 2**pairs if pairs <= EXACT else 2 / (DRAWS + 1)


def holm(ps: Sequence[float]) -> list[float]:
    """Each p adjusted for looking at all of them, so that the chance of any false claim stays at its level (Holm 1979)."""
    order = np.argsort(ps, kind="stable")
    scaled = np.arange(len(ps), 0, -1) * np.asarray(ps, dtype=float)[order]
    adjusted = np.empty(len(ps))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    found: list[float] = adjusted.tolist()
    return found


def level_after_holm(others: Sequence[float]) -> float:
    """The p below which one effect is found after Holm, beside the p of the `others`: 0.05 over how many are not found."""
    left = len(others) + 1
    for p in sorted(others):
        if p * left >= ALPHA:
            break
        left -= 1
    return ALPHA / left


def pairs_needed(others: Sequence[float]) -> int:
    """How many pairs one effect needs for its smallest p to be below 0.05 after Holm, beside the p of the `others`."""
    return next(pairs for pairs in count(1) if holm([2 / 2**pairs, *others])[0] < ALPHA)


def equivalence_p(differences: Sequence[float], margin: float = MARGIN) -> float:
    """The p of the mean difference lying within -margin to +margin: two one-sided t-tests, the larger p (Schuirmann 1987).

    1.0 with one pair, and with pairs that all agree: without a spread nothing is known about the next pair.
    """
    if len(differences) < 2 or np.ptp(differences) < SAME:
        return 1.0
    from scipy import stats  # here and below, as in `estimates`

    above = stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(differences, margin, alternative="less").pvalue
    return float(max(above, below))


def detectable(standard_error: float, freedom: int, level: float = ALPHA) -> float:
    """The smallest difference that a two-sided t-test at `level` finds with 80 % power.

    Of n pairs: the standard error of their mean difference, n - 1 degrees of freedom. Of two groups of n with the standard
    deviation s each: s sqrt(2/n), 2n - 2. The square of the t statistic is noncentral F, with the square of difference
    over standard error as its noncentrality.
    """
    from scipy import optimize, stats

    edge = stats.t.ppf(1 - level / 2, freedom)

    def lack(errors: float) -> float:  # of power, at a difference of so many standard errors
        return float(stats.ncf.sf(edge**2, 1, freedom, errors**2)) - POWER

    return standard_error * float(optimize.brentq(lack, 1.0, 2 * edge + 10))


def mcnemar(child: NDArray[np.uint8], parent: NDArray[np.uint8], labels: NDArray[np.uint8]) -> McNemar:
    """What two runs answered (images,) against the labels; the exact test of McNemar 1947, a sign test over the images
    that only one of them answered right (p = 1.0 where there is none)."""
    from scipy import stats

    right, before = child == labels, parent == labels
    only_child, only_parent = int(np.sum(right & ~before)), int(np.sum(before & ~right))
    uneven = only_child + only_parent
    return McNemar(only_child, only_parent, float(stats.binomtest(only_child, uneven).pvalue) if uneven else 1.0)
