"""The headline: golden sentences for what ladders may show, and that it claims no more than the verdicts."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from arms import LABELS, arm
from curves import Histories, around, climbs, dipped, shifted

from stepladder import Affine, Budget, Ladder, Step, StepLR, ladders
from stepladder.analysis import headline, seeds_needed
from stepladder.evidence import Arm, Evidence, gather

GOLDEN = Path(__file__).parent / "golden" / "headline.md"
BUDGET = Budget(parameters=10_000, epochs=15, accuracy=0.994)
BIG, MIDDLE, SMALL = (ladders.load("mnist").step(name).network for name in ("0", "A1", "B1"))

A1 = Step("Plain", MIDDLE, id="A1")
A2 = A1.then("Dropout", dropout=0.043, id="A2")
A3 = A2.then("Rotation", augmentation=Affine(rotate=15), id="A3")
A4 = A3.then("Decay", schedule=StepLR(every=6), id="A4")
B1 = A1.then("Small", network=SMALL, id="B1")
WIDE = A1.then("Wide", network=BIG, id="W")
SHORT = replace(A1, recipe=replace(A1.recipe, epochs=2))
STEPS = [A1, A2, A3, A4, B1]

LOW = around(0.9930, 0.0006, 10)
HIGH = shifted(LOW, 0.0022, 0.0003)


class Case(NamedTuple):
    """Runs of a ladder's steps by the id, and of what the ladder is."""

    runs: Mapping[str, Histories]
    steps: list[Step] = STEPS
    budget: Budget = BUDGET
    diverged: Mapping[str, list[int]] = {}
    dead: str = ""
    quick: bool = False

    @property
    def ladder(self) -> Ladder:
        return Ladder("words", self.budget, self.steps)

    def gathered(self) -> dict[str, Evidence]:
        arms = {step.id: Arm([], {}) for step in self.steps}
        for step in self.steps:
            if step.id in self.runs:
                lost, weights = self.diverged.get(step.id, []), "A1" if step.id == self.dead else ""
                arms[step.id] = arm(step, self.runs[step.id], diverged=lost, weights=weights)
        return gather(self.ladder, arms, LABELS)


def calm(lasts: list[float]) -> Histories:
    """Runs that hold what they end with."""
    return climbs(lasts, scatter=0.0001)


def each(**lasts: list[float]) -> dict[str, Histories]:
    return {name: calm(values) for name, values in lasts.items()}


SAME = shifted(LOW, 0.0001, 0.0003)
NEAR = around(0.9941, 0.0008, 10)
ALL_MISS = each(A1=LOW, A2=SAME, A3=LOW, A4=SAME, B1=shifted(LOW, -0.0002, 0.0009))

CASES = {
    "nothing is run": Case({}),
    "one run of one step": Case(each(A1=[0.9932]), [A1]),
    "one run a step": Case(each(A1=[0.9932], A2=[0.9940], A3=[0.9938], A4=[0.9954], B1=[0.9921])),
    "one run of some steps": Case(each(A1=[0.9932], A2=[0.9940])),
    "three seeds a step": Case(each(A1=LOW[:3], A2=SAME[:3], A3=LOW[:3], A4=HIGH[:3], B1=LOW[:3])),
    "no step reaches the target, no change helps": Case(ALL_MISS),
    "the best mean is above the target, and does not hold": Case(ALL_MISS | {"A4": climbs(NEAR, scatter=0.002)}),
    "one step reaches the target by a change that helps": Case(ALL_MISS | each(A4=HIGH)),
    "several reach it, a change hurts": Case(each(A1=HIGH, A2=HIGH, A3=shifted(HIGH, 0.0001, 0.0002), A4=HIGH, B1=LOW)),
    "one change alone, of mixed numbers of seeds": Case(each(A1=LOW, A2=HIGH[:8]), [A1, A2]),
    "mixed numbers of seeds, some too few": Case(each(A1=LOW, A2=HIGH, A3=LOW[:1], A4=LOW[:3])),
    "undecided, and how many seeds would tell": Case(
        each(A1=LOW, A2=SAME) | {"A3": calm(HIGH) | dipped(calm(HIGH[:2]))}, [A1, A2, A3]
    ),
    "over the budget": Case(each(A1=LOW, W=HIGH), [A1, WIDE], replace(BUDGET, parameters=9_500)),
    "a dead change": Case(each(A1=LOW, A2=LOW, B1=shifted(LOW, -0.0013, 0.0005)), [A1, A2, B1], dead="A2"),
    "a step that diverged": Case(each(A1=LOW, A2=[0.5] * 2), [A1, A2], diverged={"A2": [0, 1]}),
    "every run diverged": Case(each(A1=[0.5] * 2), [A1], diverged={"A1": [0, 1]}),
    "start and end of a climb": Case(each(A1=LOW, A4=HIGH)),
    "runs too short to hold": Case({"A1": climbs([0.985, 0.9855], epochs=2)}, [SHORT]),
    "a first look": Case(each(A1=[0.97], A2=[0.972]), [A1, A2], quick=True),
}


def golden() -> dict[str, str]:
    sections = [section.split("\n", 1) for section in GOLDEN.read_text().split("\n## ")[1:]]
    return {name: " ".join(body.split("\n")).strip() for name, body in sections}


@pytest.mark.parametrize("name", CASES)
def test_the_headline_reads_as_agreed(name: str) -> None:
    case = CASES[name]
    assert headline(case.ladder, case.gathered(), quick=case.quick) == golden()[name]


def test_the_golden_file_has_the_cases() -> None:
    assert list(golden()) == list(CASES)


def test_how_many_seeds_it_takes_is_asked_for_all_changes_that_have_too_few() -> None:
    needed = {name: seeds_needed(CASES[name].gathered()) for name in CASES}
    assert needed["one run a step"] == needed["three seeds a step"] == 8  # 4 times 2 / 2^8 is 0.03
    assert needed["one run of some steps"] == 6
    assert needed["mixed numbers of seeds, some too few"] == 7
    assert needed["no step reaches the target, no change helps"] is None
    assert needed["one run of one step"] == CASES["one run of one step"].gathered()["A1"].target.seeds


def test_with_as_many_seeds_as_it_asks_for_a_change_is_shown() -> None:
    seeds = seeds_needed(CASES["one run a step"].gathered()) or 0
    runs = each(A1=LOW[:seeds], A2=LOW[:seeds], A3=LOW[:seeds], A4=HIGH[:seeds], B1=LOW[:seeds])
    assert "of 4 changes, A4 is shown to help" in headline(Case({}).ladder, Case(runs).gathered())


def test_a_step_that_could_be_taken_for_a_number_is_called_one() -> None:
    first = Step("First", MIDDLE, id="0")
    ladder = Ladder("words", BUDGET, [first, first.then("Dropout", dropout=0.1, id="1")])
    arms = {"0": arm(first, calm(HIGH)), "1": arm(ladder.steps[1], calm(LOW))}
    assert headline(ladder, gather(ladder, arms, LABELS)).startswith("Step 0 reaches the target of 99.40 % with 9,060 parameters;")
