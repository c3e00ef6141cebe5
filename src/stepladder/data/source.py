"""From a path to a data set: recognised, split, held out, and decoded once."""

from functools import cache
from pathlib import Path

import numpy as np

from stepladder import records
from stepladder.data import store
from stepladder.data.dataset import Dataset, hashed
from stepladder.data.found import AS_IS, DataError, Found, Reading
from stepladder.data.recognise import read
from stepladder.data.split import hold_out, quick, split

EMBEDDED = Path(__file__).parents[1] / "mnist"
MNIST_DIGEST = "25c98f992c005963b7428e1f38418b233c9b286cc403519287eb8063f0bcfe07"


@cache
def load(path: Path | None = None, reading: Reading = AS_IS, kept: Path | None = None) -> Dataset:
    """The images at a path, a file or a folder of any format that is recognised, or the embedded MNIST; loaded once a process, and
    mapped where `keep` has put them into the folder `kept` before.

    Raises DataError for what cannot be read, and for a reading that it does not allow.
    """
    if path is not None and kept is not None and (mapped := store.read(store.entry(path, reading, kept))):
        return mapped
    return _decoded(path, reading)


def keep(path: Path | None, reading: Reading, kept: Path) -> None:
    """Put what is at a path, decoded, into the folder `kept`, unless it is there and whole. (The embedded MNIST is small.)

    Raises DataError as `load` does.
    """
    if path is None:
        return
    folder = store.entry(path, reading, kept)
    mapped = store.read(folder)
    if mapped and mapped.digest == hashed(*mapped.parts):
        return
    with records.alone(kept, folder.name):
        if mapped or store.read(folder) is None:  # else another command was faster
            store.write(folder, _decoded(path, reading) if mapped else load(path, reading, kept))
    load.cache_clear()  # from now on it is mapped


def _decoded(path: Path | None, reading: Reading) -> Dataset:
    if reading.fold and not reading.holdout:
        raise DataError(
            f"fold is {reading.fold}, expected a holdout to go with it: a fold is one of the parts that it may keep back"
        )
    found = read(path or EMBEDDED, reading.size, reading.channels)
    if path is None:
        found = found._replace(kind="mnist")
    dataset = _dataset(path, found, reading.split)
    if path is None and not (reading.size or reading.channels) and dataset.digest != MNIST_DIGEST:
        raise DataError(f"{EMBEDDED}: the embedded MNIST is damaged: its SHA-256 is {dataset.digest}, expected {MNIST_DIGEST}")
    judged = hold_out(dataset, reading.holdout, reading.fold) if reading.holdout else dataset
    return quick(judged) if reading.quick else judged


def _dataset(path: Path | None, found: Found, share: float) -> Dataset:
    if found.test and share:
        raise DataError(f"{path or 'MNIST'}: has a test part of {len(found.test.labels):,} images, --split is for what has none")
    if not found.test and not share:
        raise DataError(
            f"{path}: {found.kind} with {len(found.train.labels):,} images and no test part: --split 0.2 makes a fifth of them one"
        )
    train, test = (found.train, found.test) if found.test else split(found.train, share)
    labels = [part.labels for part in (train, test, found.validation) if part]
    names = found.names or tuple(map(str, range(1 + max(int(np.max(part)) for part in labels))))
    return Dataset(
        *train, *test, hashed(train, test), names, found.kind, found.names is None, found.validation, found.remarks
    )  # fmt: skip
