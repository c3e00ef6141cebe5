"""Reads CSV files of pixels, an image a line: Kaggle's digit recogniser, Fashion-MNIST, sign-mnist, HAM10000 and their like."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepladder.data import emnist
from stepladder.data.arrays import PARTS, Named, channels_first, found, levels, square
from stepladder.data.files import files, opened, reading
from stepladder.data.found import MOST_CLASSES, DataError, Found

_LABELS = ("label", "labels", "class", "target", "y")
_IDS = ("", "id", "imageid", "image_id", "index", "unnamed: 0", "file", "filename", "path")
"""Columns that are neither pixels nor labels; an index that pandas wrote has no name."""
_FEWEST_PIXELS = 4
_LONGEST_HEADER = 1 << 24
_WHOLE = re.compile(r"[+-]?\d{1,18}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_EXPECTED = "a square number of pixels, or three times as many for colour (28 x 28 are 784 or 2352), beside the label"


class _Layout(NamedTuple):
    """What a file's first line says: the names of the columns, None without header; how many there are; which is the label,
    None without; and which are pixels."""

    names: tuple[str, ...] | None
    columns: int
    label: int | None
    pixels: range | tuple[int, ...]


def read(path: Path) -> Found | None:
    """The images of a CSV file, with those of the test and validation files beside it that are called alike, or those of a
    folder; None where no file has columns of pixels.

    A header names the label column (label, class, target, y, or the only name without a digit); without one it is the first. Test
    files without labels are passed over. Raises DataError for a cell that is no level, a row of another length, and a folder of
    several sets.
    """
    with reading(path):
        is_file = path.is_file()
    if is_file and path.suffix.lower() != ".csv":
        return None
    if is_file and _layout(path) is None:
        raise DataError(f"{path}: found {_columns(path)} columns in its first line, expected {_EXPECTED}")
    there = [file for file in files(path.parent if is_file else path) if file.suffix.lower() == ".csv" and file.is_file()]
    if is_file:
        alike = _part(path) == "training"
        there = [file for file in there if file == path or (alike and _part(file) and _set(file) == _set(path))]
    fitting = {file: layout for file in there if (layout := _layout(file))}
    if not fitting:
        return None
    chosen = {"training": next(iter(fitting))} if len(fitting) == 1 else _chosen(path, list(fitting))
    remarks = [f"{file}: passed over, its name tells no part" for file in fitting if file not in chosen.values()]
    return _found(chosen, fitting, remarks)


def read_unlabelled(path: Path) -> NDArray[np.uint8]:
    """The images (n, channels, height, width) of a CSV file, whose labels, if it has any, are passed over; raises DataError."""
    if (layout := _layout(path)) is None:
        raise DataError(f"{path}: found {_columns(path)} columns in its first line, expected {_EXPECTED}")
    with reading(path):
        images, _, _ = _table(path, layout)
        return levels([images])[0][0]


def _found(chosen: Mapping[str, Path], fitting: Mapping[Path, _Layout], remarks: list[str]) -> Found:
    parts, name = {}, emnist.which(chosen["training"].name)
    for part, file in chosen.items():
        if fitting[file].label is None and part != "training":
            remarks.append(f"{file}: passed over, it has no labels: it is for `stepladder predict`")
            continue
        if fitting[file].label is None:
            raise DataError(
                f"{file}: found no label among its {fitting[file].columns} columns, expected one called {', '.join(_LABELS)}, "
                "or before the pixels: a file without labels is for `stepladder predict`"
            )
        images, labels, told = _table(file, fitting[file])
        assert labels
        parts[part] = (emnist.upright(images), emnist.from_zero(labels, name)) if name else (images, labels)
        remarks += told
    if name:
        return found(f"EMNIST {name}, CSV", parts, [*remarks, emnist.REMARK], emnist.CLASSES[name])
    return found("CSV", parts, remarks)


def _words(path: Path) -> list[str]:
    return re.split(r"[^a-z0-9]+", path.stem.lower())


def _part(path: Path) -> str | None:
    return next((PARTS[word] for word in _words(path) if word in PARTS), None)


def _set(path: Path) -> list[str]:
    """A file's name without the word that says which part it is."""
    return [word for word in _words(path) if word not in PARTS]


def _chosen(path: Path, there: Sequence[Path]) -> dict[str, Path]:
    """The file of each part; raises DataError where there are several, or none to train on."""
    chosen = {}
    for part in ("training", "test", "validation"):
        fitting = [file for file in there if _part(file) == part]
        if len(fitting) > 1:
            listed = ", ".join(file.name for file in fitting)
            raise DataError(f"{path}: found {len(fitting)} {part} files ({listed}), expected one: give the path of one")
        if fitting:
            chosen[part] = fitting[0]
    if "training" not in chosen:
        listed = ", ".join(file.name for file in there)
        raise DataError(f"{path}: found {listed}, expected one with `train` in its name: give the path of one")
    return chosen


def _first_line(path: Path) -> list[str]:
    with opened(path) as file:
        line = file.readline(_LONGEST_HEADER).decode("utf-8-sig", "replace")
    return [cell.strip().strip('"').strip() for cell in line.rstrip("\r\n").split(",")]


def _columns(path: Path) -> int:
    return len(_first_line(path))


