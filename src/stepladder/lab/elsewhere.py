"""Runs of a ladder that were made under other options than those asked for."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from stepladder import data, records
from stepladder.analysis import counted
from stepladder.data import Reading
from stepladder.job import Setup
from stepladder.records import Record
from stepladder.spec import to_data
from stepladder.steps import Ladder


def elsewhere(ladder: Ladder, setup: Setup) -> str:
    """How many runs of the ladder's steps lie in the same folder under which other options: '4 runs with --epochs 2, 1 run with
    --holdout 300'; '' where there are none."""
    found = Counter(_options(record, ladder, setup) for record in _of(ladder, setup.runs))
    found.pop("", None)  # made by an earlier version of the engine: no option finds them
    return ", ".join(f"{counted(count, 'run')} with {options}" for options, count in found.most_common())


def _of(ladder: Ladder, runs: Path) -> Iterator[Record]:
    """The records of the ladder's steps, of any number of epochs."""
    steps = {but_epochs(to_data(step.network), to_data(step.recipe)) for step in ladder.steps}
    for path in sorted(runs.glob("*-*/*/run.json")):
        try:
            record = records.read(path.parent)
        except records.RecordError:
            continue
        if but_epochs(record.network, record.recipe) in steps:
            yield record


def but_epochs(network: object, recipe: dict[str, object]) -> str:
    """A network and a recipe as text, without the number of epochs."""
    return json.dumps([network, {name: value for name, value in recipe.items() if name != "epochs"}], sort_keys=True)


def _options(record: Record, ladder: Ladder, setup: Setup) -> str:
    """The options that a run was made under, as far as they are not those of `setup` and the ladder."""
    own = {step.recipe.epochs for step in ladder.steps if to_data(step.recipe) | {"epochs": record.epochs} == record.recipe}
    where = record.environment
    reading = reading_of(record, setup)
    same = _digest(replace(setup, reading=reading)) == record.data_sha256
    found = [
        ("--quick", "" if reading.quick else None, reading.quick != setup.reading.quick),
        ("--epochs", record.epochs, record.epochs not in own and not reading.quick and not setup.reading.quick),
        ("--split", reading.split, reading.split != setup.reading.split),
        ("--size", reading.size and "x".join(map(str, reading.size)), reading.size != setup.reading.size),
        ("--channels", reading.channels, reading.channels != setup.reading.channels),
        ("--holdout", reading.holdout, reading.holdout != setup.reading.holdout),
        ("--fold", reading.fold, reading.fold != setup.reading.fold),
        ("--engine", where.get("engine"), where.get("engine") not in (None, setup.engine)),
        ("--device", where.get("device"), where.get("device") not in (None, setup.device)),
        ("--data", _path(record), not same),
    ]
    return " ".join(_option(name, value) for name, value, other in found if other)


def reading_of(record: Record, setup: Setup) -> Reading:
    """How the images of a run were read; records of schema 1 tell the holdout alone."""
    if record.data is None:
        return setup.reading._replace(holdout=record.environment.get("holdout") or 0, fold=0)
    of = Reading(record.data.split, record.data.size, record.data.channels, record.data.holdout, record.data.fold)
    part = of._replace(quick=True)  # which a record tells by its images alone
    return part if _digest(replace(setup, reading=part)) == record.data_sha256 != _digest(replace(setup, reading=of)) else of


def _digest(setup: Setup) -> str | None:
    """Of the images, where they can be read so."""
    try:
        return setup.dataset().digest
    except data.DataError:
        return None


def _option(name: str, value: object) -> str:
    return (
        f"no {name}" if value is None or (name in ("--holdout", "--fold", "--split") and not value) else f"{name} {value}".rstrip()
    )


def _path(record: Record) -> str | None:
    """The --data that a run was made on; records of schema 1 do not tell, but for the embedded images."""
    if record.data is not None:
        return record.data.path
    return None if record.data_sha256 == data.MNIST_DIGEST else "(another data set)"


def sentence(ladder: Ladder, setup: Setup) -> str:
    """That no run was found, and which there are under other options."""
    others = elsewhere(ladder, setup)
    there = f", but {others}" if others else ""
    return f"found no runs of ladder {ladder.name!r} in {setup.runs} under these options{there}"
