import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stepladder.evidence import Estimate, Share, Target, estimate, target

GOAL = 0.994
IMAGES = 10_000


def seeds_held(count: int, n: int) -> Share:
    return Share(count / n, 0.0, 1.0, n)


def judged(*last: float, held: int | None = None, diverged: int = 0) -> Target:
    """The verdict on these last epochs; all of them held, unless told otherwise."""
    n = len(last) + diverged
    return target(estimate(last) if last else None, seeds_held(len(last) if held is None else held, n), GOAL, IMAGES)


def test_an_interval_above_the_target_with_every_seed_holding_reaches_it() -> None:
    assert judged(0.9950, 0.9951, 0.9952) == Target("reached", None)


def test_an_interval_below_the_target_misses_it() -> None:
    assert judged(0.9920, 0.9921, 0.9922, held=0) == Target("missed", None)
    assert judged(0.9920, 0.9921, 0.9922, held=0, diverged=1) == Target("missed", None)


def test_a_target_that_the_interval_just_begins_at_is_reached() -> None:
    found = Estimate(5, 0.995, 0.0005, GOAL, 0.996, 0.994)
    assert target(found, seeds_held(5, 5), GOAL, IMAGES).verdict == "reached"
    assert target(Estimate(5, 0.993, 0.0005, 0.992, GOAL, 0.994), seeds_held(5, 5), GOAL, IMAGES).verdict == "undecided"


@pytest.mark.parametrize("diverged", [0, 2])
def test_more_seeds_cannot_reach_what_one_seed_did_not_hold(diverged: int) -> None:
    above = judged(0.9950, 0.9951, 0.9952, held=2 if not diverged else 3, diverged=diverged)
    assert above == Target("undecided", None)
    assert judged(0.9940, 0.9946, 0.9949, held=2, diverged=diverged) == Target("undecided", None)


def test_more_seeds_may_still_show_that_it_is_missed() -> None:
    found = judged(0.9930, 0.9939, 0.9943, held=1)
    assert found.verdict == "undecided"
    assert found.more_seeds is not None


def test_the_seeds_that_would_decide_make_the_half_width_smaller_than_the_distance() -> None:
    # sd 0.0005 and 0.0003 above: t(0.975, 12) 0.0005 / sqrt(13) = 0.0003022 is too wide, t(0.975, 13) / sqrt(14) not
    found = target(Estimate(5, GOAL + 0.0003, 0.0005, 0.9937, 0.9949, 0.9938), seeds_held(5, 5), GOAL, IMAGES)
    assert found == Target("undecided", 14 - 5)


def test_one_seed_is_planned_for_with_the_floor_of_the_spread() -> None:
    # error 0.5 %: sqrt(0.005 / 20,000) = 0.0005; 0.001 above: t(0.975, 2) / sqrt(3) is too much, t(0.975, 3) / sqrt(4) = 1.59 < 2
    assert judged(0.995) == Target("undecided", 4 - 1)
    assert judged(0.995, held=0) == Target("undecided", None)
    assert judged(0.993, held=0).more_seeds is not None


def test_seeds_that_agree_are_planned_for_like_one() -> None:
    assert judged(0.995, 0.995) == Target("undecided", 4 - 2)
    assert judged(0.995, 0.995, 0.995, 0.995) == Target("undecided", 1)  # any spread would decide


def test_a_perfect_run_needs_only_a_second() -> None:
    assert judged(1.0) == Target("undecided", 1)


def test_a_mean_at_the_target_is_decided_by_no_number_of_seeds() -> None:
    assert judged(0.9936, 0.994, 0.9944) == Target("undecided", None)
    assert judged(GOAL) == Target("undecided", None)


def test_a_number_beyond_a_thousand_is_no_plan() -> None:
    near = Estimate(5, GOAL + 0.00002, 0.0005, 0.9934, 0.9947, 0.9935)
    assert target(near, seeds_held(5, 5), GOAL, IMAGES) == Target("undecided", None)


def test_without_a_finished_seed_nothing_is_decided() -> None:
    assert judged(diverged=3) == Target("undecided", None)


@given(st.lists(st.integers(9_900, 9_980).map(lambda correct: correct / 10_000), min_size=1, max_size=12), st.data())
def test_a_verdict_follows_the_interval_and_its_seeds_would_decide(last: list[float], data: st.DataObject) -> None:
    holding = data.draw(st.integers(0, len(last)))
    found, shown = judged(*last, held=holding), estimate(last)
    if found.verdict == "reached":
        assert shown.low is not None
        assert shown.low >= GOAL
        assert holding == len(last)
    if found.verdict == "missed":
        assert shown.high is not None
        assert shown.high < GOAL
    if found.more_seeds is None or not shown.sd:
        return
    assert found.verdict == "undecided"
    n = len(last) + found.more_seeds
    half, before = (stats.t.ppf(0.975, k - 1) * shown.sd / np.sqrt(k) for k in (n, n - 1))
    assert half < abs(shown.mean - GOAL)
    assert before >= abs(shown.mean - GOAL) or found.more_seeds == 1
