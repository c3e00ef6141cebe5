"""A ladder's records as the rest of this room takes them: the only file of it that reads the disk."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepladder import records
from stepladder.data import Dataset
from stepladder.job import Setup
from stepladder.records import Normalisation, Record, RecordError, index
from stepladder.records.index import Verified
from stepladder.steps import Step


class Arm(NamedTuple):
    """A step's records by seed, finished and diverged, what each finished one answered: (images,), by seed; why each run that
    cannot be believed was set aside; and the folder of each record, by seed, where it was read from one."""

    records: Sequence[Record]
    answers: Mapping[int, NDArray[np.uint8]]
    damaged: Sequence[str] = ()
    folders: Mapping[int, Path] = MappingProxyType({})

    @property
    def finished(self) -> list[Record]:
        """The records that have a last epoch to be judged at."""
        return [record for record in self.records if record.status == "finished"]


def load(steps: Sequence[Step], setup: Setup) -> dict[str, Arm]:
    """The records that steps have under `setup`, by step id; of the test logits only the answers are kept. A run that
    contradicts itself is set aside, with the reason; a copy of it that does not takes its place.

    What was verified before and has not changed since is not verified again (`records.index`). Raises DataError for images that
    cannot be used.
    """
    return {step.id: _arm(step, setup) for step in steps}


def _arm(step: Step, setup: Setup) -> Arm:
    fingerprint = setup.fingerprint(step)
    ends: dict[str, int] = {}
    found, answers, damaged = list[Record](), dict[int, NDArray[np.uint8]](), records.broken(setup.runs, fingerprint)
    folders = dict[int, Path]()
    copies = records.copies(setup.runs, fingerprint)
    names = {folder.parent.name for several in copies.values() for folder in several}
    before = {name: index.remembered(setup.runs, name) for name in names}
    verified = list[Verified]()
    for seed, several in copies.items():
        for folder in several:
            try:
                record, answered, fresh = _verified(folder, step, setup, before[folder.parent.name].get(folder.name))
                verified += fresh
                # (Weights of runs that diverged may all be NaN.)
                if answered is not None and (twin := ends.setdefault(record.weights_sha256, seed)) != seed:
                    raise RecordError(f"{folder / 'run.json'}: its weights are those of seed {twin}, to the bit")
            except RecordError as error:
                damaged.append(str(error))
                continue
            found.append(_sharing(record, found[0]) if found else record)
            folders[seed] = folder
            if answered is not None:
                answers[seed] = answered
            break
    index.remember(setup.runs, verified)
    return Arm(found, answers, tuple(damaged), folders)


def _verified(
    folder: Path, step: Step, setup: Setup, before: Verified | None
) -> tuple[Record, NDArray[np.uint8] | None, list[Verified]]:
    """The record of this folder, what its run answered, and what is to be remembered of it; of a run that was verified `before`, in
    the state in which it is now, only the record is read. Raises RecordError where it cannot be believed."""
    labels, now = setup.dataset(step.network.classes).test_labels, index.state(folder)
    record = index.known(now, before)
    if record and before:
        _check_is_of(record, folder, step, setup)
        return record, index.answers_of(before, labels), []
    record = records.read(folder)
    _check_is_of(record, folder, step, setup)
    answered = records.verify(folder, record, labels)
    return record, answered, [index.verified(folder, now, answered, labels)] if now else []


def _sharing(record: Record, other: Record) -> Record:
    """The record, with what is the same in another one of its step held in memory once."""
    names = ("network", "recipe", "environment", "classes", "normalisation", "data")
    return replace(record, **{name: value for name in names if (value := getattr(other, name)) == getattr(record, name)})


@cache
def _normalisation(dataset: Dataset) -> Normalisation:
    """Mean and deviation of each channel, worked out once for all runs."""
    mean, std = dataset.normalisation()
    return Normalisation(list(mean), list(std))


def _check_is_of(record: Record, folder: Path, step: Step, setup: Setup) -> None:
    """Raise RecordError where a record is not that of a run of this step on these images."""
    dataset = setup.dataset()
    asked = {"parameters": step.network.parameters, "epochs": step.recipe.epochs, "data_sha256": dataset.digest}
    for name, value in asked.items():
        if getattr(record, name) != value:
            raise RecordError(f"{folder / 'run.json'}: {name} is {getattr(record, name)}, expected {value} of step {step.id}")
    if record.normalisation and record.normalisation != _normalisation(dataset):
        of_record, of_images = (np.array([found.mean, found.std]) for found in (record.normalisation, _normalisation(dataset)))
        if of_record.shape != of_images.shape or not np.allclose(of_record, of_images, rtol=1e-9, atol=0):
            raise RecordError(
                f"{folder / 'run.json'}: its normalisation is {of_record.tolist()}, expected {of_images.tolist()} of these images"
            )
    if record.confusion is not None and len(record.confusion) != step.network.classes:
        raise RecordError(
            f"{folder / 'run.json'}: its confusion matrix has {len(record.confusion)} classes, "
            f"expected {step.network.classes} of step {step.id}"
        )
