"""A ladder's records as the rest of this room takes them: the only file of it that reads the disk."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepladder import records
from stepladder.data import Dataset
from stepladder.job import Setup
from stepladder.records import Normalisation, Record, RecordError
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

    Raises DataError for images that cannot be used.
    """
    return {step.id: _arm(step, setup) for step in steps}


def _arm(step: Step, setup: Setup) -> Arm:
    dataset = setup.dataset(step.network.classes)
    fingerprint = setup.fingerprint(step)
    ends: dict[str, int] = {}
    found, answers, damaged = list[Record](), dict[int, NDArray[np.uint8]](), records.broken(setup.runs, fingerprint)
    folders = dict[int, Path]()
    for seed, copies in records.copies(setup.runs, fingerprint).items():
        for folder in copies:
            try:
                record = _believed(folder, step, setup)
                answered = records.verify(folder, record, dataset.test_labels)
                # (Weights of runs that diverged may all be NaN.)
                if answered is not None and (twin := ends.setdefault(record.weights_sha256, seed)) != seed:
                    raise RecordError(f"{folder / 'run.json'}: its weights are those of seed {twin}, to the bit")
            except RecordError as error:
                damaged.append(str(error))
                continue
            found.append(record)
            folders[seed] = folder
            if answered is not None:
                answers[seed] = answered
            break
    return Arm(found, answers, tuple(damaged), folders)


@cache
def _normalisation(dataset: Dataset) -> Normalisation:
    """Mean and deviation of each channel, worked out once for all runs."""
    mean, std = dataset.normalisation()
    return Normalisation(list(mean), list(std))


def _believed(folder: Path, step: Step, setup: Setup) -> Record:
    """The record of this folder; raises RecordError where it is not that of a run of this step on these images."""
    record, dataset = records.read(folder), setup.dataset()
    asked = {"parameters": step.network.parameters, "epochs": step.recipe.epochs, "data_sha256": dataset.digest}
    for name, value in asked.items():
        if getattr(record, name) != value:
            raise RecordError(f"{folder / 'run.json'}: {name} is {getattr(record, name)}, expected {value} of step {step.id}")
    if record.normalisation:
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
    return record
