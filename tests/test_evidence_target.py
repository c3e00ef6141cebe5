from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stepladder import Budget, Conv, GlobalAvgPool, Network, Recipe, Step
from stepladder.evidence import Estimate, Target, TargetVerdict, effect, estimate, share, target
from stepladder.evidence.target import beside

GOAL = 0.994
IMAGES = 10_000
STEP = Step("Plain", Network([Conv(4), Conv(10, activation=None), GlobalAvgPool()]), Recipe(epochs=14))
BUDGET = Budget(parameters=1_000, epochs=15, accuracy=GOAL)

ONE: TargetVerdict = "one run: too few to judge"


def judged(*last: float, held: int | None = None, diverged: int = 0, step: Step = STEP, **budget: Any) -> Target:
    """The verdict on these last epochs; all of them held, unless told otherwise."""
    n = len(last) + diverged
    found = share(len(last) if held is None else held, n) if n else None
    return target(step, replace(BUDGET, **budget), estimate(last) if last else None, found, IMAGES)


def shown(mean: float, half: float, n: int = 5, held: int | None = None, sd: float = 0.0005) -> Target:
    """The verdict on an interval of this half-width."""
    found = Estimate(n, mean, sd, mean - half, mean + half, mean - 0.001)
    return target(STEP, BUDGET, found, share(n if held is None else held, n), IMAGES)


def test_an_interval_above_the_target_with_enough_seeds_holding_reaches_it() -> None:
    assert judged(0.9950, 0.9951, 0.9952) == Target("reached")
    assert shown(0.995, 0.0004, n=10, held=9) == Target("reached")
    assert shown(0.995, 0.0004, n=50, held=45) == Target("reached")


def test_an_interval_below_the_target_misses_it() -> None:
    assert judged(0.9920, 0.9921, 0.9922, held=0) == Target("missed")
    assert judged(0.9920, 0.9921, 0.9922, held=0, diverged=1) == Target("missed")


def test_a_target_that_the_interval_just_begins_at_is_reached_and_one_it_ends_at_not_missed() -> None:
    found = Estimate(5, 0.995, 0.0005, GOAL, 0.996, 0.994)
    assert target(STEP, BUDGET, found, share(5, 5), IMAGES).verdict == "reached"
    assert target(STEP, BUDGET, Estimate(5, 0.993, 0.0005, 0.992, GOAL, 0.994), share(5, 5), IMAGES).verdict == "undecided"


@pytest.mark.parametrize(("held", "n"), [(0, 2), (0, 10), (6, 10), (40, 50)])
def test_accurate_seeds_that_are_shown_not_to_hold_are_told_from_undecided_ones(held: int, n: int) -> None:
    assert shown(0.995, 0.0004, n=n, held=held) == Target("accurate, not held")


@pytest.mark.parametrize(("held", "n"), [(1, 2), (7, 10), (8, 10), (43, 50)])
def test_a_share_that_may_still_be_large_enough_is_undecided(held: int, n: int) -> None:
    found = shown(0.995, 0.0004, n=n, held=held)
    assert (found.verdict, found.open) == ("undecided", "share that holds is open")


def test_the_seeds_that_decide_a_share_show_it_to_be_too_small() -> None:
    # at 8 of 10 the bound falls below 0.9 first with 26 of 33, which at 0.9 or fewer has a chance of 4.2 %
    found = shown(0.995, 0.0004, n=10, held=8)
    assert found.seeds is not None
    held = round(0.8 * found.seeds)
    assert stats.binom.cdf(held, found.seeds, 0.9) < 0.05
    assert stats.binom.cdf(round(0.8 * (found.seeds - 1)), found.seeds - 1, 0.9) >= 0.05


def test_the_budget_says_which_share_must_hold() -> None:
    last = [0.9950, 0.9951, 0.9952, 0.9950]
    found = estimate(last)
    for asked, verdict in ((0.5, "reached"), (0.75, "undecided"), (0.95, "accurate, not held")):
        assert target(STEP, replace(BUDGET, held=asked), found, share(2, 4), IMAGES).verdict == verdict


def test_seeds_that_diverged_hold_nothing() -> None:
    last = [0.9950, 0.9951, 0.9952]
    assert judged(*last, diverged=1) == Target("undecided", judged(*last, diverged=1).seeds, "share that holds is open")
    assert judged(*last, diverged=3) == Target("accurate, not held")


def test_where_too_few_hold_no_number_of_seeds_reaches_it() -> None:
    for last in ((0.9940, 0.9946, 0.9949), (0.9930, 0.9939, 0.9943)):
        assert judged(*last, held=0) == Target("undecided", None, "too few seeds hold for it to be reached")


