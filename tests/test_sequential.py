"""Sequential t-tests: known answers, and what they get wrong in the long run."""

from math import isfinite, log

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chi, norm

from stepladder.climb.plan import TRIED, VERIFIED
from stepladder.climb.sequential import Limits, Spread, detectable, pooled, power, prior, sequential

LIMITS = Limits(0.05, 0.1, 24)
LOOKED_FOR, SPREAD = 0.0005, 0.0008


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("freedom", [4, 12, 60])
def test_the_ratio_is_that_of_two_likelihoods_without_the_deviation(seed: int, freedom: int) -> None:
    """Of the mean and the estimated deviation, the true one integrated over (Rushton 1950): what is not known does not count."""
    seen = np.random.default_rng(seed).normal(0.0003, SPREAD, 7)
    t, shift = seen.mean() / (SPREAD / 7**0.5), LOOKED_FOR / (SPREAD / 7**0.5)

    def likelihood(shift: float) -> float:
        return float(quad(lambda share: norm.pdf(t * share, shift) * share * chi.pdf(share * freedom**0.5, freedom), 0, 6)[0])

    expected = np.log(likelihood(shift) / likelihood(0))
    assert sequential(seen.tolist(), 0.0, LOOKED_FOR, Spread(SPREAD, freedom), LIMITS).log_ratio == pytest.approx(
        expected, abs=1e-6
    )


def test_the_ratio_is_about_that_of_two_normal_likelihoods_where_the_deviation_is_well_known() -> None:
    seen = np.random.default_rng(0).normal(0.0003, SPREAD, 7)
    expected = (norm.logpdf(seen, LOOKED_FOR, SPREAD) - norm.logpdf(seen, 0, SPREAD)).sum()
    assert sequential(seen.tolist(), 0.0, LOOKED_FOR, Spread(SPREAD, 1e6), LIMITS).log_ratio == pytest.approx(expected, abs=0.02)


def test_it_ends_at_walds_bounds_and_not_before() -> None:
    # With low 0, high 1 and a known deviation of 1 an observation of x adds x - 1/2; a little less where it is not quite known.
    known = Spread(1.0, 1e6)
    yes, no = log(0.9 / 0.05), log(0.1 / 0.95)
    assert sequential([yes + 0.7, 0.5, 0.5], 0, 1, known, LIMITS).answer == "yes"
    assert sequential([yes + 0.4, 0.5, 0.5], 0, 1, known, LIMITS).answer == "open"
    assert sequential([yes + 0.7, 0.5], 0, 1, known, LIMITS).answer == "open"
    assert sequential([no + 0.4], 0, 1, known, LIMITS).answer == "no"
    assert sequential([no + 0.6], 0, 1, known, LIMITS).answer == "open"


@pytest.mark.parametrize("freedom", [1, 4, 46, 300, 10_000])
@pytest.mark.parametrize("difference", [0.001, 0.64, 10.0, 1000.0])
def test_no_observation_is_too_far_off_for_a_ratio(freedom: int, difference: float) -> None:
    ratios = []
    for mean in (-1e6, -30.0, -3.0, 0.0, difference, 30.0, 1e6):
        found = sequential([mean] * 4, 0.0, difference, Spread(1.0, freedom), LIMITS)
        assert isfinite(found.log_ratio)
        ratios.append(found.log_ratio)
    assert ratios[:4] == sorted(ratios[:4])
    assert sequential([-1e6] * 4, 0.0, max(difference, 1), Spread(1.0, freedom), LIMITS).answer == "no"


def test_three_pairs_of_unknown_deviation_show_nothing_however_large() -> None:
    """With the shares of a climb: a difference of 0.64 deviations of a pair, and runs that deviate by more than was expected."""
    assert sequential([1000.0] * 3, 0, 0.64, Spread(1.0, 4), VERIFIED).answer == "open"
    assert sequential([1000.0] * 6, 0, 0.64, Spread(1.0, 10), VERIFIED).answer == "yes"


def test_what_is_open_after_the_last_pair_is_not_shown() -> None:
    assert sequential([0.5] * 23, 0, 1, Spread(1, 50), LIMITS).answer == "open"
    assert sequential([0.5] * 24, 0, 1, Spread(1, 50), LIMITS).answer == "no"


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
        found = sequential(draws[:number], 0.0, LOOKED_FOR, Spread(SPREAD, 4 + 2 * (number - 1)), VERIFIED)
        if found.answer != "open":
            return found.answer == "yes"
    raise AssertionError("it did not end")


def test_the_deviation_is_the_priors_without_runs_and_the_runs_own_with_many() -> None:
    assert pooled([], 0.00055) == pytest.approx((0.00055, 4))
    assert pooled([[0.99], [0.98]], 0.00055) == pytest.approx((0.00055, 4))
    rng = np.random.default_rng(0)
    groups = [rng.normal(0.9 + shift, 0.003, 5).tolist() for shift in (0.0, 0.02, 0.05) * 200]
    assert pooled(groups, 0.00055) == pytest.approx((0.003, 2400), rel=0.05)
    # Two runs that differ by 2 d add d^2 * 2 with one degree of freedom.
    assert pooled([[0.991, 0.9912]], 0.00055) == pytest.approx((((4 * 0.00055**2 + 2 * 0.0001**2) / 5) ** 0.5, 5))


def test_what_is_expected_counts_for_nothing_where_runs_deviate_by_more() -> None:
    assert pooled([[0.991, 0.993]], 0.00055) == pytest.approx((2**0.5 * 0.001, 1))


def test_what_is_expected_before_runs_is_what_mnist_shows() -> None:
    assert prior(0.994, 10_000) == pytest.approx(0.00055, abs=5e-6)
    assert prior(0.75, 500) > 0.01
