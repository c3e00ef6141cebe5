"""A ladder's records as the rest of this room takes them: the only file of it that reads the disk."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepladder import records
from stepladder.job import Job, Setup
from stepladder.records import Record
from stepladder.spec import Ladder, Step


class Arm(NamedTuple):
    """A step's records by seed, finished and diverged, and what each finished one answered: (images,), by seed."""

    records: Sequence[Record]
    answers: Mapping[int, NDArray[np.uint8]]

    @property
    def finished(self) -> list[Record]:
        """The records that have a last epoch to be judged at."""
        return [record for record in self.records if record.status == "finished"]


def load(ladder: Ladder, setup: Setup, steps: Sequence[Step] | None = None) -> dict[str, Arm]:
    """The records that `ladder`, or some `steps` of it, have under `setup`, by step id; of the test logits only the answers
    are kept.

    Raises RecordError and DataError for files that cannot be used.
    """
    return {step.id: _arm(ladder.name, step, setup) for step in steps or ladder.steps}


def _arm(ladder: str, step: Step, setup: Setup) -> Arm:
    fingerprint = Job(ladder, step, 0, setup).fingerprint
    folders = {
        seed: records.run_folder(setup.runs, step, fingerprint, seed) for seed in records.seeds(setup.runs, step, fingerprint)
    }
    arm = Arm([records.read(folder) for folder in folders.values()], {})
    return arm._replace(answers={record.seed: _answers(records.read_logits(folders[record.seed])) for record in arm.finished})


def _answers(logits: NDArray[np.float32]) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = logits.argmax(axis=1).astype(np.uint8)
    return found
