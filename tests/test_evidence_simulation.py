"""Simulated ladders: how often the tests claim what is not so, and how often they find what is.

Every accuracy is that of 10,000 images, with a standard deviation of 0.055 points over seeds (the floor at 99.4 %) and
independent arms. Measured with the numbers below (they are the same on every repetition):

- no effect, 10 pairs: p below 0.05 in 4.95 % of 10,000 experiments (50 of 1,024 patterns are 4.88 %); in 4.3 % where
  accuracies are whole images, since equal differences make the test cautious
- no effect in any of 8 steps: some claim in 29.8 % of 2,000 ladders without Holm's correction, in 3.9 % with it
- an effect of 0.10 points, 10 pairs: found in 94.1 % of 4,000 experiments, and in 56.9 % of 2,000 within a ladder
  of 8 whose other steps do nothing: there the difference found with 80 % power is 0.112 points, alone 0.077. The two-sample
  t-test that the table of smallest
  differences is for has 97.0 % there; pairs of independent arms have half its degrees of freedom, which leaves a t-test
  95.0 %, and counting sign patterns in place of trusting the bell curve costs the last point.
- 0.073 points, what that table gives for 10 seeds of this spread at 80 %: found in 73.3 % (74.8 % by the paired t-test)
- a difference of exactly 0.05 points called "no difference above 0.05 points": 4.5 % of 2,000; a difference of 0: 74.1 %,
  20 pairs. A ladder of 8 steps at exactly 0.05 points: some "no difference" in 27.5 % of 1,000 (10 pairs) and 37.1 % (20 pairs)
  without Holm's correction, in 1.9 and 5.5 % with it
- no effect, looked at after each seed from 6 to 20: the exact p is below 0.05 at some look in 16.1 % of 4,000, the anytime p in
  1.7 %. What that costs: with an effect of 0.10 points the anytime p is below 0.05 by 10 seeds in 67.5 % of 4,000 (the exact one,
  looked at once, in 94.0 %), by 20 in 98.2 %
- a mean exactly at the target called reached: 2.7 %, called missed: 2.4 % of 4,000, 10 seeds
"""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from stepladder.evidence import estimate
from stepladder.evidence.paired import ALPHA, MARGIN, anytime_p, detectable, equivalence_p, holm, level_after_holm, sign_flip_p

IMAGES = 10_000
SD = 0.00055


