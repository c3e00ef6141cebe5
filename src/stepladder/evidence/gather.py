"""All that a step's runs show, for each step of a ladder."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stepladder import data
from stepladder.evidence.curves import Cut, Late, cut, late
from stepladder.evidence.effects import Effect, adjusted, effect, live
from stepladder.evidence.errors import SUSPECTS, Exchanged, Missed, exchanged, missed, per_class
from stepladder.evidence.estimates import Best, Estimate, Share, best, estimate, held, sampling
from stepladder.evidence.paired import mcnemar
from stepladder.evidence.runs import Arm
from stepladder.evidence.target import Target, beside, target
from stepladder.spec import Budget
from stepladder.steps import Ladder, Step


@dataclass(frozen=True)
class Evidence:
    """All that a step's runs show, and the verdict on its `target`. What no finished seed can show is None or empty; `held` is
    None without a record.

    `lowest` is the smallest test accuracy in the last epochs that the budget asks to hold, over the finished seeds; `sampling`
    is what the test set's own sampling adds to the mean of `test`; `effect` is against the parent; `confusion` (rows are
    labels, columns answers) is summed over the finished seeds; `missed` has the images that at least one of them answered wrong;
    `exchanged` has those that it fixed and broke of its parent, None where either has no finished seed.
    """

    epochs: int
    target: Target
    seeds: tuple[int, ...] = ()
    diverged: tuple[int, ...] = ()
    test: Estimate | None = None
    sampling: float | None = None
    train: Estimate | None = None
    held: Share | None = None
    lowest: float | None = None
    best: Best | None = None
    effect: Effect | None = None
    late: Late | None = None
    cut: Cut | None = None
    confusion: tuple[tuple[int, ...], ...] | None = None
    per_class: tuple[float | None, ...] | None = None
    missed: tuple[Missed, ...] = ()
    exchanged: Exchanged | None = None


def gather(ladder: Ladder, arms: Mapping[str, Arm], labels: NDArray[np.uint8]) -> dict[str, Evidence]:
    """The evidence of each step by its id, in ladder order, from the arms of `load` and the labels of the test set."""
    known = adjusted(_effects(ladder, arms, labels))
    alone = {step.id: _alone(step, ladder.budget, arms[step.id], labels) for step in ladder.steps}
    return {
        step.id: replace(
            alone[step.id],
            effect=known.get(step.id),
            target=beside(alone[step.id].target, known.get(step.id)),
            exchanged=_exchanged(alone[step.id], alone[step.parent.id]) if step.parent else None,
        )
        for step in ladder.steps
    }


def between(ladder: Ladder, arms: Mapping[str, Arm], labels: NDArray[np.uint8], step: Step, other: Step) -> Effect | None:
    """The effect of any step against any other, None where they share no finished seed. Where one comes after the other it
    is the effect that `gather` corrects with those of the ladder, of all whose arms are given; else a claim of its own."""
    found = compare(arms[step.id], arms[other.id], labels)
    for child, parent in ((step, other), (other, step)):
        if found and child.parent and child.parent.id == parent.id:
            return adjusted(_effects(ladder, arms, labels) | {child.id: found})[child.id]
    return found


def compare(child: Arm, parent: Arm, labels: NDArray[np.uint8]) -> Effect | None:
    """What the child's runs differ in from the parent's, as a claim of its own (no Holm); None where no finished seed is
    shared."""
    alive = live(_weights(child), _weights(parent))
    found = effect(_last(child), _last(parent), live=alive is not False)
    if not found or found.n > 1:
        return found
    (seed,) = _last(child).keys() & _last(parent).keys()
    return replace(found, mcnemar=mcnemar(child.answers[seed], parent.answers[seed], labels))


def _effects(ladder: Ladder, arms: Mapping[str, Arm], labels: NDArray[np.uint8]) -> dict[str, Effect]:
    """Each step's effect against its parent, by its id, where there is one."""
    found = {step.id: compare(arms[step.id], arms[step.parent.id], labels) for step in ladder.steps if step.parent}
    return {name: effect for name, effect in found.items() if effect}


def _alone(step: Step, budget: Budget, arm: Arm, labels: NDArray[np.uint8]) -> Evidence:
    """What a step shows without its parent."""
    finished = arm.finished
    lost = tuple(record.seed for record in arm.records if record.status == "diverged")
    tests = [[epoch.test_accuracy for epoch in record.history] for record in finished]
    share = held(tests + [[] for _ in lost], budget.accuracy, budget.hold) if arm.records else None
    if not finished:
        return Evidence(step.recipe.epochs, target(step, budget, None, share, len(labels)), diverged=lost, held=share)
    last = estimate([history[-1] for history in tests])
    confusion = np.sum([record.confusion for record in finished if record.confusion], axis=0).tolist()
    return Evidence(
        epochs=step.recipe.epochs,
        target=target(step, budget, last, share, len(labels)),
        seeds=tuple(record.seed for record in finished),
        diverged=lost,
        test=last,
        sampling=sampling(last.mean, len(labels)),
        train=estimate([record.history[-1].train_accuracy for record in finished]),
        held=share,
        lowest=min(min(history[-budget.hold :]) for history in tests),
        best=best(tests),
        late=late(tests, budget.hold),
        cut=cut(tests, [epoch.learning_rate for epoch in finished[0].history], budget.hold),
        confusion=tuple(map(tuple, confusion)),
        per_class=per_class(confusion),
        missed=tuple(missed([arm.answers[record.seed] for record in finished], labels, _suspects(arm))),
    )


def _exchanged(child: Evidence, parent: Evidence) -> Exchanged | None:
    if not child.seeds or not parent.seeds:
        return None
    return exchanged(child.missed, len(child.seeds), parent.missed, len(parent.seeds))


def _suspects(arm: Arm) -> frozenset[int]:
    """The suspect labels of the data that the runs were made with: known for the embedded MNIST alone."""
    return SUSPECTS if {record.data_sha256 for record in arm.records} == {data.MNIST_DIGEST} else frozenset()


def _last(arm: Arm) -> dict[int, float]:
    """Test accuracy after the last epoch, by seed."""
    return {record.seed: record.history[-1].test_accuracy for record in arm.finished}


def _weights(arm: Arm) -> dict[int, str]:
    return {record.seed: record.weights_sha256 for record in arm.finished}
