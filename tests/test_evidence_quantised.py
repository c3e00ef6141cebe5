"""What 8 bits do to steps, from answers that are known."""

from dataclasses import replace

import numpy as np
import pytest
from arms import LABELS, arm
from numpy.typing import NDArray

from stepladder import Budget, Conv, GlobalAvgPool, Ladder, Network, Recipe, Step
from stepladder.evidence import Answered, Arm, Effect, Pair, Quantised, effect, estimate, gather, quantised, quantised_outcome

ROOT = Step("Plain", Network([Conv(4), Conv(10, activation=None), GlobalAvgPool()]), Recipe(epochs=4))
DROPOUT = ROOT.then("Dropout", dropout=0.05)
TRIED = DROPOUT.then("Tried", dropout=0.1, kept=False)
LADDER = Ladder("memory", Budget(parameters=1_000, epochs=4, accuracy=0.99, hold=2), [ROOT, DROPOUT, TRIED])
NONE = Arm([], {})

Answers = NDArray[np.uint8]


def ends(*last: float) -> dict[int, list[float]]:
    """Histories of four epochs that end like this, for seeds 0, 1, ..., and did not hold 99 % in the one before."""
    return {seed: [0.95, 0.97, 0.98, accuracy] for seed, accuracy in enumerate(last)}


def rounded(answers: Answers, gained: int, lost: int) -> Answers:
    """The answers, of which so many wrong ones are right now, and so many right ones wrong."""
    wrong, right = np.flatnonzero(answers != LABELS), np.flatnonzero(answers == LABELS)
    assert len(wrong) >= gained
    found = answers.copy()
    found[wrong[:gained]] = LABELS[wrong[:gained]]
    found[right[:lost]] = (LABELS[right[:lost]] + 1) % 10
    return found


def answered(runs: Arm, *changes: tuple[int, int]) -> Answered:
    """By the finished seeds of an arm, the last of them first."""
    each = {seed: rounded(runs.answers[seed], *change) for seed, change in zip(runs.answers, changes, strict=True)}
    return Answered(dict(reversed(each.items())), "hand")


def alone(runs: Arm, given: Answered) -> Quantised:
    return quantised(LADDER, {"plain": runs}, {"plain": given}, LABELS)["plain"]


def effect_of(found: Quantised) -> Effect:
    assert found.effect
    return found.effect


def test_each_seed_is_paired_with_its_own_floats() -> None:
    runs = arm(ROOT, ends(0.9920, 0.9800, 0.9925, 0.9960))
    found = alone(runs, answered(runs, (2, 5), (1, 0), (0, 0), (3, 5)))
    assert found.pairs == (
        Pair(0, 0.9920, 0.9917, 7), Pair(1, 0.9800, 0.9801, 1), Pair(2, 0.9925, 0.9925, 0), Pair(3, 0.9960, 0.9958, 8),
    )  # fmt: skip
    assert found.changed == estimate([7, 1, 0, 8])
    assert found.floats.test == estimate([0.9920, 0.9800, 0.9925, 0.9960])
    assert found.integers
    assert found.integers.test == estimate([0.9917, 0.9801, 0.9925, 0.9958])
    expected = effect(dict(enumerate([0.9917, 0.9801, 0.9925, 0.9958])), dict(enumerate([0.9920, 0.9800, 0.9925, 0.9960])))
    assert found.effect == expected
    assert effect_of(found).mean == pytest.approx(-0.0001)
    assert found.by == "hand"


def test_integers_are_judged_by_their_own_answers_and_floats_beside_by_the_same_measure() -> None:
    runs = arm(ROOT, ends(0.9920, 0.9921, 0.9922))
    found = alone(runs, answered(runs, (0, 40), (0, 40), (0, 41)))
    assert found.integers
    assert found.floats.held
    assert found.integers.held
    assert (found.floats.target.verdict, found.integers.target.verdict) == ("reached", "missed")
    assert (found.floats.held.count, found.integers.held.count) == (3, 0)
    assert effect_of(found).verdict == "undecided"  # three pairs
    gathered = gather(LADDER, {"plain": runs, "dropout": NONE, "tried": NONE}, LABELS)
    assert gathered["plain"].target.verdict == "accurate, not held"  # in the last two epochs


