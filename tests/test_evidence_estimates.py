import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stepladder.evidence import Best, Estimate, best, estimate, held, sampling, share

accuracies = st.integers(0, 10_000).map(lambda correct: correct / 10_000)


def test_an_estimate_has_mean_deviation_t_interval_and_worst_seed() -> None:
    # t(0.975, 2) = 4.302653, from a table
    half = 4.302653 * 0.001 / math.sqrt(3)
    found = estimate([0.996, 0.994, 0.995])
    assert found.n == 3
    assert found.worst == 0.994
    assert [found.mean, found.sd, found.low, found.high] == pytest.approx([0.995, 0.001, 0.995 - half, 0.995 + half], rel=1e-6)


def test_one_seed_has_no_spread_and_no_interval() -> None:
    assert estimate([0.994]) == Estimate(1, 0.994, None, None, None, 0.994)


def test_seeds_that_agree_have_no_interval_instead_of_a_certain_one() -> None:
    found = estimate([0.994, 0.994, 0.994])
    assert found.mean == pytest.approx(0.994)
    assert (found.sd, found.low, found.high) == (0.0, None, None)


def test_no_values_are_no_estimate() -> None:
    with pytest.raises(ValueError, match="no values"):
        estimate([])


def test_a_90_percent_interval_is_narrower() -> None:
    half = 2.919986 * 0.001 / math.sqrt(3)  # t(0.95, 2), from a table
    found = estimate([0.996, 0.994, 0.995], 0.90)
    assert [found.low, found.high] == pytest.approx([0.995 - half, 0.995 + half], rel=1e-6)


@given(st.lists(accuracies, min_size=2, max_size=12, unique=True))
def test_an_interval_lies_around_its_mean_and_moves_with_the_values(values: list[float]) -> None:
    found = estimate(values)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.mean < found.high
    assert found.worst == min(values)
    moved = estimate([value + 0.25 for value in values])
    assert [moved.low, moved.high] == pytest.approx([found.low + 0.25, found.high + 0.25])


def test_a_95_percent_interval_holds_the_truth_in_95_of_100_experiments() -> None:
    draws = np.random.default_rng(0).normal(0.994, 0.0005, (2000, 5))
    intervals = [estimate(draw) for draw in draws.tolist()]
    inside = sum(found.low <= 0.994 <= found.high for found in intervals if found.low is not None and found.high is not None)
    assert inside / 2000 == pytest.approx(0.95, abs=0.015)  # 3 standard errors


def test_held_counts_seeds_that_reach_the_accuracy_in_each_of_the_last_epochs() -> None:
    calm, late_dip, early_dip, at_the_target = [0.9, 0.995, 0.996], [0.9, 0.996, 0.993], [0.2, 0.995, 0.995], [0.0, 0.994, 0.994]
    found = held([calm, late_dip, early_dip, at_the_target], accuracy=0.994, hold=2)
    assert (found.share, found.count, found.n) == (0.75, 3, 4)


def test_a_history_of_fewer_epochs_than_asked_for_holds_nothing() -> None:
    assert held([[1.0, 1.0], []], accuracy=0.9, hold=3).count == 0


def test_the_bounds_of_a_share_are_exact() -> None:
    # all of n hold at a chance x with probability x^n, none with (1 - x)^n
    assert share(20, 20).least == pytest.approx(0.05 ** (1 / 20)) == pytest.approx(0.8609, abs=1e-4)
    assert share(20, 20).most == 1.0
    assert share(0, 2).most == pytest.approx(1 - 0.05**0.5)
    assert share(0, 2).least == 0.0
    found = held([[1.0]] * 8 + [[0.0]] * 2, accuracy=0.5, hold=1)
    assert found == share(8, 10)
    # at the bounds, 8 or more, and 8 or fewer, of 10 have a chance of 5 %
    assert stats.binom.sf(7, 10, found.least) == pytest.approx(0.05)
    assert stats.binom.cdf(8, 10, found.most) == pytest.approx(0.05)


def test_the_sampling_of_the_test_set_adds_a_binomial_interval() -> None:
    assert sampling(0.9955, 10_000) == pytest.approx(1.96 * math.sqrt(0.9955 * 0.0045 / 10_000), rel=1e-4)
    assert 100 * sampling(0.9955, 10_000) == pytest.approx(0.13, abs=0.002)
    assert sampling(1.0, 500) == 0.0


def test_best_tells_how_many_looks_it_was_picked_from() -> None:
    assert best([[0.98, 0.995, 0.99], [0.99, 0.97, 0.98]]) == Best(0.995, epochs=3, seeds=2)
