"""All runs of a folder: which of them ladders need, and whether each is what it says it is."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stepladder import records
from stepladder.data import DataError, Dataset
from stepladder.job import Setup
from stepladder.lab.elsewhere import but_epochs, reading_of
from stepladder.lab.run import Run
from stepladder.records import Record, RecordError
from stepladder.records.listing import Held, held
from stepladder.spec import SpecError, to_data
from stepladder.steps import Ladder

NEAR = 1e-3
"""Probabilities of the weights and of the logits differ by rounding alone where they are closer than this: engines, processors and
threads add in another order."""


class Verdict(NamedTuple):
    """What became of a run that was read whole: its `folder`; what contradicts what in `fault` ('' where nothing does), and in
    `open` what could not be looked at, and why ('' where all was)."""

    folder: Path
    fault: str = ""
    open: str = ""


class Sorted(NamedTuple):
    """The folders of steps that ladders need, those that none does, and those of which it cannot be told."""

    needed: list[Held]
    spare: list[Held]
    unknown: list[Held]


def sort(runs: Path, ladders: Iterable[Ladder]) -> Sorted:
    """Which runs the ladders need: those with the network and the recipe of a step of theirs, of any number of epochs, on any
    images, by any engine. Of a folder without a record that can be read it cannot be told."""
    steps = {but_epochs(to_data(step.network), to_data(step.recipe)) for ladder in ladders for step in ladder.steps}
    found = Sorted([], [], [])
    for each in held(runs):
        if each.record is None:
            found.unknown.append(each)
        elif but_epochs(each.record.network, each.record.recipe) in steps:
            found.needed.append(each)
        else:
            found.spare.append(each)
    return found


def verify(runs: Path, images: Path | None = None) -> Iterator[Verdict]:
    """Read every run whole, without the index: its record against itself, weights and logits against their hashes, the logits
    against the record's figures on its images, and what the weights answer to them against the logits. `images` is where to look
    for the images that a record does not name, or that have moved."""
    for each in held(runs):
        for folder in records.copies_in(each.folder):
            yield _verified(folder, runs, images)


def _verified(folder: Path, runs: Path, images: Path | None) -> Verdict:
    try:
        record = records.read(folder)
        records.read_weights(folder, record)
        if record.confusion is not None:
            records.read_logits(folder, record)
        dataset = _images(record, runs, images)
        if dataset is None:
            return Verdict(folder, open="its images were not found: answers were not looked at (--data)")
        if records.verify(folder, record, dataset.test_labels) is None:
            return Verdict(folder)
        if records.lacks(record):
            return Verdict(folder, open="a record of schema 1 does not say how images are made ready: weights were not looked at")
        if record.network.get("type") != "Network":
            return Verdict(folder, open="a module is built by its ladder alone: weights were not looked at")
        return Verdict(folder, fault=_other_answers(folder, record, dataset))
    except (RecordError, SpecError) as error:
        return Verdict(folder, fault=str(error))


def _other_answers(folder: Path, record: Record, dataset: Dataset) -> str:
    """Where the network with the weights of a run gives other probabilities than its logits do, by how much."""
    run = Run(folder, record)
    logits = run.logits().astype(float)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    apart = float(np.abs(run.probabilities(dataset.test_images) - shares / shares.sum(axis=1, keepdims=True)).max())
    if apart < NEAR:
        return ""
    return (
        f"{folder}: its weights give probabilities that are up to {apart:.3g} from those of its logits, expected less than {NEAR:g}"
    )


def _images(record: Record, runs: Path, images: Path | None) -> Dataset | None:
    """The images that a run was judged on; None where they are not found."""
    named = record.data.path if record.data else None
    for path in dict.fromkeys([None if named is None else Path(named), images]):
        setup = Setup(runs, path)
        found = _loaded(replace(setup, reading=reading_of(record, setup)))
        if found is not None and found.digest == record.data_sha256:
            return found
    return None


@cache
def _loaded(setup: Setup) -> Dataset | None:
    try:
        return setup.dataset()
    except DataError:
        return None
