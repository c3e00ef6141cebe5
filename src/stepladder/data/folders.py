"""Reads folders of pictures: a folder for each class, within one for each part or alone."""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple
from unicodedata import category

import numpy as np
from numpy.typing import NDArray

from stepladder.data import pictures
from stepladder.data.found import MOST_CLASSES, DataError, Found, Part

PARTS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}
"""What the names of folders, in lower case, say of the part in them; or a word of their names ("seg_train", "test set")."""

_PASSED_OVER = ("__macosx", "thumbs.db", "desktop.ini", "_ds_store")
_SHOWN = 3


class _Folder(NamedTuple):
    """A folder of class folders: the pictures of each class by its name, and the files beside the class folders."""

    path: Path
    classes: dict[str, list[Path]]
    loose: list[Path]


def read(path: Path, size: tuple[int, int] | None = None, channels: int | None = None) -> Found | None:
    """What folders of pictures hold: `train/CLASS/*`, `test/CLASS/*` and `valid/CLASS/*` (`PARTS` has the names, in any case), or
    `CLASS/*` of at least two classes, all of which is for training; None where no class folder has a picture.

    The classes are those of training, in the order of their names: by their numbers where all names are whole numbers, else
    character by character. Pictures within folders within a class folder are the class's too. Hidden files and folders are
    passed over. One size for all, or `size` (height, width); grey unless a picture has colour or three channels are asked for.

    Raises DataError, and nothing else.
    """
    hidden = list[Path]()
    try:
        found = _parts(path, hidden)
    except DataError:  # a ValueError itself
        raise
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    return None if found is None else _read(path, found, sorted(set(hidden)), size, channels)


def _parts(path: Path, hidden: list[Path]) -> dict[str, _Folder] | None:
    """The folders of the parts by their names; None where this is another format."""
    if not path.is_dir():
        return None
    inside, files = _entries(path, hidden)
    named = _named_parts(path, [(PARTS.get(folder.name.lower()), folder) for folder in inside])
    if not named:
        worded = [(_worded_part(folder, hidden), folder) for folder in inside]
        if any(part == "train" for part, _ in worded):
            named = _named_parts(path, worded)
    found = {part: _folder(folder, hidden) for part, folder in named.items()}
    if not any(map(_has_pictures, found.values())):
        # No parts, then; a folder of trains may be a class beside others, but one of test pictures is none.
        alone = _Folder(path, _classes(inside, hidden), files)
        return {"train": alone} if not named.keys() - {"train"} and len(inside) > 1 and _has_pictures(alone) else None
    if "train" not in found:
        raise DataError(f"{path}: found a folder {next(iter(named.values())).name} and none for training, expected one named train")
    return found


def _named_parts(path: Path, folders: Sequence[tuple[str | None, Path]]) -> dict[str, Path]:
    named = dict[str, Path]()
    for part, folder in folders:
        if part in named:
            raise DataError(f"{path}: found {named[part].name} and {folder.name}, expected one folder for {part}")
        if part:
            named[part] = folder
    return named


def _worded_part(folder: Path, hidden: list[Path]) -> str | None:
    """The part that a word of a folder's name tells; none of a class, whose pictures lie in it."""
    parts = {PARTS[word] for word in re.split(r"[^a-z0-9]+", folder.name.lower()) if word in PARTS}
    inner, loose = _entries(folder, hidden) if len(parts) == 1 else ([], [])
    return parts.pop() if inner and not any(file.suffix.lower() in pictures.suffixes() for file in loose) else None


def _folder(folder: Path, hidden: list[Path]) -> _Folder:
    """The class folders of a part; those of the only folder within it where that is called alike, as archives are unpacked."""
    inner, loose = _entries(folder, hidden)
    if len(inner) == 1 and inner[0].name.lower() == folder.name.lower():
        folder, beside = inner[0], loose
        inner, loose = _entries(folder, hidden)
        loose += beside
    return _Folder(folder, _classes(inner, hidden), loose)


def _classes(folders: Sequence[Path], hidden: list[Path]) -> dict[str, list[Path]]:
    return {folder.name: list(_files(folder, hidden)) for folder in folders}


def _has_pictures(folder: _Folder) -> bool:
    return any(file.suffix.lower() in pictures.suffixes() for files in folder.classes.values() for file in files)


def _files(folder: Path, hidden: list[Path], above: tuple[tuple[int, int], ...] = ()) -> Iterator[Path]:
    """The files in a folder and in those within it, in natural order."""
    at = folder.stat()
    if (at.st_dev, at.st_ino) in above:
        raise DataError(f"{folder}: is a link back to a folder that it lies in, expected pictures or folders of them")
    inside, files = _entries(folder, hidden)
    yield from files
    for inner in inside:
        yield from _files(inner, hidden, (*above, (at.st_dev, at.st_ino)))


