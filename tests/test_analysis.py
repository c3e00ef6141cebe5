import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepladder import Affine, Budget, Conv, GlobalAvgPool, Network, Step
from stepladder.analysis import analyse, percent, percents, point_range, points
from stepladder.evidence import Effect, Evidence, best, estimate, held

BUDGET = Budget(parameters=10_000, epochs=15, accuracy=0.994, hold=3)
PLAIN = Step("Plain", Network([Conv(4), Conv(10, activation=None), GlobalAvgPool()]))
DROPOUT = PLAIN.then("Dropout", dropout=0.05)
ROTATION = DROPOUT.then("Rotation", augmentation=Affine(rotate=15))


def shown(*tests: list[float], train: float = 0.996, diverged: tuple[int, ...] = (), effect: Effect | None = None) -> Evidence:
    """The evidence of runs with these test accuracies, epoch by epoch."""
    return Evidence(
        epochs=len(tests[0]),
        seeds=tuple(range(len(tests))),
        diverged=diverged,
        test=estimate([history[-1] for history in tests]),
        train=estimate([train] * len(tests)),
        held=held([*tests, *([] for _ in diverged)], BUDGET.accuracy, BUDGET.hold),
        lowest=min(min(history[-BUDGET.hold :]) for history in tests),
        best=best(tests),
        effect=effect,
        live=None if effect is None else True,
    )


NOTHING = Evidence(14, (), (), None, None, None, None, None, None, None)
ONE = shown([0.98, 0.9931, 0.9945, 0.994])
THREE = shown([0.98, 0.9941, 0.9945, 0.994], [0.97, 0.9942, 0.9947, 0.9946], [0.98, 0.9939, 0.9942, 0.9946])


def test_figures_have_two_digits_and_differences_a_sign() -> None:
    assert percent(0.9941) == "99.41 %"
    assert percents(0.99351, 0.99469) == "99.35 to 99.47 %"
    assert points(0.0005) == "+0.05 points"
    assert points(-0.00049) == "-0.05 points"
    assert points(-0.000001) == "+0.00 points"
    assert point_range(-0.0001, 0.0011) == "-0.01 to +0.11 points"


def test_one_run_of_a_root() -> None:
    assert analyse(PLAIN, BUDGET, ONE) == (
        "After 4 epochs, the run of seed 0 answers 99.40 % of the test images right. "
        "The train accuracy is 99.60 %, +0.20 points against test: images it trained on are answered better than new ones. "
        "It did not hold the target of 99.40 % in each of the last 3 epochs (lowest 99.31 %). "
        "Best of 4 epochs x 1 seed: 99.45 %, a maximum picked on the test set."
    )


def test_several_seeds_and_an_effect_that_they_do_not_settle() -> None:
    found = analyse(DROPOUT, BUDGET, replace(THREE, effect=Effect(3, 0.0004, -0.0002, 0.001), live=True))
    assert found == (
        "After 4 epochs, 3 seeds answer 99.44 % of the test images right on average "
        "(95 % interval 99.35 to 99.53 %, worst 99.40 %). "
        "The train accuracy is 99.60 %, +0.16 points against test, although dropout lowers it: "
        "images it trained on are answered better than new ones. "
        "Against plain, paired over 3 seeds, it is +0.04 points (95 % interval -0.02 to +0.10 points): "
        "the interval includes 0, so these 3 seeds do not tell the change from their scatter. "
        "2 of 3 seeds held the target of 99.40 % in each of the last 3 epochs (lowest 99.39 %); "
        "the 95 % interval of that share is 21 to 94 %. "
        "Best of 4 epochs x 3 seeds: 99.47 %, a maximum picked on the test set."
    )


