"""Data sets as they were decoded, on disk beside the runs: every process maps the same memory."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepladder.data.dataset import Dataset
from stepladder.data.found import DataError, Reading

FORMAT = 1
"""Of an entry; raised when the same files come to be read in another way."""

_PARTS = ("train_images", "train_labels", "test_images", "test_labels")


def entry(path: Path, reading: Reading, store: Path) -> Path:
    """The folder in which a source, as its files are now and read in this way, is kept or would be.

    Raises DataError for files that the operating system does not show.
    """
    try:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        seen = [(os.fspath(file), (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files if file.is_file()]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    told = reading[: 6 if reading.quick else 5 if reading.fold else 4]  # as it was before there were these
    return store / f"{_short([os.fspath(path.resolve()), told])}-{_short([FORMAT, seen])}"


def read(folder: Path) -> Dataset | None:
    """The data set in an entry, mapped, not loaded; None where there is none that is whole."""
    try:
        told = json.loads((folder / "data.json").read_text(encoding="utf-8"))
        # "c": what torch maps it wants to be allowed to write; a page that is written is the writer's own.
        a, b, c, d = arrays = [np.load(folder / f"{name}.npy", mmap_mode="c", allow_pickle=False) for name in _PARTS]
        names, remarks = tuple(told["classes"]), tuple(told["remarks"])
        found = Dataset(a, b, c, d, told["digest"], names, told["kind"], told["numbered"], remarks=remarks)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    fit = a.shape[1:] == c.shape[1:] and (a.ndim, b.shape, d.shape) == (4, a.shape[:1], c.shape[:1])
    return found if fit and all(array.dtype == np.uint8 for array in arrays) else None


def write(folder: Path, dataset: Dataset) -> None:
    """Keep a data set, without a validation part; whole or not at all. Two that write the same must wait for each other."""
    unfinished = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
    unfinished.mkdir(parents=True)
    try:
        for name in _PARTS:
            _write(unfinished / f"{name}.npy", getattr(dataset, name))
        told = {name: getattr(dataset, name) for name in ("digest", "classes", "kind", "numbered", "remarks")}
        (unfinished / "data.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
        for old in folder.parent.glob(f"{folder.name.partition('-')[0]}-*"):  # of files that have changed since, or not whole
            shutil.rmtree(old, ignore_errors=True)
        os.rename(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write(path: Path, array: NDArray[np.uint8]) -> None:
    try:
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
            file.write(array.data)  # which says why a disk refuses it; numpy's own way does not
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _short(value: Any) -> str:
    return hashlib.sha256(os.fsencode(json.dumps(value))).hexdigest()[:12]
