"""One step to be trained with one seed, and where; small enough to send to another process."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from stepladder import data, engine, networks, records
from stepladder.data import AS_IS, DataError, Dataset, Reading
from stepladder.records import Source
from stepladder.steps import Step


@dataclass(frozen=True)
class Setup:
    """What a run is made with: the folder of `runs`, the path of the `data` (None is the embedded MNIST), the engine, its
    device, the threads of one run, and how the data is read.

    With a holdout the test images are images kept back from training, and no run sees those of the source: for whatever
    chooses. All test figures are validation figures then.
    """

    runs: Path
    data: Path | None = None
    engine: str = "native"
    device: str = "cpu"
    threads: int = 1
    reading: Reading = AS_IS

    def dataset(self, classes: int | None = None) -> Dataset:
        """The images that a run trains on and is judged on, for a network of so many classes.

        Raises DataError for files that cannot be used, in this way or by such a network.
        """
        found = data.load(self.data, self.reading, self.kept)
        try:
            return found if classes is None else data.with_classes(found, classes)
        except DataError as error:
            raise DataError(f"{self.data or 'MNIST, as no data is named'}: {error}") from None

    def keep(self) -> None:
        """Decode the images to where all runs map them, unless that is done."""
        data.keep(self.data, self.reading, self.kept)

    @property
    def kept(self) -> Path:
        """The folder in which images are kept decoded."""
        return self.runs / ".data"

    def images(self, steps: Sequence[Step]) -> Dataset:
        """The images of a ladder's steps."""
        return self.dataset(steps[0].network.classes)

    def fingerprint(self, step: Step) -> str:
        """The hash of all that decides a step's numbers, but the seed; reads the data (once a process)."""
        digest = self.dataset(step.network.classes).digest
        return records.fingerprint(step, digest, self.identity(step))

    def identity(self, step: Step) -> str:
        """That of the engine which trains a step."""
        return engine.identity(networks.trainer(step.network, self.engine).engine, self.device)

    def source(self, dataset: Dataset) -> Source:
        """What the record of a run says of `dataset`."""
        path = None if self.data is None else str(self.data)
        split, size, channels, holdout, fold, _ = self.reading
        train, test = len(dataset.train_images), len(dataset.test_images)
        return Source(dataset.kind, path, holdout, train, test, split, size, channels, fold)


@dataclass(frozen=True)
class Job:
    """One run to be made. `ladder` is the name of the ladder that the step belongs to; `known` its fingerprint, where it was worked
    out for another seed of the step."""

    ladder: str
    step: Step
    seed: int
    setup: Setup
    known: str = field(default="", compare=False, repr=False)

    @cached_property
    def fingerprint(self) -> str:
        """The hash of all that decides the run's numbers, but the seed; reads the data (once a process)."""
        return self.known or self.setup.fingerprint(self.step)

    @property
    def folder(self) -> Path:
        """Where the run's record is, or will be."""
        return records.run_folder(self.setup.runs, self.step.id, self.fingerprint, self.seed)

    def __str__(self) -> str:
        return f"{self.step.id} seed {self.seed}"