@pytest.mark.parametrize(
    ("effect", "sentence"),
    [
        (Effect(5, 0.0005, 0.0001, 0.0009), "+0.01 to +0.09 points): the interval excludes 0, in favour of the change."),
        (Effect(5, -0.0005, -0.0009, -0.0001), "-0.09 to -0.01 points): the interval excludes 0, against the change."),
        (Effect(1, 0.0005, None, None), "Against plain it is +0.05 points; one run each cannot tell a change from the seed."),
        (Effect(2, 0.0005, None, None), "Against plain it is +0.05 points in each of 2 pairs: without a spread, no interval."),
        (None, "It has 0 finished seeds in common with plain, so what the change did is not measured."),
    ],
)  # fmt: skip
def test_an_effect_is_claimed_as_far_as_its_interval_goes(effect: Effect | None, sentence: str) -> None:
    assert sentence in analyse(DROPOUT, BUDGET, replace(THREE, effect=effect, live=None if effect is None else True))


def test_a_dead_step_is_called_dead_and_credited_with_nothing() -> None:
    found = analyse(DROPOUT, BUDGET, replace(THREE, effect=Effect(3, 0.0, None, None), live=False))
    assert "The change did nothing: for all 3 shared seeds the final weights are bit for bit those of plain." in found
    assert "Against" not in found


def test_the_train_figure_is_read_with_what_lowers_it() -> None:
    lowered = shown([0.99] * 4, train=0.98)
    assert "99.00 %" in analyse(PLAIN, BUDGET, lowered)
    assert "-1.00 points against test: no sign that" in analyse(PLAIN, BUDGET, lowered)
    assert "; dropout lowers it, so this gap does not tell" in analyse(DROPOUT, BUDGET, lowered)
    assert "; dropout and augmentation lower it, so this gap does not tell" in analyse(ROTATION, BUDGET, lowered)


def test_a_gap_is_that_of_the_figures_beside_it() -> None:
    # 99.83 and 99.24 as printed; the difference of the unrounded figures is 0.599
    assert "The train accuracy is 99.83 %, +0.59 points" in analyse(PLAIN, BUDGET, shown([0.992351] * 4, train=0.998342))


def test_the_target_is_held_by_all_some_none_or_not_to_be_told() -> None:
    good, bad = [0.995] * 4, [0.98] * 4
    assert "It held the target of 99.40 % in each of the last 3 epochs (lowest 99.50 %)." in analyse(PLAIN, BUDGET, shown(good))
    assert "3 of 3 seeds held the target" in analyse(PLAIN, BUDGET, shown(good, good, good))
    assert "None of 2 seeds held the target" in analyse(PLAIN, BUDGET, shown(bad, bad))
    short = analyse(PLAIN, BUDGET, shown([0.995]))
    assert "Runs of 1 epoch are too short to hold the target of 99.40 % for 3." in short


def test_diverged_seeds_come_first_and_count_as_not_holding() -> None:
    found = analyse(PLAIN, BUDGET, shown([0.995] * 4, diverged=(1, 2)))
    assert found.startswith("2 of 3 runs diverged (seeds 1, 2): the loss was no longer finite; what follows leaves them out, ")
    assert "1 of 3 seeds held the target" in found


def test_without_a_finished_run_there_is_nothing_to_judge() -> None:
    assert analyse(PLAIN, BUDGET, NOTHING) == "Not run."
    assert analyse(PLAIN, BUDGET, replace(NOTHING, diverged=(0,))) == "1 of 1 run diverged (seed 0): the loss was no longer finite."


@given(
    tests=st.lists(st.lists(st.integers(0, 1000), min_size=4, max_size=4), min_size=1, max_size=5),
    train=st.floats(0, 1),
    diverged=st.sampled_from([(), (7,), (7, 8)]),
    interval=st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1)).map(sorted),
    step=st.sampled_from([PLAIN, DROPOUT, ROTATION]),
)
def test_every_sentence_has_its_figure_and_no_side_is_taken_without_an_interval_that_carries_it(
    tests: list[list[int]], train: float, diverged: tuple[int, ...], interval: list[float], step: Step
) -> None:
    low, high = interval
    effect = Effect(3, (low + high) / 2, low, high) if step.parent else None
    histories = [[value / 1000 for value in history] for history in tests]
    found = analyse(step, BUDGET, shown(*histories, train=train, diverged=diverged, effect=effect))
    assert all(re.search(r"\d", sentence) for sentence in re.split(r"(?<=\.) ", found))
    assert ("in favour of the change" in found) == (effect is not None and low > 0)
    assert ("against the change" in found) == (effect is not None and high < 0)
