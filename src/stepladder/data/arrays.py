"""Arrays of any type and layout as the parts of a source: levels 0 to 255, channels first, classes from 0."""

from collections.abc import Iterator, Mapping, Sequence
from math import isqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepladder.data.found import LONGEST_SIDE, MOST_CLASSES, DataError, Found, Part

CHANNELS = (1, 3)
_AT_ONCE = 1 << 20

PARTS = {
    **dict.fromkeys(("train", "training"), "training"),
    **dict.fromkeys(("test", "testing", "t10k"), "test"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
}
"""The words in the names of files and arrays that say which part they are."""


class Named(NamedTuple):
    """An array, where it was found in full ("data/mnist.npz: x_train"), and what its fellows call it ("x_train")."""

    where: str
    short: str
    values: NDArray[Any]


def found(
    kind: str, parts: Mapping[str, tuple[Named, Named]], remarks: Sequence[str] = (), names: Sequence[str] | None = None
) -> Found:
    """What a source holds whose images (n, channels, height, width) and labels are these, by part ("training", "test",
    "validation").

    Raises DataError where there are no images, images and labels differ in number, or parts in size, and as `levels` and
    `classes` do.
    """
    for part, (images, labels) in parts.items():
        _check_counts(part, images, labels)
    _check_sizes([images for images, _ in parts.values()])
    pixels, scaled = levels([images for images, _ in parts.values()])
    numbers, words = classes([labels for _, labels in parts.values()])
    made = {part: Part(*both) for part, both in zip(parts, zip(pixels, numbers, strict=True), strict=True)}
    named = tuple(names) if names else words
    return Found(kind, made["training"], made.get("test"), made.get("validation"), named, (*remarks, *scaled))


def square(pixels: int) -> tuple[int, int] | None:
    """The side and the channels of a square image with so many values; None where no grey or colour one has them."""
    for channels in CHANNELS:
        side = isqrt(pixels // channels)
        if side and channels * side**2 == pixels:
            return side, channels
    return None


def channels_first(images: Named) -> tuple[Named, str | None]:
    """Images (n, channels, height, width) from (n, height, width), (n, height, width, channels), (n, channels, height, width) or
    squares row by row (n, values), and a remark where another reading was possible. Raises DataError for other shapes."""
    values, remark = images.values, None
    if values.ndim == 2 and (sides := square(values.shape[1])):
        side, channels = sides
        values = values.reshape(-1, side, side, channels).transpose(0, 3, 1, 2)
        if channels > 1:
            remark = f"{images.where}: its {side * side * channels} columns were taken as red, green and blue of each pixel in turn"
    elif values.ndim == 3:
        values = values[:, None]
    elif values.ndim == 4 and values.shape[3] in CHANNELS:
        if values.shape[1] in CHANNELS:
            remark = f"{images.where}: the last axis of {_sides(values.shape)} was taken as channels, not the second"
        values = values.transpose(0, 3, 1, 2)
    elif values.ndim != 4 or values.shape[1] not in CHANNELS:
        raise DataError(
            f"{images.where}: found an array of {_sides(values.shape) or 'one number'}, expected images (n, height, width), "
            "(n, height, width, channels) or (n, channels, height, width) with 1 or 3 channels"
        )
    return Named(images.where, images.short, values), remark


def levels(arrays: Sequence[Named]) -> tuple[list[NDArray[np.uint8]], list[str]]:
    """The arrays as levels 0 to 255, C-contiguous, and a remark for each that was scaled.

    Whole numbers 0 to 255 stay; fractions 0 to 1 (in all of the arrays of floating point, or in none) are multiplied by 255 and
    rounded, True is 255. Raises DataError, which names the type and the range, for everything else.
    """
    ranges = [_range(array) for array in arrays]
    floating = [bounds for array, bounds in zip(arrays, ranges, strict=True) if array.values.dtype.kind == "f"]
    fractions = bool(floating) and max(high for _, high in floating) <= 1
    made, remarks = [], []
    for array, (low, high) in zip(arrays, ranges, strict=True):
        kind = array.values.dtype.kind
        scaled = kind == "b" or (kind == "f" and fractions)
        whole = kind != "f" or scaled or _all_whole(array.values)
        if not (low >= 0 and high <= (1 if scaled else 255) and whole):
            fault = "" if whole or not (low >= 0 and high <= 255) else ", not all of them whole"
            expected = "whole numbers from 0 to 255" + (" or fractions from 0 to 1" if kind == "f" else "")
            span = f"{array.values.dtype.name} values from {low:.10g} to {high:.10g}"
            raise DataError(f"{array.where}: found {span}{fault}, expected {expected}")
        made.append(_as_levels(array.values, scaled))
        if scaled:
            what = "True became 255" if kind == "b" else "fractions from 0 to 1 were multiplied by 255 and rounded"
            remarks.append(f"{array.where}: {what}")
    return made, remarks


def classes(arrays: Sequence[Named]) -> tuple[list[NDArray[np.uint8]], tuple[str, ...] | None]:
    """The class of each image, of labels (n,) or (n, 1) that are whole numbers or words, or one-hot rows; and the names of the
    classes, in order, where labels are words. Raises DataError for what is no class, and for more than 256 of them."""
    columns = [Named(array.where, array.short, _column(array)) for array in arrays]
    if any(column.values.dtype.kind in "US" for column in columns):
        return _named_classes(columns)
    return [_class_numbers(column) for column in columns], None


def _check_counts(part: str, images: Named, labels: Named) -> None:
    counts = [len(array.values) if array.values.ndim else 1 for array in (images, labels)]
    if counts[0] != counts[1]:
        raise DataError(
            f"{labels.where}: found {counts[1]} labels, expected {counts[0]}, one for each {part} image in {images.short}"
        )
    if not counts[0]:
        raise DataError(f"{images.where}: found no {part} images, expected at least one")


def _check_sizes(parts: Sequence[Named]) -> None:
    first = parts[0]
    if not all(1 <= side <= LONGEST_SIDE for side in first.values.shape[2:]):
        raise DataError(f"{first.where}: its images are {_sides(first.values.shape[2:])}, expected sides of 1 to {LONGEST_SIDE}")
    for part in parts[1:]:
        if part.values.shape[1:] != first.values.shape[1:]:
            grey = part.values.shape[1] == first.values.shape[1]
            found, expected = (_sides(array.values.shape[2 if grey else 1 :]) for array in (part, first))
            raise DataError(f"{part.where}: its images are {found}, expected {expected} as in {first.short}")


def _sides(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _pieces(values: NDArray[Any]) -> Iterator[slice]:
    """Slices along the first axis, of about a million numbers each."""
    step = max(1, _AT_ONCE // max(1, values[0].size))
    return (slice(start, start + step) for start in range(0, len(values), step))


def _range(array: Named) -> tuple[float, float]:
    values = array.values
    if values.dtype.kind not in "biuf":
        raise DataError(f"{array.where}: found values of type {values.dtype}, expected numbers from 0 to 255")
    return values.min().item(), values.max().item()


def _all_whole(values: NDArray[Any]) -> bool:
    return all(bool((values[piece] == np.rint(values[piece])).all()) for piece in _pieces(values))


def _as_levels(values: NDArray[Any], scaled: bool) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    made = np.empty(values.shape, np.uint8)
    for piece in _pieces(values):
        made[piece] = np.rint(values[piece].astype(np.float64) * 255) if scaled else values[piece]
    return made


def _column(labels: Named) -> NDArray[Any]:
    values = labels.values
    if values.ndim == 1 and values.dtype.kind in "biufUS":
        return values
    if values.ndim != 2 or values.dtype.kind not in "biufUS" or not values.shape[1]:
        shape = _sides(values.shape) or "one"
        raise DataError(f"{labels.where}: found {shape} labels of type {values.dtype}, expected a class for each image")
    if values.shape[1] == 1:
        return values[:, 0]
    if values.dtype.kind in "US" or not ((values == 0) | (values == 1)).all():
        raise DataError(f"{labels.where}: found {values.shape[1]} columns, expected one class for each image, or one-hot rows")
    ones = np.count_nonzero(values, axis=1)
    if (ones != 1).any():
        at = int((ones != 1).argmax())
        raise DataError(
            f"{labels.where}: label {at} has {ones[at]} ones in its {values.shape[1]} columns, expected exactly one: "
            "of several labels for an image, none is its class"
        )
    numbers: NDArray[np.intp] = values.argmax(axis=1)
    return numbers


def _class_numbers(labels: Named) -> NDArray[np.uint8]:
    values = labels.values
    wrong = values != np.rint(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    if values.dtype.kind != "b":
        wrong |= ~((values >= 0) & (values < MOST_CLASSES))  # not a number is neither
    if wrong.any():
        at = int(wrong.argmax())
        raise DataError(
            f"{labels.where}: label {at} is {values[at]}, expected a whole number from 0 to {MOST_CLASSES - 1}: "
            f"at most {MOST_CLASSES} classes are possible"
        )
    return values.astype(np.uint8)


def _named_classes(columns: Sequence[Named]) -> tuple[list[NDArray[np.uint8]], tuple[str, ...]]:
    words = [_words(column) for column in columns]
    present = np.unique(words[0]).tolist()
    names = sorted(present, key=int) if all(name.isdecimal() for name in present) else present
    if len(names) > MOST_CLASSES:
        raise DataError(f"{columns[0].where}: found {len(names)} classes, at most {MOST_CLASSES} are possible")
    numbers = {name: number for number, name in enumerate(names)}
    made = []
    for column, found in zip(columns, words, strict=True):
        if unknown := set(found) - numbers.keys():
            raise DataError(f"{column.where}: found class {min(unknown)!r}, expected one that {columns[0].short} has")
        made.append(np.array([numbers[word] for word in found], np.uint8))
    return made, tuple(names)


def _words(column: Named) -> list[str]:
    if column.values.dtype.kind == "S":
        return [word.decode(errors="replace") for word in column.values.tolist()]
    return [str(word) for word in column.values.tolist()]
