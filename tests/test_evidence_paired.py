import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stepladder.evidence import McNemar
from stepladder.evidence.paired import (
    MARGIN,
    anytime_p,
    detectable,
    equivalence_p,
    holm,
    level_after_holm,
    mcnemar,
    pairs_needed,
    sign_flip_p,
    smallest_p,
)

images = st.integers(-60, 60).map(lambda count: count / 10_000)
"""Differences of accuracies on 10,000 images."""
several = st.lists(images, min_size=1, max_size=10)
ps = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def every_pattern(differences: list[float]) -> float:
    """The sign-flip p, in whole images and one pattern at a time."""
    counts = [round(10_000 * difference) for difference in differences]
    sums = [sum(sign * count for sign, count in zip(signs, counts, strict=True)) for signs in product((1, -1), repeat=len(counts))]
    return sum(abs(found) >= abs(sum(counts)) for found in sums) / len(sums)


def test_the_permutation_p_is_the_share_of_sign_patterns_at_least_as_far_out() -> None:
    # 1 + 2 + 3 = 6: of 8 patterns only +++ and --- are as far from 0
    assert sign_flip_p([0.001, 0.002, 0.003]) == 2 / 8
    # 3 + 3 - 1 = 5: reached by +3+3-1, +3+3+1 and their mirrors
    assert sign_flip_p([0.003, 0.003, -0.001]) == 4 / 8
    assert sign_flip_p([0.001, -0.001]) == 1.0


@pytest.mark.parametrize("pairs", [1, 2, 5, 10, 20])
def test_pairs_that_all_agree_have_the_smallest_p(pairs: int) -> None:
    assert sign_flip_p([0.0007] * pairs) == smallest_p(pairs) == min(2 / 2**pairs, 1)


@pytest.mark.parametrize("pairs", [1, 3, 20, 21])
def test_pairs_without_a_difference_have_p_1(pairs: int) -> None:
    assert sign_flip_p([0.0] * pairs) == 1.0


def test_the_permutation_p_is_scipys() -> None:
    differences = np.random.default_rng(3).normal(0.03, 0.08, 9).round(2) / 100
    scipys = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=2**9, vectorized=True)
    assert sign_flip_p(differences.tolist()) == pytest.approx(scipys.pvalue, abs=1e-12)


@given(several)
def test_the_permutation_p_is_exact_in_spite_of_rounding(differences: list[float]) -> None:
    assert sign_flip_p(differences) == every_pattern(differences)


@given(several, st.randoms(use_true_random=False))
def test_the_permutation_p_knows_neither_order_nor_direction_nor_scale(differences: list[float], random: object) -> None:
    found = sign_flip_p(differences)
    assert smallest_p(len(differences)) <= found <= 1
    assert sign_flip_p(differences[::-1]) == found
    assert sign_flip_p([-difference for difference in differences]) == found
    assert sign_flip_p([2 * difference for difference in differences]) == found


@given(several, st.data())
def test_a_pair_moved_towards_the_mean_sign_never_raises_the_p(differences: list[float], data: st.DataObject) -> None:
    if sum(differences) < 0:
        differences = [-difference for difference in differences]
    place = data.draw(st.integers(0, len(differences) - 1))
    turned = [abs(difference) if k == place else difference for k, difference in enumerate(differences)]
    assert sign_flip_p(turned) <= sign_flip_p(differences)


def test_above_twenty_pairs_the_p_is_drawn_near_the_exact_one_and_the_same_every_time() -> None:
    differences = (np.random.default_rng(0).normal(0.3, 1, 24).round(1) / 1000).tolist()
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    exact = float(np.mean(np.abs(sums) >= abs(sum(differences)) - 1e-9))
    assert 0.05 < exact < 0.5
    assert sign_flip_p(differences) == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 99_999))
    assert sign_flip_p(differences) == sign_flip_p(differences)


def test_a_drawn_p_is_never_0() -> None:
    assert sign_flip_p([0.001 * k for k in range(1, 41)]) == smallest_p(40) == 2e-5


