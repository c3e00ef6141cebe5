"""Reads a folder of IDX files whose names are MNIST's or like them: Fashion-MNIST, KMNIST, QMNIST, EMNIST, one's own."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stepladder.data import emnist
from stepladder.data.arrays import CHANNELS, PARTS, Named, found
from stepladder.data.files import files, reading
from stepladder.data.found import DataError, Found
from stepladder.data.idx import read_idx

_NAME = re.compile(
    r"(?P<set>.+[-_.])?(?P<part>train(?:ing)?|test|t10k|val(?:id(?:ation)?)?)[-_.](?P<role>images|labels)"
    r"(?P<dot>[-_.])idx(?P<kind>\d-[a-z0-9]+)(?:\.gz)?",
    re.IGNORECASE,
)
_QMNIST_COLUMNS = 8


class _File(NamedTuple):
    """A file of a set, and what its name says: "emnist-letters-", "test", "images", then as written "t10k", "-", "3-ubyte"."""

    path: Path
    set: str
    part: str
    role: str
    word: str
    dot: str
    kind: str


def read(path: Path) -> Found | None:
    """The set of IDX files in a folder, or the one of several that a file belongs to; None where no file has such a name.

    Names are (SET-)(train|test|t10k|valid|val)-(images|labels)-idxN-TYPE, with `-` or `.` before idx, plain or .gz; training
    images and labels must be there. Raises DataError for a file that is missing, malformed or does not fit the others.
    """
    with reading(path):
        folder = path if path.is_dir() else path.parent
        one = None if path.is_dir() else _file(path)
    if folder != path and not one:
        return None
    there = [file for entry in files(folder) if (file := _file(entry)) and (not one or file.set == one.set)]
    sets = sorted({file.set for file in there})
    if not sets:
        return None
    if len(sets) > 1:
        listed = ", ".join(name.rstrip("-_.") or "one without a name" for name in sets)
        raise DataError(f"{path}: found several sets ({listed}), expected one, or the path of one set's training images")
    name = emnist.which(sets[0])
    chosen, parts = _chosen(there), {}
    for part in ("training", "test", "validation"):
        if part == "training" or any(key[0] == part for key in chosen):
            files_ = [chosen.get((part, role)) or _missing(there, part, role) for role in ("images", "labels")]
            images, labels = _images(files_[0].path), _labels(files_[1].path)
            parts[part] = (emnist.upright(images), emnist.from_zero(labels, name)) if name else (images, labels)
    if name:
        return found(f"EMNIST {name}, IDX files", parts, [emnist.REMARK], emnist.CLASSES[name])
    return found("IDX files", parts)


def _file(path: Path) -> _File | None:
    if not (match := _NAME.fullmatch(path.name)):
        return None
    part, role = PARTS[match["part"].lower()], match["role"].lower()
    return _File(path, (match["set"] or "").lower(), part, role, match["part"], match["dot"], match["kind"])


def _chosen(there: Sequence[_File]) -> dict[tuple[str, str], _File]:
    """The file of each part and role; of one that is there plain and packed, or with either dot, the first by name."""
    chosen = dict[tuple[str, str], _File]()
    for file in there:
        first = chosen.setdefault((file.part, file.role), file)
        if first.word.lower() != file.word.lower():
            raise DataError(f"{file.path}: found {first.path.name} as well, expected one file of {file.part} {file.role}")
    return chosen


def _missing(there: Sequence[_File], part: str, role: str) -> _File:
    """Raises DataError with the name that the file would have beside those that are there."""
    fellow = next((file for file in there if file.part == part), there[0])
    word = fellow.word if fellow.part == part else "train"  # no other part has to be there
    kind = next((file.kind for file in there if file.role == role), "3-ubyte" if role == "images" else "1-ubyte")
    before = fellow.path.name[: len(fellow.set)]
    name = f"{before}{word}-{role}{fellow.dot}idx{kind}"
    raise DataError(f"{fellow.path.parent / name}: file not found, expected it plain or as {name}.gz")


def _images(path: Path) -> Named:
    array = read_idx(path, *((4, 3) if "idx4" in path.name else (3, 4)))
    if array.ndim == 3:
        array = array[:, None]
    elif array.shape[1] not in CHANNELS:
        raise DataError(f"{path}: found images of {array.shape[1]} channels, expected 1 or 3 (n, channels, height, width)")
    return Named(str(path), path.name, array)


def _labels(path: Path) -> Named:
    array = read_idx(path, *((2, 1) if "idx2" in path.name else (1, 2)))
    if array.ndim == 2 and array.shape[1] == _QMNIST_COLUMNS:  # the class, then who wrote it and where it lies in NIST's files
        array = array[:, 0]
    return Named(str(path), path.name, array)
