"""What a worker of a cluster does: a part of a run, in a folder of its own that is gone afterwards."""

import pickle
import threading
from collections import OrderedDict
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from stepladder import data, engine, records
from stepladder.data import DataError, Dataset
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


def facts() -> Facts:
    """Those of this process."""
    return Facts(dict(engine.NUMERICS), version("torch"), processor())


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