def test_the_anytime_p_is_one_over_the_largest_mean_of_bets() -> None:
    # one pair of 0.001: 2 / (1 + exp(-2 lambda d)) at bets of 200, 800, 3200 and their mirrors, whose factors add to 2
    assert anytime_p([0.001]) == pytest.approx(1)
    bets = [sign * bet for bet in (200, 800, 3200) for sign in (1, -1)]
    wealth = [
        sum(math.prod(2 / (1 + math.exp(-2 * bet * d)) for d in [0.001] * pairs) for bet in bets) / len(bets) for pairs in (1, 2, 3)
    ]
    assert wealth[0] == pytest.approx(1)
    assert anytime_p([0.001] * 3) == pytest.approx(1 / wealth[2])
    # what was once reached stays: a later pair against it raises nothing
    assert anytime_p([0.001, 0.001, 0.001, -0.001]) == pytest.approx(1 / wealth[2])


@given(several)
def test_the_wealth_of_the_bets_is_one_on_average_over_all_signs(differences: list[float]) -> None:
    sizes = [abs(difference) for difference in differences[:6]]
    wealth = []
    for signs in product((1, -1), repeat=len(sizes)):
        bets = np.array([200, 800, 3200, -200, -800, -3200])[:, None]
        signed = np.multiply(signs, sizes)
        wealth.append(np.prod(2 / (1 + np.exp(-2 * bets * signed)), axis=1).mean())
        assert anytime_p(signed.tolist()) <= min(1, 1 / wealth[-1]) + 1e-9
    assert np.mean(wealth) == pytest.approx(1)


@given(several, images)
def test_the_anytime_p_never_rises_and_knows_no_direction(differences: list[float], more: float) -> None:
    found = anytime_p(differences)
    assert 0 < anytime_p([*differences, more]) <= found <= 1
    assert anytime_p([-difference for difference in differences]) == pytest.approx(found)


def test_the_anytime_p_of_very_many_pairs_is_a_number() -> None:
    assert 0 < anytime_p([0.5] * 2_000) < 1e-300


@pytest.mark.parametrize(
    ("others", "expected"),
    [([], 0.05), ([1.0] * 7, 0.05 / 8), ([0.001] * 7, 0.05), ([0.001, 0.001, 0.9], 0.05 / 2), ([0.02, 0.9], 0.05 / 3)],
)
def test_the_level_that_an_effect_faces_beside_others(others: list[float], expected: float) -> None:
    assert level_after_holm(others) == pytest.approx(expected)


@given(ps, st.floats(0, 0.06))
def test_an_effect_is_found_below_its_level_and_not_above(others: list[float], p: float) -> None:
    if abs(p - level_after_holm(others)) > 1e-9:
        assert (holm([p, *others])[0] < 0.05) == (p < level_after_holm(others))


def test_holms_correction_by_hand() -> None:
    # 0.005 x 4; 0.01 x 3; 0.03 x 2; 0.04 x 1, but not below the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


@given(ps)
def test_holm_lies_between_the_p_and_bonferroni_and_keeps_the_order(found: list[float]) -> None:
    adjusted = holm(found)
    for p, p_holm in zip(found, adjusted, strict=True):
        assert p <= p_holm <= min(1, p * len(found))
    order = np.argsort(found, kind="stable")
    assert np.all(np.diff(np.asarray(adjusted)[order]) >= 0)


@pytest.mark.parametrize(("others", "pairs"), [([], 6), ([1.0], 7), ([1.0] * 7, 9), ([0.0001] * 7, 6), ([0.5] * 19, 10)])
def test_how_many_pairs_an_effect_needs_beside_others(others: list[float], pairs: int) -> None:
    # alone: 2 / 2^6 = 0.03125; beside 7: 8 x 2 / 2^9 = 0.03125; beside 7 that are found first: as alone
    assert pairs_needed(others) == pairs