def accuracies(shape: tuple[int, int], mean: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Test accuracies (experiments, seeds), in whole images."""
    found: NDArray[np.float64] = np.round(IMAGES * generator.normal(mean, SD, shape)) / IMAGES
    return found


def differences(experiments: int, pairs: int, effect: float, seed: int) -> list[list[float]]:
    """Child minus parent, paired, for each experiment."""
    generator = np.random.default_rng(seed)
    parent, child = (accuracies((experiments, pairs), mean, generator) for mean in (0.9935, 0.9935 + effect))
    found: list[list[float]] = (child - parent).tolist()
    return found


def found_share(experiments: list[list[float]]) -> float:
    """How often p is below 0.05."""
    return float(np.mean([sign_flip_p(experiment) < ALPHA for experiment in experiments]))


def power(effect: float, pairs: int, freedom: int) -> float:
    """Of a two-sided t-test at 0.05 on arms that are independent of one another."""
    return float(stats.nct.sf(stats.t.ppf(0.975, freedom), freedom, effect / (SD * (2 / pairs) ** 0.5)))


def three_errors(share: float, experiments: int) -> float:
    """Three standard errors of a measured share."""
    return 3 * float((share * (1 - share) / experiments) ** 0.5)


def test_without_an_effect_p_is_below_its_level_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).normal(0, SD, (10_000, 10)).tolist()
    attainable = 50 / 1024  # patterns come in pairs of mirrors, and 51.2 would be 5 %
    assert found_share(draws) == pytest.approx(attainable, abs=three_errors(attainable, 10_000))


@pytest.mark.parametrize("pairs", [3, 5, 6, 10])
def test_whole_images_make_the_test_cautious_never_bold(pairs: int) -> None:
    share = found_share(differences(10_000, pairs, effect=0.0, seed=0))
    assert share < ALPHA
    assert (share == 0) == (pairs <= 5)  # five pairs cannot have a p below 0.0625
    assert share == 0 or share > 0.015


def test_holm_keeps_a_whole_ladder_of_nothing_below_its_level() -> None:
    ladders = np.array([sign_flip_p(pairs) for pairs in differences(16_000, 10, effect=0.0, seed=2)]).reshape(2000, 8)
    assert np.mean(ladders.min(axis=1) < ALPHA) > 0.25
    corrected = np.mean([min(holm(ladder)) < ALPHA for ladder in ladders.tolist()])
    assert 0.02 < corrected < ALPHA


def test_an_effect_of_a_tenth_of_a_point_is_found_with_the_power_of_the_table() -> None:
    share = found_share(differences(4_000, 10, effect=0.0010, seed=1))
    assert power(0.0010, 10, freedom=18) == pytest.approx(0.97, abs=0.001)
    assert share == pytest.approx(power(0.0010, 10, freedom=9), abs=0.02)


def test_within_a_ladder_the_same_effect_is_found_less_often() -> None:
    others = np.array([sign_flip_p(pairs) for pairs in differences(14_000, 10, effect=0.0, seed=5)]).reshape(2_000, 7)
    effects = [sign_flip_p(pairs) for pairs in differences(2_000, 10, effect=0.0010, seed=6)]
    found = np.mean([holm([p, *rest])[0] < ALPHA for p, rest in zip(effects, others.tolist(), strict=True)])
    assert found == pytest.approx(0.57, abs=three_errors(0.57, 2_000))
    alone, ladder = (detectable(SD * (2 / 10) ** 0.5, 9, level_after_holm(others)) for others in ([], [1.0] * 7))
    assert [100 * alone, 100 * ladder] == pytest.approx([0.0775, 0.1116], abs=0.0005)


def test_looked_at_again_and_again_the_exact_p_errs_and_the_anytime_p_does_not() -> None:
    none = differences(4_000, 20, effect=0.0, seed=8)
    assert np.mean([any(sign_flip_p(pairs[:n]) < ALPHA for n in range(6, 15)) for pairs in none[:500]]) > 2 * ALPHA
    assert np.mean([anytime_p(pairs) < ALPHA for pairs in none]) < ALPHA / 2
    effects = differences(4_000, 20, effect=0.0010, seed=9)
    by_ten, by_twenty = (np.mean([anytime_p(pairs[:n]) < ALPHA for pairs in effects]) for n in (10, 20))
    assert by_ten == pytest.approx(0.675, abs=three_errors(0.675, 4_000))
    assert by_twenty > 0.97


def test_the_difference_that_the_table_gives_for_ten_seeds_is_found_in_about_four_of_five() -> None:
    effect = 0.00066 / 0.0005 * SD
    assert power(effect, 10, freedom=18) == pytest.approx(0.80, abs=0.005)
    assert found_share(differences(4_000, 10, effect, seed=1)) == pytest.approx(power(effect, 10, freedom=9), abs=0.03)


def test_a_difference_at_the_margin_is_seldom_called_none() -> None:
    at_margin, none = (
        np.mean([equivalence_p(pairs) < ALPHA for pairs in differences(2_000, 20, effect, seed=3)]) for effect in (MARGIN, 0.0)
    )
    assert at_margin == pytest.approx(ALPHA, abs=three_errors(ALPHA, 2_000))
    assert none > 0.7


def test_holm_keeps_a_ladder_of_differences_at_the_margin_from_being_called_none() -> None:
    ps = [equivalence_p(pairs) for pairs in differences(4_000, 10, MARGIN, seed=7)]
    ladders = np.array(ps).reshape(500, 8)
    assert np.mean(ladders.min(axis=1) < ALPHA) > 0.2
    assert np.mean([min(holm(ladder)) < ALPHA for ladder in ladders.tolist()]) < ALPHA


def test_a_mean_at_the_target_is_seldom_called_reached_or_missed() -> None:
    draws = accuracies((4_000, 10), 0.994, np.random.default_rng(4)).tolist()
    found = [(interval.low or 0.0, interval.high or 0.0) for interval in map(estimate, draws)]
    reached, missed = np.mean([low >= 0.994 for low, _ in found]), np.mean([high < 0.994 for _, high in found])
    assert reached == pytest.approx(0.025, abs=three_errors(0.025, 4_000))
    assert missed == pytest.approx(0.025, abs=three_errors(0.025, 4_000))
