"""Sequential probability ratio tests: known answers, and what they get wrong in the long run."""

from math import log

import numpy as np
import pytest
from scipy.stats import norm

from stepladder.climb.plan import TRIED, VERIFIED
from stepladder.climb.sequential import Limits, detectable, deviation, power, prior, sprt

LIMITS = Limits(0.05, 0.1, 24)
LOOKED_FOR, SPREAD = 0.0005, 0.0008


@pytest.mark.parametrize("seed", range(5))
def test_the_ratio_is_that_of_two_normal_likelihoods(seed: int) -> None:
    seen = np.random.default_rng(seed).normal(0.0003, SPREAD, 7)
    expected = (norm.logpdf(seen, LOOKED_FOR, SPREAD) - norm.logpdf(seen, 0, SPREAD)).sum()
    assert sprt(seen.tolist(), 0.0, LOOKED_FOR, SPREAD, LIMITS).log_ratio == pytest.approx(expected, abs=1e-9)


def test_it_ends_at_walds_bounds_and_not_before() -> None:
    # With low 0, high 1 and deviation 1 an observation of x adds x - 1/2.
    yes, no = log(0.9 / 0.05), log(0.1 / 0.95)
    assert sprt([yes + 0.5 + 1e-9, 0.5, 0.5], 0, 1, 1, LIMITS).answer == "yes"
    assert sprt([yes + 0.5 - 1e-9, 0.5, 0.5], 0, 1, 1, LIMITS).answer == "open"
    assert sprt([yes + 0.5 + 1e-9, 0.5], 0, 1, 1, LIMITS).answer == "open"  # two pairs are no spread to speak of
    assert sprt([no + 0.5 - 1e-9], 0, 1, 1, LIMITS).answer == "no"
    assert sprt([no + 0.5 + 1e-9], 0, 1, 1, LIMITS).answer == "open"


def test_what_is_open_after_the_last_pair_is_not_shown() -> None:
    assert sprt([0.5] * 23, 0, 1, 1, LIMITS).answer == "open"
    assert sprt([0.5] * 24, 0, 1, 1, LIMITS).answer == "no"


@pytest.mark.parametrize("limits", [VERIFIED, TRIED, LIMITS])
def test_it_is_seldom_wrong_where_nothing_helps(limits: Limits) -> None:
    assert power(0.0, LOOKED_FOR, SPREAD, limits) < limits.alpha
    assert power(-LOOKED_FOR, LOOKED_FOR, SPREAD, limits) < 0.002


def test_it_finds_what_it_says_it_finds() -> None:
    found = detectable(LOOKED_FOR, SPREAD, VERIFIED)
    assert LOOKED_FOR < found < 3 * LOOKED_FOR
    assert power(found, LOOKED_FOR, SPREAD, VERIFIED) == pytest.approx(0.8, abs=0.01)
    rng = np.random.default_rng(1)
    answers = [_answer(rng.normal(found, SPREAD, 24).tolist()) for _ in range(1_000)]
    assert np.mean(answers) == pytest.approx(0.8, abs=0.04)


def _answer(draws: list[float]) -> bool:
    """The answer of the test, asked after every observation."""
    for number in range(1, len(draws) + 1):
        found = sprt(draws[:number], 0.0, LOOKED_FOR, SPREAD, VERIFIED)
        if found.answer != "open":
            return found.answer == "yes"
    raise AssertionError("it did not end")


def test_the_deviation_is_the_priors_without_runs_and_the_runs_own_with_many() -> None:
    assert deviation([], 0.00055) == pytest.approx(0.00055)
    assert deviation([[0.99], [0.98]], 0.00055) == pytest.approx(0.00055)
    rng = np.random.default_rng(0)
    groups = [rng.normal(0.9 + shift, 0.003, 5).tolist() for shift in (0.0, 0.02, 0.05) * 200]
    assert deviation(groups, 0.00055) == pytest.approx(0.003, rel=0.05)
    # Two runs that differ by 2 d add d^2 * 2 with one degree of freedom.
    assert deviation([[0.991, 0.993]], 0.00055) == pytest.approx(((4 * 0.00055**2 + 2 * 0.001**2) / 5) ** 0.5)


def test_what_is_expected_before_runs_is_what_mnist_shows() -> None:
    assert prior(0.994, 10_000) == pytest.approx(0.00055, abs=5e-6)
    assert prior(0.75, 500) > 0.01