def test_equivalence_is_the_larger_of_two_one_sided_t_tests() -> None:
    # mean 0.0001, sd 0.0002, 4 pairs: t = (0.0001 - 0.0005) / 0.0001 = -4; P(t < -4) with 3 degrees of freedom is 0.014004
    differences = [0.0001 + sign * 0.0002 * math.sqrt(3 / 4) for sign in (1, 1, -1, -1)]
    assert equivalence_p(differences) == pytest.approx(0.014004, abs=1e-6)
    assert equivalence_p([-difference for difference in differences]) == pytest.approx(0.014004, abs=1e-6)


def test_equivalence_at_the_90_percent_interval() -> None:
    # t(0.95, 4) = 2.131847: the two tests are at 0.05 where the 90 % interval just touches the margin
    spread = np.array([-2.0, -1.0, 0.0, 1.0, 2.0]) * 1e-4
    half = 2.131847 * math.sqrt(2.5) * 1e-4 / math.sqrt(5)
    assert equivalence_p((spread + MARGIN - half).tolist()) == pytest.approx(0.05, rel=1e-5)
    assert equivalence_p((spread - MARGIN + half).tolist()) == pytest.approx(0.05, rel=1e-5)


@given(st.lists(images, min_size=2, max_size=8, unique=True))
def test_a_mean_beyond_the_margin_is_never_equivalent(differences: list[float]) -> None:
    p = equivalence_p(differences)
    assert 0 <= p <= 1
    assert (p > 0.5) == (abs(float(np.mean(differences))) > MARGIN) or p == pytest.approx(0.5)


@pytest.mark.parametrize("differences", [[0.0], [0.0002], [0.0] * 5, [0.0002] * 10])
def test_one_pair_and_pairs_that_agree_show_no_equivalence(differences: list[float]) -> None:
    assert equivalence_p(differences) == 1.0


@pytest.mark.parametrize(("seeds", "points"), [(3, 0.154), (5, 0.101), (10, 0.066), (20, 0.045)])
def test_the_difference_found_between_two_groups_is_that_of_the_published_table(seeds: int, points: float) -> None:
    # two-sample t-test, 80 % power, standard deviation 0.05 points
    assert detectable(0.05 * math.sqrt(2 / seeds), 2 * seeds - 2) == pytest.approx(points, abs=0.0006)


@pytest.mark.parametrize("freedom", [1, 2, 4, 9, 29, 999])
def test_at_the_detectable_difference_the_power_is_80_percent(freedom: int) -> None:
    noncentrality = detectable(1.0, freedom)
    edge = stats.t.ppf(0.975, freedom)
    assert stats.nct.sf(edge, freedom, noncentrality) == pytest.approx(0.8, abs=1e-6)  # the other tail is below 1e-6
    assert detectable(0.25, freedom) == pytest.approx(noncentrality / 4)


def test_with_many_pairs_the_detectable_difference_is_that_of_a_known_spread() -> None:
    assert detectable(1.0, 100_000) == pytest.approx(1.959964 + 0.841621, abs=1e-3)


def test_mcnemar_counts_the_images_that_only_one_of_two_runs_answers_right() -> None:
    labels = np.zeros(20, np.uint8)
    child, parent = labels.copy(), labels.copy()
    child[:2] = 1  # only the parent is right
    parent[2:10] = 3  # only the child is right
    child[10:13] = parent[10:13] = 5  # neither
    # of 10 throws, 8 or more or 2 or fewer: 2 (1 + 10 + 45) / 1024
    found = mcnemar(child, parent, labels)
    assert (found.only_child, found.only_parent) == (8, 2)
    assert found.p == pytest.approx(112 / 1024)


def test_two_runs_with_the_same_mistakes_are_not_told_apart() -> None:
    labels = np.arange(10, dtype=np.uint8)
    assert mcnemar(labels, labels, labels) == McNemar(0, 0, 1.0)
    wrong = (labels + 1) % 10
    assert mcnemar(wrong, wrong, labels) == McNemar(0, 0, 1.0)
