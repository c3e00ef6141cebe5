"""All that a step's runs show, for each step of a ladder."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stepladder import data
from stepladder.evidence.curves import Cut, Late, cut, late
from stepladder.evidence.effects import Effect, adjusted, effect, live
from stepladder.evidence.errors import SUSPECTS, Missed, missed, per_class
from stepladder.evidence.estimates import Best, Estimate, Share, best, estimate, held
from stepladder.evidence.paired import mcnemar
from stepladder.evidence.runs import Arm
from stepladder.evidence.target import Target, target
from stepladder.spec import Budget, Ladder, Step


@dataclass(frozen=True)
class Evidence:
    """All that a step's runs show. What no finished seed can show is None or empty; `held` and `target` are None without a
    record.

    `lowest` is the smallest test accuracy in the last epochs that the budget asks to hold, over the finished seeds;
    `effect` and `live` are against the parent; `confusion` (rows are labels, columns answers) is summed over the finished
    seeds; `missed` has the images that at least one of them answered wrong.
    """

    epochs: int
    seeds: tuple[int, ...] = ()
    diverged: tuple[int, ...] = ()
    test: Estimate | None = None
    train: Estimate | None = None
    held: Share | None = None
    lowest: float | None = None
    best: Best | None = None
    effect: Effect | None = None
    live: bool | None = None
    target: Target | None = None
    late: Late | None = None
    cut: Cut | None = None
    confusion: tuple[tuple[int, ...], ...] | None = None
    per_class: tuple[float | None, ...] | None = None
    missed: tuple[Missed, ...] = ()


def gather(ladder: Ladder, arms: Mapping[str, Arm], labels: NDArray[np.uint8]) -> dict[str, Evidence]:
    """The evidence of each step by its id, in ladder order, from the arms of `load` and the labels of the test set."""
    effects = {step.id: _against(step, arms, labels) for step in ladder.steps}
    known = adjusted({name: found for name, found in effects.items() if found})
    alone = {step.id: _alone(step, ladder.budget, arms[step.id], labels) for step in ladder.steps}
    return {
        name: replace(evidence, effect=known[name], live=known[name].live) if name in known else evidence
        for name, evidence in alone.items()
    }


def compare(child: Arm, parent: Arm, labels: NDArray[np.uint8]) -> Effect | None:
    """What the child's runs differ in from the parent's, as a claim of its own (no Holm); None where no finished seed is
    shared."""
    alive = live(_weights(child), _weights(parent))
    found = effect(_last(child), _last(parent), live=alive is not False)
    if not found or found.n > 1:
        return found
    (seed,) = _last(child).keys() & _last(parent).keys()
    return replace(found, mcnemar=mcnemar(child.answers[seed], parent.answers[seed], labels))


def _against(step: Step, arms: Mapping[str, Arm], labels: NDArray[np.uint8]) -> Effect | None:
    return compare(arms[step.id], arms[step.parent.id], labels) if step.parent else None


def _alone(step: Step, budget: Budget, arm: Arm, labels: NDArray[np.uint8]) -> Evidence:
    """What a step shows without its parent."""
    finished = arm.finished
    lost = tuple(record.seed for record in arm.records if record.status == "diverged")
    tests = [[epoch.test_accuracy for epoch in record.history] for record in finished]
    share = held(tests + [[] for _ in lost], budget.accuracy, budget.hold) if arm.records else None
    if not share:
        return Evidence(step.recipe.epochs)
    if not finished:
        return Evidence(step.recipe.epochs, diverged=lost, held=share, target=target(None, share, budget.accuracy, len(labels)))
    last = estimate([history[-1] for history in tests])
    confusion = np.sum([record.confusion for record in finished if record.confusion], axis=0).tolist()
    return Evidence(
        epochs=step.recipe.epochs,
        seeds=tuple(record.seed for record in finished),
        diverged=lost,
        test=last,
        train=estimate([record.history[-1].train_accuracy for record in finished]),
        held=share,
        lowest=min(min(history[-budget.hold :]) for history in tests),
        best=best(tests),
        target=target(last, share, budget.accuracy, len(labels)),
        late=late(tests, budget.hold),
        cut=cut(tests, [epoch.learning_rate for epoch in finished[0].history], budget.hold),
        confusion=tuple(map(tuple, confusion)),
        per_class=per_class(confusion),
        missed=tuple(missed([arm.answers[record.seed] for record in finished], labels, _suspects(arm))),
    )


def _suspects(arm: Arm) -> frozenset[int]:
    """The suspect labels of the data that the runs were made with: known for the embedded MNIST alone."""
    return SUSPECTS if {record.data_sha256 for record in arm.records} == {data.MNIST_DIGEST} else frozenset()


def _last(arm: Arm) -> dict[int, float]:
    """Test accuracy after the last epoch, by seed."""
    return {record.seed: record.history[-1].test_accuracy for record in arm.finished}


def _weights(arm: Arm) -> dict[int, str]:
    return {record.seed: record.weights_sha256 for record in arm.finished}