def _layout(path: Path) -> _Layout | None:
    """What the first line says; None where it is not that of a file of pixels."""
    cells = _first_line(path)
    names = tuple(cell.lower() for cell in cells)
    index = int(names[0] == "")
    numbered = len(names) > 1 and names[index:] == tuple(map(str, range(len(names) - index)))
    lettered = sum(any(character.isalpha() for character in name) for name in names)
    if numbered or 2 * lettered > len(names) or any(name in _LABELS for name in names):
        others = [place for place, name in enumerate(names) if name not in _IDS]
        labels = [place for place in others if names[place] in _LABELS]
        if not labels and not square(len(others)):  # under another name, which unlike those of pixels has no number
            labels = [place for place in others if not any(map(str.isdecimal, names[place]))]
        pixels = [place for place in others if place not in labels]
        if numbered and _without_header(len(others)) == 1:  # pandas numbers the columns of what has no names
            labels, pixels = pixels[:1], pixels[1:]
        if len(labels) > 1 or len(pixels) < _FEWEST_PIXELS or not square(len(pixels)):
            return None
        return _Layout(names, len(names), labels[0] if labels else None, tuple(pixels))
    if (first := _without_header(len(cells))) is None:
        return None
    return _Layout(None, len(cells), 0 if first else None, range(first, len(cells)))


def _without_header(columns: int) -> int | None:
    """The place of the first pixel among nameless columns: 1 after a label, 0 without; None where they are no image. Grey images
    come first: 49 columns are 7 x 7, not a label and 4 x 4 in colour."""
    fitting = [(sides[1], -first, first) for first in (1, 0) if (sides := square(columns - first)) and columns > _FEWEST_PIXELS]
    return min(fitting)[2] if fitting else None


def _table(path: Path, layout: _Layout) -> tuple[Named, Named | None, list[str]]:
    """The images of a file, its labels, and what is to be said of them."""
    texts, lines = list[str](), list[int]()
    for number, line in _rows(path, layout):
        lines.append(number)
        if layout.label is not None:
            texts.append(line.split(b",", layout.label + 1)[layout.label].decode(errors="replace").strip().strip('"').strip())
    if not lines:
        raise DataError(f"{path}: found no rows of pixels, expected at least one")
    images, remark = channels_first(Named(str(path), path.name, _pixels(path, layout, lines)))
    labels = None if layout.label is None else Named(str(path), path.name, _labels(path, texts, lines))
    return images, labels, [remark] if remark else []


def _rows(path: Path, layout: _Layout) -> Iterator[tuple[int, bytes]]:
    """The rows below the header, with the numbers of their lines; raises DataError for one of another length."""
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            if (number == 1 and layout.names) or not line.strip(b"\r\n"):
                continue
            line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if (columns := line.count(b",") + 1) != layout.columns:
                raise DataError(f"{path}: line {number}: found {columns} columns, expected {layout.columns} as in its first line")
            yield number, line


def _labels(path: Path, texts: Sequence[str], lines: Sequence[int]) -> NDArray[Any]:
    """The labels as whole numbers, or as words where the first is one."""
    numbers = [int(text) if text.isdecimal() and len(text) < 9 else _whole(text) for text in texts]
    words = numbers[0] is None
    for line, text, number in zip(lines, texts, numbers, strict=True):
        if not text or not (words or (number is not None and 0 <= number < MOST_CLASSES)):
            raise DataError(f"{path}: line {line}: found {text!r} as label, expected a class from 0 to {MOST_CLASSES - 1}")
    return np.array(texts if words else numbers)


def _whole(text: str) -> int | None:
    """The number of "5.0"; -1 for a fraction, and None for what is no number."""
    if not _NUMBER.fullmatch(text):
        return None
    return int(value) if (value := float(text)).is_integer() else -1


def _pixels(path: Path, layout: _Layout, lines: Sequence[int]) -> NDArray[Any]:
    """The pixels (n, values): whole numbers, or floating point where a cell has a point."""
    for dtype in (np.uint8, np.float32):
        try:
            with reading(path), warnings.catch_warnings():
                warnings.simplefilter("error", DeprecationWarning)  # a fraction that would be cut to a whole number
                rows = (line.decode("latin-1") for _, line in _rows(path, layout))
                values: NDArray[Any] = np.loadtxt(
                    rows, dtype, comments=None, delimiter=",", usecols=layout.pixels, ndmin=2, quotechar='"', max_rows=len(lines)
                )
        except DataError:
            raise
        except (ValueError, DeprecationWarning):
            _check_cells(path, layout, fractions=dtype is np.float32)
        else:
            if not np.isfinite(values).all():
                _check_cells(path, layout, fractions=True)
            if values.shape == (len(lines), len(layout.pixels)):
                return values
    raise DataError(f"{path}: found cells that cannot be told apart, expected whole numbers from 0 to 255 between commas")


def _check_cells(path: Path, layout: _Layout, fractions: bool) -> None:
    """Raise DataError for the first pixel that is no level; return at the first fraction unless these have their place."""
    for number, line in _rows(path, layout):
        cells = line.decode("latin-1").split(",")
        for place in layout.pixels:
            cell = cells[place].strip().strip('"').strip()
            if _WHOLE.fullmatch(cell) and (fractions or 0 <= int(cell) <= 255):
                continue
            if _NUMBER.fullmatch(cell) and not _WHOLE.fullmatch(cell):
                if not fractions:
                    return
                continue
            column = repr(layout.names[place]) if layout.names else place + 1
            what = repr(cell[:40]) if cell else "nothing"
            raise DataError(f"{path}: line {number}: found {what} in column {column}, expected a whole number from 0 to 255")
