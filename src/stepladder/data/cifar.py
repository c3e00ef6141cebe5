"""Reads CIFAR-10 and CIFAR-100 (https://www.cs.toronto.edu/~kriz/cifar.html), as binary files and as Python's batches."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepladder.data.found import DataError, Found, Part
from stepladder.data.pickled import Refused, unpickled

SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32


class _Version(NamedTuple):
    """Of CIFAR: its files, the name of its labels in a batch, of its class names in the meta file, how many classes there are,
    and at which byte of how many the label of a binary record is (nothing in Python's versions)."""

    kind: str
    train: tuple[str, ...]
    test: str
    meta: str
    labels: str
    names: str
    classes: int
    binary: tuple[int, int] | None = None


_VERSIONS = (
    _Version("CIFAR-10 (Python batches)", tuple(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta",
             "labels", "label_names", 10),
    _Version("CIFAR-10 (binary)", tuple(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin", "batches.meta.txt",
             "labels", "label_names", 10, (0, 1)),
    _Version("CIFAR-100 (Python batches)", ("train",), "test", "meta", "fine_labels", "fine_label_names", 100),
    _Version("CIFAR-100 (binary)", ("train.bin",), "test.bin", "fine_label_names.txt", "fine_labels", "fine_label_names", 100,
             (1, 2)),
)  # fmt: skip


def read(path: Path) -> Found | None:
    """What a folder of CIFAR's files holds, by its path or that of one of them, with the class names of its meta file where that is
    there; CIFAR-100 by its 100 fine labels. None where no two of the files of a version are there.

    Raises DataError, and nothing else: where one of the files is missing, cannot be read, is damaged or no batch of CIFAR. Of a
    Python batch only arrays and plain containers are read, and nothing that it names is run.
    """
    try:
        folder = path.parent if path.is_file() else path
        for version in _VERSIONS:
            batches = (*version.train, version.test)
            held = [name for name in (*batches, version.meta) if (folder / name).is_file()]
            if len(held) < 2 or (folder != path and path.name not in batches):
                continue
            if missing := [name for name in batches if name not in held]:
                raise DataError(f"{folder / missing[0]}: file not found, expected it beside {held[0]} ({version.kind})")
            return _read(folder, version)
    except DataError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except MemoryError:
        raise DataError(f"{path}: cannot be read: not enough memory for what it holds") from None
    return None


def _read(path: Path, version: _Version) -> Found:
    names = _names(path / version.meta, version) if (path / version.meta).is_file() else None
    train = _part([path / name for name in version.train], version)
    test = _part([path / version.test], version)
    return Found(version.kind, train, test, names=names)


def _names(path: Path, version: _Version) -> tuple[str, ...]:
    if version.binary:
        lines = _bytes(path).decode("utf-8", "replace").splitlines()
        names = tuple(line.strip() for line in lines if line.strip())
    else:
        found = _entry(_batch(path), version.names)
        if not isinstance(found, list) or not all(isinstance(name, bytes | str) for name in found):
            raise DataError(f"{path}: found no list of names under {version.names}, expected one of {version.classes}")
        names = tuple(name if isinstance(name, str) else name.decode("utf-8", "replace") for name in found)
    if len(names) != version.classes:
        raise DataError(f"{path}: found {len(names)} names of classes, expected {version.classes}")
    return names


def _part(paths: Sequence[Path], version: _Version) -> Part:
    """The images and labels of several files."""
    read_records = _records if version.binary else _arrays
    found = [read_records(path, version) for path in paths]
    for path, (_, labels) in zip(paths, found, strict=True):
        outside = (labels < 0) | (labels >= version.classes)
        if outside.any():
            raise DataError(
                f"{path}: label out of range: label {outside.argmax()} is {labels[outside.argmax()]}, "
                f"expected 0 to {version.classes - 1} ({version.classes} classes)"
            )
    images = np.concatenate([pixels for pixels, _ in found]).reshape(-1, *SHAPE)
    return Part(np.ascontiguousarray(images), np.concatenate([labels for _, labels in found]).astype(np.uint8))


def _records(path: Path, version: _Version) -> tuple[NDArray[np.uint8], NDArray[np.integer]]:
    """The images (n, 3072) and labels (n,) of a binary file."""
    assert version.binary
    at, head = version.binary
    raw, length = _bytes(path), head + _PIXELS
    if not raw or len(raw) % length:
        raise DataError(
            f"{path}: found {len(raw):,} bytes, expected a multiple of {length:,}, the length of an image and its label"
        )
    records = np.frombuffer(raw, np.uint8).reshape(-1, length)
    return records[:, head:], records[:, at]


def _arrays(path: Path, version: _Version) -> tuple[NDArray[np.uint8], NDArray[np.integer]]:
    """The images (n, 3072) and labels (n,) of a Python batch."""
    batch = _batch(path)
    pixels, labels = _entry(batch, "data"), _entry(batch, version.labels)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != _PIXELS:
        found = f"{pixels.dtype} ({' x '.join(map(str, pixels.shape))})" if isinstance(pixels, np.ndarray) else "no array"
        raise DataError(f"{path}: found {found} under data, expected uint8 (images x {_PIXELS})")
    numbers = labels.tolist() if isinstance(labels, np.ndarray) else labels
    if not isinstance(numbers, list) or not all(isinstance(label, int) and abs(label) < 1 << 62 for label in numbers):
        raise DataError(f"{path}: found no list of whole numbers under {version.labels}, expected a label for each image")
    if len(numbers) != len(pixels) or not numbers:
        raise DataError(f"{path}: found {len(numbers)} labels, expected {len(pixels)}, one for each image, and at least one")
    return pixels, np.array(numbers, np.int64)


def _batch(path: Path) -> dict[object, object]:
    try:
        found = unpickled(_bytes(path))
    except Refused as error:
        raise DataError(f"{path}: {error}") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: found a pickled {type(found).__name__}, expected a dict, as CIFAR's batches are")
    return found


def _entry(batch: dict[object, object], key: str) -> object:
    return batch.get(key.encode(), batch.get(key))  # bytes where Python 2 wrote it


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
