"""What a worker of a cluster does: a part of a run, in a folder of its own that is gone afterwards, or where all runs are."""

import pickle
import threading
from collections import OrderedDict
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from stepladder import data, engine, records
from stepladder.data import DataError, Dataset, store
from stepladder.data.dataset import hashed
from stepladder.environment import processor
from stepladder.job import Job

MOST = 8
"""Data sets that a worker keeps in memory."""
FILES = ("run.json", "weights.safetensors", "logits.safetensors")
"""Of a recorded run; one that diverged has no logits."""

_ONE = threading.Lock()
"""Held while a run trains: how many threads it has is said to the whole process."""
_sent = OrderedDict[str, Dataset]()


class Facts(NamedTuple):
    """What of a process decides the runs that it makes: numerics are those of its engines, by name."""

    numerics: dict[str, int]
    torch: str
    processor: str


class Order(NamedTuple):
    """A run that is to go on from its checkpoint (a file's bytes) for about so many seconds, on the images of this digest."""

    job: Job
    checkpoint: bytes | None
    digest: str
    seconds: float


class Part(NamedTuple):
    """What came of an order: a checkpoint, or where the run is done its files by name; nothing where the images are not there."""

    checkpoint: bytes | None = None
    files: dict[str, bytes] | None = None


class InPlace(NamedTuple):
    """A run that is to go on where it lies, for about so many seconds, on images that are kept decoded in a folder: None is the
    embedded MNIST."""

    job: Job
    images: Path | None
    seconds: float


def facts() -> Facts:
    """Those of this process."""
    return Facts(engine.NUMERICS | {"torch on cuda": engine.ON_GPU}, version("torch"), processor())


def sees(folder: Path, name: str) -> bool | None:
    """Whether a lock of this name that another machine holds in a folder holds here as well; None where it is not seen."""
    if not records.lock_file(folder, name).exists():
        return None
    try:
        with records.alone(folder, name, wait=False):
            return False
    except records.Held:
        return True


def keep(dataset: Dataset) -> None:
    """Keep images that were sent; raises DataError where they are not those of their digest."""
    if (found := hashed(*dataset.parts)) != dataset.digest:
        raise DataError(f"images were sent whose SHA-256 is {found}, expected {dataset.digest}")
    _sent[dataset.digest] = dataset
    _sent.move_to_end(dataset.digest)
    while len(_sent) > MOST:
        _sent.popitem(last=False)


def part(order: bytes) -> Part:
    """Train a part of a run (a pickled `Order`), whole epochs and at least one."""
    from stepladder.train import train  # here, so that the process that only hands out work needs no torch

    job, checkpoint, digest, seconds = Order(*pickle.loads(order))
    dataset = data.load(None, job.setup.reading) if job.setup.data is None else _sent.get(digest)
    if dataset is None:
        return Part()
    with _ONE, TemporaryDirectory(prefix="stepladder-", ignore_cleanup_errors=True) as runs:
        here = replace(job, setup=replace(job.setup, runs=Path(runs)))
        if checkpoint is not None:
            records.write_bytes(records.checkpoint_file(here.folder), checkpoint)
        folder = train(here, data.with_classes(dataset, job.step.network.classes), seconds)
        if records.exists(folder):
            return Part(files={name: (folder / name).read_bytes() for name in FILES if (folder / name).exists()})
        return Part(records.checkpoint_file(folder).read_bytes())


def part_in_place(order: bytes) -> bool:
    """Train a part of a run (a pickled `InPlace`) in the folder of runs itself; returns whether the run is recorded now."""
    from stepladder.train import train

    job, images, seconds = InPlace(*pickle.loads(order))
    dataset = data.load(None, job.setup.reading) if images is None else _mapped(images)
    with _ONE:
        return records.exists(train(job, data.with_classes(dataset, job.step.network.classes), seconds))


@cache
def _mapped(folder: Path) -> Dataset:
    dataset = store.read(folder)
    if dataset is None:
        raise DataError(f"{folder}: found no images, expected those of the folder of runs")
    return dataset
