"""Reads data sets that are kept as NumPy arrays: Keras' and MedMNIST's archives, KMNIST's, one's own."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from stepladder.data.arrays import PARTS, Named, channels_first, found
from stepladder.data.files import files
from stepladder.data.found import DataError, Found
from stepladder.data.npy import Reader, arrays

_ROLES = {
    **dict.fromkeys(("x", "images", "image", "imgs", "img", "data"), "images"),
    **dict.fromkeys(("y", "labels", "label", "target", "targets"), "labels"),
}
_GLUED = re.compile(rf"([xy])({'|'.join(PARTS)})|({'|'.join(PARTS)})([xy])")
_ONLY_ARRAY = "arr_0"
"""What numpy.savez calls an array without a name."""
EXPECTED = "x_train and y_train, train_images and train_labels, or images and labels"


class _Entry(NamedTuple):
    """An array that is not read yet: where it is in full, its name, what the name says, and its reader."""

    where: str
    name: str
    part: str
    role: str
    read: Reader


def read(path: Path) -> Found | None:
    """The images and labels of an .npz file, or of the .npz and .npy files of a folder; None where there are none of either, or
    no images among those of a folder.

    The names of the arrays say what they are: x_train, y_train; train_images, train_labels; images, labels; data, target. An
    array that is alone in its file is called as the file is, and its fellows lie beside it. Labels may be numbers, one-hot rows or
    words. Raises DataError for arrays that are missing, damaged or do not fit one another, and for arrays of Python objects.
    """
    there = [file for file in files(path) if file.suffix.lower() in (".npz", ".npy")]
    if not there:
        return None
    if there == [path] and _is_one_array(path):
        there = [file for file in files(path.parent) if file.suffix.lower() == path.suffix.lower() and _set(file) == _set(path)]
    named = [(where, name, reader) for file in there for where, name, reader in _named(file, len(there) > 1)]
    entries, others = [], []
    for where, name, reader in named:
        if meaning := _meaning(name):
            entries.append(_Entry(where, name, *meaning, reader))
        else:
            others.append(name)
    if not any(entry.role == "images" for entry in entries):
        if path not in there:
            return None  # a folder of something else, beside which arrays lie
        listed = ", ".join(name for _, name, _ in named[:8]) or "no arrays"
        raise DataError(f"{path}: found {listed}, expected {EXPECTED}")
    remarks = [f"{path}: {', '.join(others)} passed over"] if others else []
    parts = {}
    for part in ("training", "test", "validation"):
        images, labels = (_one(path, entries, part, role) for role in ("images", "labels"))
        if part == "test" and images and not labels:
            remarks.append(f"{images.where}: passed over, there are no labels for it")
        elif images or labels or part == "training":
            parts[part] = _part(path, part, images, labels, remarks)
    return found(_kind(entries), parts, remarks)


def _is_one_array(file: Path) -> bool:
    return bool(_meaning(file.stem)) and (file.suffix.lower() == ".npy" or list(arrays(file)) == [_ONLY_ARRAY])


def _set(file: Path) -> list[str]:
    """A file's name without the words that say which part and which role it has."""
    return [word for word in _words(file.stem) if word not in PARTS and word not in _ROLES]


def _named(file: Path, several: bool) -> Iterable[tuple[str, str, Reader]]:
    """The arrays of one file, by the names that they have among those of `several` files."""
    inside = arrays(file)
    for key, reader in inside.items():
        if file.suffix.lower() == ".npy" or list(inside) == [_ONLY_ARRAY]:
            yield str(file), file.stem, reader
        else:
            yield f"{file}: {key}", f"{file.stem}_{key}" if several else key, reader


def _meaning(name: str) -> tuple[str, str] | None:
    """The part and the role that an array's name tells; no word of a part is training's."""
    words = _words(name)
    roles = {_ROLES[word] for word in words if word in _ROLES}
    parts = {PARTS[word] for word in words if word in PARTS}
    if len(roles) != 1 or len(parts) > 1 or "names" in words or "name" in words:
        return None
    return parts.pop() if parts else "training", roles.pop()


def _words(name: str) -> list[str]:
    words = list[str]()
    for word in re.split(r"[^a-z0-9]+", name.lower()):
        glued = _GLUED.fullmatch(word)  # xtrain, trainx
        words += [piece for piece in glued.groups() if piece] if glued else [word]
    return words


def _one(path: Path, entries: Iterable[_Entry], part: str, role: str) -> _Entry | None:
    fitting = [entry for entry in entries if (entry.part, entry.role) == (part, role)]
    if len(fitting) > 1:
        listed = ", ".join(entry.name for entry in fitting)
        raise DataError(f"{path}: found {len(fitting)} arrays of {part} {role} ({listed}), expected one: give the path of one set")
    return fitting[0] if fitting else None


def _part(path: Path, part: str, images: _Entry | None, labels: _Entry | None, remarks: list[str]) -> tuple[Named, Named]:
    if not images or not labels:
        missing, there = ("images", labels) if not images else ("labels", images)
        beside = f" beside {there.name}" if there else ""
        raise DataError(f"{path}: found no {part} {missing}{beside}, expected {EXPECTED}")
    pixels, remark = channels_first(Named(images.where, images.name, images.read()))
    if remark:
        remarks.append(remark)
    return pixels, Named(labels.where, labels.name, labels.read())


def _kind(entries: Iterable[_Entry]) -> str:
    names = {entry.name for entry in entries}
    if {"x_train", "y_train"} <= names:
        return "Keras archive"
    return "MedMNIST archive" if {"train_images", "train_labels"} <= names else "NumPy arrays"