def _entries(folder: Path, hidden: list[Path]) -> tuple[list[Path], list[Path]]:
    """The folders and the files in a folder, in natural order; what is hidden goes to `hidden`."""
    folders, files, path = list[Path](), list[Path](), folder
    try:
        for name in os.listdir(folder):
            path = folder / name
            if name.startswith(".") or name.lower() in _PASSED_OVER:
                hidden.append(path)
            else:
                (folders if stat.S_ISDIR(path.stat().st_mode) else files).append(path)
    except OSError as error:
        raise _unreadable(path, error) from None
    return sorted(folders, key=_natural), sorted(files, key=_natural)


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Sorts 2.png before 10.png, the same everywhere."""
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in re.split(r"([0-9]+)", path.name)], path.name


def _unreadable(path: Path, error: OSError | ValueError) -> DataError:
    return DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}")


def _read(
    path: Path, found: dict[str, _Folder], hidden: Sequence[Path], size: tuple[int, int] | None, channels: int | None
) -> Found:
    names = _names(found["train"])
    remarks = [f"passed over what is hidden: {_some(path, hidden)}"] if hidden else []
    taken = [folder.path for folder in found.values()]
    if beside := [one for one in _entries(path, [])[0] if not any(part.is_relative_to(one) or part == path for part in taken)]:
        remarks.append(f"passed over folders beside {found['train'].path.name}: {_some(path, beside)}")
    files, labels, counts = list[Path](), list[int](), dict[str, int]()
    for part in ("train", "test", "validation"):
        folder = found.get(part)
        if folder is None:
            continue
        if folder.loose:
            remarks.append(f"passed over files that lie in no class folder: {_some(path, folder.loose)}")
        if part != "train" and not folder.classes:
            remarks.append(f"{folder.path.name} has no class folders, so that its pictures, if any, have no labels")
            continue
        _check_classes(folder, names)
        if missing := [name for name in names if name not in folder.classes]:
            remarks.append(f"{folder.path.name} has no pictures of {', '.join(missing)}")
        for label, name in enumerate(names):
            files += folder.classes.get(name, [])
            labels += [label] * len(folder.classes.get(name, []))
        counts[part] = len(files) - sum(counts.values())
    images = pictures.decoded(((str(file), file) for file in files), len(files), size, channels)
    ends = np.cumsum(list(counts.values()))[:-1]
    arrays = zip(np.split(images, ends), np.split(np.array(labels, np.uint8), ends), strict=True)
    parts = {part: Part(*both) for part, both in zip(counts, arrays, strict=True)}
    return Found("folders of pictures", parts["train"], parts.get("test"), parts.get("validation"), names, tuple(remarks))


def _names(train: _Folder) -> tuple[str, ...]:
    """The classes in the order of their labels."""
    if not train.classes:
        raise DataError(f"{train.path}: found no folders in it, expected one for each class")
    if len(train.classes) > MOST_CLASSES:
        raise DataError(f"{train.path}: found {len(train.classes)} class folders, expected {MOST_CLASSES} at most")
    numbered = all(name.isascii() and name.isdecimal() for name in train.classes)
    return tuple(sorted(train.classes, key=(lambda name: (int(name), name)) if numbered else None))


def _check_classes(folder: _Folder, names: Sequence[str]) -> None:
    for name, files in folder.classes.items():
        if name not in names:
            raise DataError(f"{folder.path / name}: found a class that training has not, expected one of {', '.join(names)}")
        if not files:
            raise DataError(f"{folder.path / name}: found an empty class folder, expected pictures")
        if any(category(letter) in ("Cc", "Cs") for letter in name):  # control characters, and bytes that are no text
            raise DataError(f"{str(folder.path / name)!r}: its name cannot be shown, expected the name of a class")


def _some(path: Path, found: Sequence[Path]) -> str:
    shown = ", ".join(sorted(str(one.relative_to(path)) for one in found)[:_SHOWN])
    return shown if len(found) <= _SHOWN else f"{shown} and {len(found) - _SHOWN:,} more"


def read_unlabelled(
    paths: Path | Sequence[Path], size: tuple[int, int] | None = None, channels: int | None = None
) -> tuple[list[str], NDArray[np.uint8]]:
    """The names and images (n, channels, height, width) of pictures: of files, and of all that are in folders and in those within
    them, in natural order and without what is hidden. A name is a file's path as given, or within the folder given.

    Raises DataError, and nothing else.
    """
    given = [paths] if isinstance(paths, Path) else list(paths)
    try:
        found = list(chain.from_iterable(_named(path) for path in given))
    except DataError:  # a ValueError itself
        raise
    except (OSError, ValueError) as error:
        raise _unreadable(given[0], error) from None
    if not found:
        raise DataError(f"{', '.join(map(str, given))}: found no pictures, expected at least one")
    images = pictures.decoded(((str(file), file) for _, file in found), len(found), size, channels)
    return [name for name, _ in found], images


def _named(path: Path) -> list[tuple[str, Path]]:
    if not stat.S_ISDIR(path.stat().st_mode):
        return [(str(path), path)]
    return [(str(file.relative_to(path)), file) for file in _files(path, [])]
