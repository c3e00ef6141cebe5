import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepladder.evidence import Cut, Late
from stepladder.evidence.curves import cut, late

RATES = [0.01] * 6 + [0.001] * 6 + [0.0001] * 2


def test_late_epochs_tell_how_far_they_move_and_whether_they_rise() -> None:
    # the last four of the first seed: moves 0.002, 0.001, 0.002; of the second 0.001 each time
    found = late([[0.1, 0.990, 0.992, 0.991, 0.993], [0.9, 0.990, 0.991, 0.992, 0.993]], 4)
    assert found is not None
    assert found.epochs == 4
    assert found.moves.mean == pytest.approx((0.005 / 3 + 0.001) / 2)
    # least squares: sum((x - 1.5) y) / 5, three epochs long: 3 (1.5 * 3 + 0.5 * -1) / 5 and 3 * 1
    assert found.rise.mean == pytest.approx(((3 * 4 / 5) + 3) / 2 * 0.001)
    assert found.rise.n == 2


def test_a_slow_trend_is_no_scatter() -> None:
    calm, wild = late([[0.990, 0.991, 0.992, 0.993]], 4), late([[0.990, 0.993, 0.990, 0.993]], 4)
    assert calm is not None
    assert wild is not None
    assert [calm.moves.mean, wild.moves.mean] == pytest.approx([0.001, 0.003])
    assert calm.rise.mean > wild.rise.mean


def test_flat_seeds_move_nowhere_and_have_no_interval() -> None:
    found = late([[0.99] * 5, [0.98] * 5], 5)
    assert found is not None
    assert [found.moves.mean, found.rise.mean] == pytest.approx([0.0, 0.0])
    assert (found.rise.low, found.rise.high) == (None, None)


def test_fewer_epochs_than_asked_for_are_all_looked_at() -> None:
    found = late([[0.9, 0.95, 0.99]], 5)
    assert found is not None
    assert found.epochs == 3


@pytest.mark.parametrize(("histories", "epochs"), [([[0.9, 0.99]], 1), ([[0.99]], 5), ([], 5)])
def test_one_epoch_or_none_shows_no_movement(histories: list[list[float]], epochs: int) -> None:
    assert late(histories, epochs) is None


def test_a_cut_is_looked_at_from_both_sides() -> None:
    history = [0.90, 0.980, 0.990, 0.980, 0.990, 0.980] + [0.991, 0.992, 0.991, 0.992, 0.991] + [0.992] * 3
    found = cut([history], RATES, 5)
    assert found is not None
    assert (found.epoch, found.epochs) == (7, 5)
    assert [found.before, found.after] == pytest.approx([0.010, 0.001])
    assert found.gain.mean == pytest.approx((0.991 * 3 + 0.992 * 2) / 5 - (0.980 * 3 + 0.990 * 2) / 5)


@pytest.mark.parametrize(
    "rates",
    [
        [0.01] * 14,  # constant
        [0.01 * (1 + math.cos(math.pi * epoch / 14)) / 2 for epoch in range(14)],  # gliding
        [0.01 * 0.5**epoch for epoch in range(14)],  # cut after every epoch
        [0.01] * 13 + [0.001],  # cut before the last epoch: nothing to compare
        [0.01] + [0.001] * 13,  # cut after the first
        [0.001, 0.005, 0.01, *[0.01 * 0.7**epoch for epoch in range(11)]],  # a cycle
    ],
)
def test_without_a_constant_rate_and_two_epochs_on_each_side_there_is_no_cut(rates: list[float]) -> None:
    assert cut([[0.99] * 14], rates, 5) is None


def test_near_the_end_fewer_epochs_are_compared() -> None:
    found = cut([[0.9, 0.95, 0.99, 0.991, 0.992]], [0.01, 0.01, 0.01, 0.001, 0.001], 5)
    assert found is not None
    assert (found.epoch, found.epochs) == (4, 2)


def test_one_epoch_to_hold_compares_nothing() -> None:
    assert cut([[0.9] * 14], RATES, 1) is None
    assert cut([], RATES, 5) is None


@given(st.lists(st.lists(st.floats(0, 1), min_size=14, max_size=14), min_size=1, max_size=5), st.integers(2, 14))
def test_movement_is_never_negative_and_no_more_than_the_range(histories: list[list[float]], epochs: int) -> None:
    found: Late | None = late(histories, epochs)
    assert found is not None
    assert 0 <= found.moves.worst <= found.moves.mean + 1e-12
    assert abs(found.rise.mean) <= 1.5 * max(max(history) - min(history) for history in histories) + 1e-9
    halves: Cut | None = cut(histories, RATES, epochs)
    assert halves is not None
    assert halves.epochs == min(epochs, 6)
    assert min(halves.before, halves.after) >= 0
