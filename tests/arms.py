"""A step's runs in memory, as `stepladder.evidence.load` hands them on, without training and without files."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stepladder.evidence import Arm
from stepladder.records import SCHEMA, Epoch, Record
from stepladder.spec import to_data
from stepladder.steps import Step

IMAGES = 10_000
LABELS: NDArray[np.uint8] = (np.arange(IMAGES) % 10).astype(np.uint8)
CONFUSED: NDArray[np.uint8] = np.array([6, 7, 7, 5, 9, 3, 0, 2, 3, 4], np.uint8)
"""What each digit is answered as where it is missed."""


def arm(
    step: Step,
    tests: Mapping[int, Sequence[float]],
    *,
    train: float = 0.99,
    diverged: Sequence[int] = (),
    hard: int = 4,
    weights: str = "",
    data: str = "",
) -> Arm:
    """Runs with these test accuracies by seed, epoch by epoch (multiples of 1/10,000); `diverged` names the seeds that end
    without a last epoch. Train accuracies end at `train`, a little higher for each seed. The digit `hard` is missed most.
    Final weights are told apart by `weights` (the step's id unless given) and the seed; `data` is the data's digest.
    """
    rates = [step.recipe.rate(epoch) for epoch in range(step.recipe.epochs)]
    answers = {seed: _answers(history[-1], seed, hard) for seed, history in tests.items() if seed not in diverged}
    runs = [
        Record(
            schema=SCHEMA,
            ladder="memory",
            step=step.id,
            title=step.title,
            seed=seed,
            fingerprint="",
            status="diverged" if seed in diverged else "finished",
            parameters=step.network.parameters,
            epochs=step.recipe.epochs,
            history=[
                Epoch(epoch, rate, 0.03, train - 0.05 / epoch**2 + 0.05 / len(tests[seed]) ** 2 + seed / 20_000,
                      0.03, accuracy, round(IMAGES * accuracy), 2.0)
                for epoch, (rate, accuracy) in enumerate(zip(rates, tests[seed], strict=False), start=1)
            ],
            confusion=_confusion(answers[seed]) if seed in answers else None,
            weights_sha256=f"{weights or step.id} {seed}",
            environment={},
            network=to_data(step.network),
            recipe=to_data(step.recipe),
            data_sha256=data,
        )
        for seed in sorted(tests)
    ]  # fmt: skip
    return Arm(runs, answers)


def _answers(accuracy: float, seed: int, hard: int) -> NDArray[np.uint8]:
    """Answers of which so many are right: images are hard for all seeds, and a little harder for some."""
    hardness = np.random.default_rng(0).gumbel(size=IMAGES) + np.random.default_rng(seed + 1).gumbel(scale=0.5, size=IMAGES)
    hardness += 0.5 * (hard == LABELS)
    answers = LABELS.copy()
    wrong = np.argsort(-hardness)[: round(IMAGES * (1 - accuracy))]
    answers[wrong] = CONFUSED[LABELS[wrong]]
    return answers


def _confusion(answers: NDArray[np.uint8]) -> list[list[int]]:
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (LABELS, answers), 1)
    found: list[list[int]] = counts.tolist()
    return found