def test_a_step_of_fewer_epochs_than_must_hold_is_judged_too() -> None:
    runs = arm(ROOT, ends(0.9920, 0.9921, 0.9922))
    longer = replace(LADDER, budget=replace(LADDER.budget, hold=9))
    assert gather(longer, {**ARMS, "plain": runs}, LABELS)["plain"].target.verdict == "too few epochs to judge"
    found = quantised(longer, {"plain": runs}, {"plain": answered(runs, (0, 0), (0, 1), (0, 0))}, LABELS)["plain"]
    assert found.integers
    assert found.integers.target.verdict == "reached"


def test_a_seed_that_diverged_is_in_no_pair_and_reaches_nothing() -> None:
    runs = arm(ROOT, ends(0.9920, 0.9930, 0.9925, 0.9), diverged=[3])
    found = alone(runs, answered(runs, (0, 1), (0, 1), (0, 2)))
    assert [pair.seed for pair in found.pairs] == [0, 1, 2]
    assert found.diverged == (3,)
    for last in (found.floats, found.integers):
        assert last
        assert last.held
        assert last.test
        assert (last.test.n, last.held.count, last.held.n) == (3, 3, 4)
        assert last.target.verdict == "undecided"


def test_one_seed_is_one_pair_told_image_by_image() -> None:
    runs = arm(ROOT, ends(0.9920))
    found = alone(runs, answered(runs, (2, 5)))
    only = effect_of(found)
    assert (only.n, only.low, only.verdict) == (1, None, "one pair: too few to judge")
    assert only.mcnemar
    assert (only.mcnemar.only_child, only.mcnemar.only_parent) == (2, 5)
    assert found.integers
    assert found.integers.target.verdict == "one run: too few to judge"


@pytest.mark.parametrize(("runs", "verdict"), [(NONE, "not run"), (arm(ROOT, ends(0.9), diverged=[0]), "diverged")])
def test_without_a_finished_seed_nothing_is_compared(runs: Arm, verdict: str) -> None:
    found = alone(runs, Answered({}))
    assert found.integers
    assert (found.integers.target.verdict, found.floats.target.verdict) == (verdict, verdict)
    assert (found.effect, found.changed, found.pairs, found.integers.test) == (None, None, (), None)


ARMS = {step.id: arm(step, ends(0.9920, 0.9921, 0.9923, 0.9922, 0.9920, 0.9925)) for step in LADDER.steps}


def of(*steps: str, lost: int = 0, refused: str = "") -> dict[str, Quantised]:
    """Steps that are quantised, of which the images lost increase by seed; one of them is refused."""
    each = {step: answered(ARMS[step], *((0, lost + seed) for seed in range(6))) for step in steps}
    return quantised(LADDER, ARMS, each | ({refused: Answered({}, refused="why")} if refused else {}), LABELS)


def test_the_effects_of_several_steps_are_corrected_for_one_another() -> None:
    one, two = (effect_of(each) for each in of("plain", "dropout", lost=1).values())
    assert one.p == two.p == 2 / 2**6
    assert one.p_holm == two.p_holm == 4 / 2**6
    assert effect_of(of("plain", lost=1)["plain"]).verdict == "hurts"


def test_the_last_step_that_is_kept_of_those_chosen_decides() -> None:
    gathered = gather(LADDER, ARMS, LABELS)
    decided = [quantised_outcome(LADDER, gathered, of(*steps)) for steps in (("plain", "tried"), ("plain",), ("tried",))]
    assert [(found.step, found.status) for found in decided] == [(step, "reached") for step in ("plain", "plain", "tried")]
    missed = quantised_outcome(LADDER, gathered, of("plain", "dropout", lost=60))
    assert (missed.step, missed.status, [each.fault for each in missed.failures]) == ("dropout", "failed", ["missed"])


def test_a_step_without_integers_fails_only_where_it_decides() -> None:
    gathered = gather(LADDER, ARMS, LABELS)
    found = of("plain", refused="dropout")
    assert list(found) == ["plain", "dropout"]
    refused = found["dropout"]
    assert (refused.integers, refused.effect, refused.refused, refused.floats.target.verdict) == (None, None, "why", "reached")
    assert [each.fault for each in quantised_outcome(LADDER, gathered, found).failures] == ["not quantised"]
    assert quantised_outcome(LADDER, gathered, of("dropout", refused="plain")).status == "reached"
