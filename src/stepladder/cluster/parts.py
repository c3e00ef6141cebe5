"""A run that a worker makes part by part, some seconds at a time: the side of the process that hands it out."""

import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from stepladder import records
from stepladder.cluster import arrivals, worker
from stepladder.cluster.queue import Run
from stepladder.cluster.worker import InPlace, Order, Part
from stepladder.data import Dataset, store
from stepladder.records import RecordError

SECONDS = 5.0
"""After so long a worker ends the epoch under way and hands in the checkpoint."""
SEEN_SECONDS = 60.0
"""So long a network file system may take to show what a worker has written."""

Ask = Callable[[Callable[..., Any], Any], Any]
"""Has a worker do a task with what is given, and returns what came of it; raises Lost where nothing did."""


class Lost(Exception):
    """A part of a run did not come back, or cannot be used: why is said."""


def trained(run: Run, ask: Ask, send: Callable[[Dataset], None]) -> Path:
    """The folder of a run that a worker makes from its last checkpoint on, unless it is recorded; `send` sends it images.

    Raises Lost, and records.Held where another command has the run.
    """
    job = run.job
    dataset = job.setup.dataset()
    with records.lock(job.folder, wait=False):
        folder = job.folder  # only now: another ladder may have begun this run under another name
        if not records.exists(folder):
            records.clear_leftovers(folder)
        while not records.exists(folder):
            there = records.read_checkpoint(folder)
            saved = records.checkpoint_file(folder).read_bytes() if there else None
            part: Part = ask(worker.part, pickle.dumps(tuple(Order(job, saved, dataset.digest, SECONDS))))
            if part.files:
                with _sent():
                    arrived = arrivals.record(folder, part.files, dataset.test_labels)
                records.write(folder, *arrived)
            elif part.checkpoint:
                with _sent():
                    arrivals.check_checkpoint(folder, part.checkpoint, len(there.history) if there else 0)
                records.write_bytes(records.checkpoint_file(folder), part.checkpoint)
                run.lost.clear()
            else:
                send(dataset)
    return folder


@contextmanager
def _sent() -> Iterator[None]:
    """Whatever contradicts itself here was sent by the worker."""
    try:
        yield
    except RecordError as error:
        raise Lost(f"it sent what cannot be used: {error}") from None


def trained_in_place(run: Run, ask: Ask, runs: Path) -> Path:
    """As `trained`, but the worker sees the folder of runs as `runs`, and reads and writes there. It has the run's lock."""
    job, setup = run.job, run.job.setup
    kept = None if setup.data is None else runs / setup.kept.name / store.entry(setup.data, setup.reading, setup.kept).name
    order = pickle.dumps(tuple(InPlace(replace(job, setup=replace(setup, runs=runs)), kept, SECONDS)))
    while not records.exists(job.folder):
        if ask(worker.part_in_place, order):
            _wait_for(job.folder)
        run.lost.clear()
    return job.folder


def _wait_for(folder: Path) -> None:
    until = time.monotonic() + SEEN_SECONDS
    while not records.exists(folder):
        if time.monotonic() > until:
            raise Lost(f"it says that the run is recorded, which {folder} does not show after {SEEN_SECONDS:.0f} seconds")
        time.sleep(0.1)