def test_what_costs_more_than_the_budget_is_over_it_however_accurate() -> None:
    last = [0.9950, 0.9951, 0.9952]
    assert judged(*last, parameters=300) == Target("over budget", over=("parameters",))
    assert judged(*last, parameters=300, epochs=13) == Target("over budget", over=("parameters", "epochs"))
    assert judged(parameters=300) == Target("not run", over=("parameters",))


def test_fewer_epochs_than_must_hold_are_too_few_to_judge() -> None:
    short = replace(STEP, recipe=replace(STEP.recipe, epochs=4))
    assert judged(0.9950, 0.9951, held=0, step=short) == Target("too few epochs to judge")
    assert judged(diverged=2, step=short) == Target("too few epochs to judge")
    assert judged(0.9950, 0.9951, 0.9950, hold=4, step=short) == Target("reached")


def test_without_a_finished_seed_it_diverged_and_without_a_record_it_is_not_run() -> None:
    assert judged(diverged=3) == Target("diverged")
    assert judged() == Target("not run")


def test_the_seeds_that_would_decide_make_the_half_width_smaller_than_the_distance() -> None:
    # sd 0.0005 and 0.0003 above: t(0.975, 12) 0.0005 / sqrt(13) = 0.0003022 is too wide, t(0.975, 13) / sqrt(14) not
    assert shown(GOAL + 0.0003, 0.0006) == Target("undecided", 14, "interval contains the target")


def test_one_run_is_too_few_and_planned_for_with_the_floor_of_the_spread() -> None:
    # error 0.5 %: sqrt(0.005 / 20,000) = 0.0005; 0.001 above: t(0.975, 2) / sqrt(3) is too much, t(0.975, 3) / sqrt(4) = 1.59 < 2
    assert judged(0.995) == Target(ONE, 4)
    assert judged(0.993, held=0).verdict == ONE
    assert judged(0.993, held=0).seeds is not None
    assert judged(0.995, diverged=2).verdict == ONE


def test_the_seeds_for_one_run_would_do_for_its_effect_too() -> None:
    one = effect({0: 0.995}, {0: 0.993})
    assert one is not None
    assert one.pairs_needed == 6
    assert beside(judged(0.995), one) == Target(ONE, 6)
    assert beside(judged(0.9943), one).seeds == judged(0.9943).seeds
    assert beside(judged(0.995), None) == Target(ONE, 4)
    assert beside(judged(GOAL), one) == Target(ONE, None)
    several = judged(0.9936, 0.9938, 0.9944)
    assert beside(several, one) == several


def test_seeds_that_agree_are_planned_for_like_one() -> None:
    assert judged(0.995, 0.995) == Target("undecided", 4, "seeds all agree")
    assert judged(0.995, 0.995, 0.995, 0.995) == Target("undecided", 5, "seeds all agree")  # any spread would decide


def test_a_perfect_run_needs_only_a_second() -> None:
    assert judged(1.0) == Target(ONE, 2)


def test_a_mean_at_the_target_is_decided_by_no_number_of_seeds() -> None:
    assert judged(0.9936, 0.994, 0.9944) == Target("undecided", None, "interval contains the target")
    assert judged(GOAL) == Target(ONE, None)


def test_a_number_beyond_a_thousand_is_no_plan() -> None:
    assert shown(GOAL + 0.00002, 0.0006) == Target("undecided", None, "interval contains the target")


@given(
    st.lists(st.integers(9_900, 9_980).map(lambda correct: correct / 10_000), min_size=1, max_size=12),
    st.integers(0, 3),
    st.floats(0.3, 1),
    st.data(),
)
def test_a_verdict_follows_the_interval_and_the_share_and_its_seeds_would_decide(
    last: list[float], lost: int, asked: float, data: st.DataObject
) -> None:
    holding = share(data.draw(st.integers(0, len(last))), len(last) + lost)
    mean = estimate(last)
    found = target(STEP, replace(BUDGET, held=asked), mean, holding, IMAGES)
    assert (found.verdict == ONE) == (len(last) == 1)
    above, below = mean.low is not None and mean.low >= GOAL, mean.high is not None and mean.high < GOAL
    assert (found.verdict == "missed") == below
    assert (found.verdict == "reached") == (above and holding.share >= asked)
    assert (found.verdict == "accurate, not held") == (above and holding.most < asked)
    assert (found.verdict == "undecided") == (found.open is not None)
    if found.seeds is None:
        return
    assert found.verdict in ("undecided", ONE)
    assert found.seeds >= holding.n or holding.n > 1_000
    if not mean.sd or above:
        return
    n = found.seeds - lost
    half, before = (stats.t.ppf(0.975, k - 1) * mean.sd / np.sqrt(k) for k in (n, n - 1))
    assert half < abs(mean.mean - GOAL)
    assert before >= abs(mean.mean - GOAL) or (mean.mean >= GOAL and holding.share < asked)
