"""What 8 bits do to a step: each finished seed's network in integers against itself in floats, after its last epoch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepladder.evidence.effects import Effect, adjusted, effect
from stepladder.evidence.estimates import Estimate, Share, estimate, held
from stepladder.evidence.gather import Evidence
from stepladder.evidence.outcome import Outcome, outcome
from stepladder.evidence.paired import mcnemar
from stepladder.evidence.runs import Arm
from stepladder.evidence.target import Target, target
from stepladder.spec import Budget
from stepladder.steps import Ladder, Step

Answers = NDArray[np.uint8]


class Answered(NamedTuple):
    """What a step's networks answer in integers, (images,), by seed; `by` what computed that, and `refused` why there is none."""

    answers: Mapping[int, Answers]
    by: str = ""
    refused: str = ""


class Pair(NamedTuple):
    """A seed's accuracy in floats and in integers, and how many images the two answer otherwise."""

    seed: int
    floats: float
    integers: float
    changed: int


@dataclass(frozen=True)
class LastEpoch:
    """Accuracies `test` after the last epoch of the finished seeds (None without one); `held` is the share of all seeds, those
    that diverged among them, that reach the target there, and `target` the verdict on the two: that of a budget which asks for
    the last epoch alone."""

    target: Target
    held: Share | None = None
    test: Estimate | None = None


@dataclass(frozen=True)
class Quantised:
    """What 8 bits do to a step. The target is judged by the last epoch alone, in `floats` as in `integers` (None where they are
    `refused`, for that reason), as the weights of earlier epochs are not kept.

    `effect` is integers minus floats, paired by seed, and `changed` how many images a seed answers otherwise, both over the
    finished seeds (None without one, and where refused); `pairs` are those seeds. `by` is what computed the integers.
    """

    floats: LastEpoch
    integers: LastEpoch | None
    effect: Effect | None = None
    changed: Estimate | None = None
    pairs: tuple[Pair, ...] = ()
    diverged: tuple[int, ...] = ()
    by: str = ""
    refused: str = ""


def quantised(ladder: Ladder, arms: Mapping[str, Arm], answered: Mapping[str, Answered], labels: Answers) -> dict[str, Quantised]:
    """What 8 bits do to each step that is `answered`, in ladder order, with Holm's correction over their effects."""
    steps = [step for step in ladder.steps if step.id in answered]
    found = {step.id: _alone(step, ladder.budget, arms[step.id], answered[step.id], labels) for step in steps}
    known = adjusted({name: each.effect for name, each in found.items() if each.effect})
    return {name: replace(each, effect=known.get(name)) for name, each in found.items()}


def quantised_outcome(ladder: Ladder, gathered: Mapping[str, Evidence], found: Mapping[str, Quantised]) -> Outcome:
    """The outcome of these steps, judged by their integers; one that has none, and is to reach the target, fails."""
    return outcome(ladder, judged(gathered, found), {name for name, each in found.items() if each.refused})


def judged(gathered: Mapping[str, Evidence], found: Mapping[str, Quantised]) -> dict[str, Evidence]:
    """The evidence of these steps, with their integers in the place of their floats where there are any."""
    return {
        name: replace(gathered[name], target=each.integers.target, held=each.integers.held, test=each.integers.test)
        if each.integers
        else gathered[name]
        for name, each in found.items()
    }


def _alone(step: Step, budget: Budget, arm: Arm, answered: Answered, labels: Answers) -> Quantised:
    """What 8 bits do to a step, before Holm's correction."""
    lost = tuple(record.seed for record in arm.records if record.status == "diverged")
    seeds = [record.seed for record in arm.finished]
    floats = {seed: _share(arm.answers[seed] == labels) for seed in seeds}
    before = _last(step, budget, floats, len(lost), len(labels))
    if answered.refused:
        return Quantised(before, None, diverged=lost, refused=answered.refused)
    integers = {seed: _share(answered.answers[seed] == labels) for seed in seeds}
    changed = {seed: int((answered.answers[seed] != arm.answers[seed]).sum()) for seed in seeds}
    found = effect(integers, floats)
    if found and found.n == 1:
        found = replace(found, mcnemar=mcnemar(answered.answers[seeds[0]], arm.answers[seeds[0]], labels))
    return Quantised(
        floats=before,
        integers=_last(step, budget, integers, len(lost), len(labels)),
        effect=found,
        changed=estimate([*changed.values()]) if seeds else None,
        pairs=tuple(Pair(seed, floats[seed], integers[seed], changed[seed]) for seed in seeds),
        diverged=lost,
        by=answered.by,
    )


def _share(right: NDArray[np.bool_]) -> float:
    return float(right.mean())


def _last(step: Step, budget: Budget, accuracies: Mapping[int, float], lost: int, images: int) -> LastEpoch:
    """The target as a budget judges it that asks for the last epoch alone."""
    values = [*accuracies.values()]
    share = held([[value] for value in values] + [[]] * lost, budget.accuracy, 1) if values or lost else None
    test = estimate(values) if values else None
    return LastEpoch(target(step, replace(budget, hold=1), test, share, images), share, test)
