"""What lies in a folder of runs: a line for each step's folder, from the names and sizes of its files and one record."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stepladder.records.folder import FOLDER, copies_in, read
from stepladder.records.index import forget
from stepladder.records.record import Record, RecordError

GONE = ".pruned"
"""What the name of a step's folder ends with while it is being removed."""


class Held(NamedTuple):
    """The folder of a step: its first record that can be read (all of a folder have the same network, recipe, images and engine;
    None where there is none), how many `runs` are recorded and how many have only a checkpoint, the seconds since 1970 at which
    the last file came, and the bytes of all."""

    folder: Path
    record: Record | None
    runs: int
    under_way: int
    newest: float
    bytes: int


def held(runs: Path) -> list[Held]:
    """The folders of steps in a folder of runs, by name."""
    return [_held(folder) for folder in sorted(runs.iterdir()) if FOLDER.fullmatch(folder.name) and folder.is_dir()]


def remove(found: Held) -> None:
    """Remove the folder of a step with all its runs: gone at once, also where this is cut short, and then deleted."""
    runs, name = found.folder.parent, found.folder.name
    gone = runs / f"{name}{GONE}"
    shutil.rmtree(gone, ignore_errors=True)
    found.folder.rename(gone)
    forget(runs, name)
    shutil.rmtree(gone)


def clear_removed(runs: Path) -> None:
    """Delete what a removal that was cut short has left."""
    for path in runs.glob(f"*{GONE}"):
        shutil.rmtree(path, ignore_errors=True)


def _held(folder: Path) -> Held:
    recorded = copies_in(folder)
    stats = [stat for path in _files(folder) if (stat := _stat(path))]
    begun = [path for path in folder.glob("*.checkpoint") if path.stem.isdecimal() and folder / path.stem not in recorded]
    return Held(
        folder,
        next(_records(recorded), None),
        len(recorded),
        len(begun),
        max((stat.st_mtime for stat in stats), default=0.0),
        sum(stat.st_size for stat in stats),
    )


def _records(folders: list[Path]) -> Iterator[Record]:
    for folder in folders:
        try:
            yield read(folder)
        except RecordError:
            continue


def _files(folder: Path) -> Iterator[Path]:
    for where, _, names in os.walk(folder):
        yield from (Path(where) / name for name in names)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:  # it went meanwhile
        return None
