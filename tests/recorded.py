"""Records written without training: a small ladder of every kind of step, and a climb with plausible figures."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepladder import (
    Affine,
    Budget,
    Conv,
    GlobalAvgPool,
    Ladder,
    Linear,
    MaxPool,
    Network,
    Step,
    StepLR,
    evidence,
    ladders,
    records,
    report,
)
from stepladder.engine import identity
from stepladder.evidence import SUSPECTS
from stepladder.job import Job, Setup
from stepladder.records import Epoch, Normalisation, Record
from stepladder.spec import to_data

ENVIRONMENT = {"processor": "Abacus 3000", "threads": 1, "torch": "2.13.0", "commit": "abc", "date": "2026-11-23T13:56:21+00:00"}

WIDE = Network([Conv(8), MaxPool(2), Conv(12), GlobalAvgPool(), Linear(10)])
NARROW = Network([Conv(8), MaxPool(2), Conv(10, activation=None), GlobalAvgPool()])


def small_ladder() -> Ladder:
    """A fork, a dead step, a step that diverged once, one that is not run and one that is not kept."""
    plain = Step("Plain", WIDE, target="See what it learns.", note="Mind <script>alert(1)</script> & | pipes.")
    narrow = plain.then("Narrow", network=NARROW, target="The same with less.")
    dropout = narrow.then("Dropout", dropout=0.05, target="Close the gap.")
    decay = dropout.then("Decay", schedule=StepLR(every=2), target="Calm the end.")
    rotation = plain.then("Rotation", augmentation=Affine(rotate=15), target="Harder images.", kept=False)
    return Ladder(
        "small", Budget(parameters=1_200, epochs=4, accuracy=0.97, hold=2), [plain, narrow, dropout, decay, rotation]
    ).with_epochs(4)


def record_small(setup: Setup) -> Ladder:
    """Write the records of `small_ladder`, on `small_mnist`; returns the ladder."""
    ladder = small_ladder()
    plain, narrow, dropout, _, rotation = ladder.steps
    for seed, last in enumerate((484, 486, 485)):
        record_run(setup, plain, seed, [450, 470, 480, last])
        record_run(setup, narrow, seed, [450, 470, 486, last + seed], weights=f"narrow {seed}".encode())
        record_run(setup, dropout, seed, [450, 470, 486, last + seed], weights=f"narrow {seed}".encode())
    record_run(setup, narrow, 3, [450, 300], diverged=True)
    record_run(setup, rotation, 0, [450, 470, 490, 488])
    return ladder


def record_run(
    setup: Setup,
    step: Step,
    seed: int,
    correct: Sequence[int],
    weights: bytes = b"",
    *,
    diverged: bool = False,
    ladder: str = "small",
) -> None:
    """Write a record whose test set is answered right `correct[epoch]` times; in the end the first images are missed."""
    labels = setup.dataset(10).test_labels.astype(int)
    answers = labels.copy()
    answers[: len(labels) - correct[-1]] = (labels[: len(labels) - correct[-1]] + 1 + seed) % 10
    history = [
        Epoch(epoch, step.recipe.rate(epoch - 1), 0.5 / epoch, 0.94 + epoch / 100 + seed / 1000,
              0.4 / epoch, right / len(labels), right, 1.0)
        for epoch, right in enumerate(correct, start=1)
    ]  # fmt: skip
    _write(Job(ladder, step, seed, setup), history, weights, None if diverged else answers)


def built(ladder: Ladder, setup: Setup) -> dict[str, Any]:
    """The data of report.json, from the records there are."""
    arms, labels = evidence.load(ladder.steps, setup), setup.dataset(10).test_labels
    return report.build(ladder, setup, arms, evidence.gather(ladder, arms, labels), setup.dataset(10))


CLIMB = {"0": 0.9931, "A1": 0.9929, "A2": 0.9934, "A3": 0.9943, "A4": 0.9952,
         "B1": 0.9920, "B2": 0.9923, "B3": 0.9932, "B4": 0.9940}  # fmt: skip
"""Test accuracies after the last epoch that `record_climb` gives the steps of the built-in ladder."""


def record_climb(setup: Setup, seeds: int) -> Ladder:
    """Write records of the built-in ladder: curves that settle, late scatter that a lower learning rate halves, and images
    of which the hard ones are missed by most seeds. Returns the ladder."""
    ladder = ladders.load("mnist")
    labels = setup.dataset(10).test_labels.astype(int)
    generator = np.random.default_rng(0)
    hardness = generator.gumbel(size=len(labels))
    hardness[[index for index in SUSPECTS if index < len(labels)]] += 6
    second = (labels + generator.integers(1, 10, len(labels))) % 10
    for step in ladder.steps:
        for seed in range(seeds):
            history = _curve(step, len(labels), generator)
            hard = hardness + generator.gumbel(scale=0.8, size=len(labels))
            missed = np.argsort(-hard)[: len(labels) - history[-1].test_correct]
            answers = labels.copy()
            answers[missed] = second[missed]
            _write(Job(ladder.name, step, seed, setup), history, b"", answers)
    return ladder


def _curve(step: Step, images: int, generator: np.random.Generator) -> list[Epoch]:
    """An epoch for each epoch of the recipe, ending near the step's accuracy in CLIMB."""
    epochs, error = step.recipe.epochs, 1 - CLIMB[step.id]
    history = []
    for epoch in range(1, epochs + 1):
        cut = step.recipe.schedule is not None and epoch > 6
        settled = error + (0 if cut or not step.recipe.schedule else 0.0012) + 0.05 * np.exp(-epoch / 1.3) + 0.008 / epoch**2
        scatter = generator.normal(scale=0.0004 if cut else 0.0009)
        if epoch == epochs:
            scatter = generator.normal(scale=0.0005)
        correct = round(images * (1 - max(float(settled + scatter), 0.0)))
        harder = 1.4 if step.recipe.augmentation else 1.0 if step.recipe.dropout else 0.7
        train_error = float(harder * (error + 0.08 * np.exp(-epoch / 1.6) + 0.012 / epoch) + abs(generator.normal(scale=0.0003)))
        test_error = 1 - correct / images
        history.append(
            Epoch(
                epoch,
                step.recipe.rate(epoch - 1),
                3.1 * train_error,
                1 - train_error,
                3.2 * test_error,
                1 - test_error,
                correct,
                2.5,
            )
        )
    return history


def _write(job: Job, history: list[Epoch], weights: bytes, answers: NDArray[np.int64] | None) -> None:
    """A record with these epochs, and what was answered in the end; without answers it diverged."""
    step = job.step
    dataset = job.setup.dataset(10)
    confusion = np.zeros((10, 10), int)
    if answers is not None:
        np.add.at(confusion, (dataset.test_labels, answers), 1)
    weights = weights or f"{step.id} {job.seed}".encode()
    record = Record(
        records.SCHEMA, job.ladder, step.id, step.title, job.seed, job.fingerprint, "diverged" if answers is None else "finished",
        step.network.parameters, step.recipe.epochs, history, None if answers is None else confusion.tolist(),
        hashlib.sha256(weights).hexdigest(), ENVIRONMENT, to_data(step.network), to_data(step.recipe), dataset.digest,
        identity(job.setup.engine, job.setup.device), step.network.input, list(dataset.classes),
        Normalisation(*map(list, job.setup.dataset().normalisation())),
        job.setup.source(dataset),
    )  # fmt: skip
    records.write(job.folder, record, weights, None if answers is None else np.eye(10, dtype=np.float32)[answers])
