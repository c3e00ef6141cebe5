"""Reads SVHN's cropped digits (http://ufldl.stanford.edu/housenumbers): MATLAB files of images of 32 x 32."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from stepladder.data.files import ALWAYS_ALLOWED, MOST_EXPANSION, opened
from stepladder.data.found import LONGEST_SIDE, DataError, Found, Part
from stepladder.data.matlab import COMPRESSED, array

TRAIN, TEST, EXTRA = "train_32x32.mat", "test_32x32.mat", "extra_32x32.mat"

_HEADER = 128
_CHUNK = 1 << 20


def read(path: Path) -> Found | None:
    """What train_32x32.mat and, where it is there, test_32x32.mat hold, by their folder or the first of them; None where neither
    is there. Label 10 is digit 0; extra_32x32.mat is passed over.

    Raises DataError, and nothing else. No more memory is taken than a file can honestly hold.
    """
    try:
        folder = path.parent if path.name == TRAIN and not path.is_dir() else path
        train, test = folder / TRAIN, folder / TEST
        if not train.exists() and not test.exists():
            return None
        remarks = (f"passed over {EXTRA}",) if (folder / EXTRA).exists() else ()
        digits = tuple(map(str, range(10)))
        found = Found("SVHN", _part(train), _part(test) if test.exists() else None, names=digits, remarks=remarks)
    except DataError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if found.test and found.test.images.shape[1:] != found.train.images.shape[1:]:
        sizes = [" x ".join(map(str, part.images.shape[1:])) for part in (found.test, found.train)]
        raise DataError(f"{test}: its images are {sizes[0]}, expected {sizes[1]} as in {train.name}")
    return found


def _part(path: Path) -> Part:
    with opened(path) as file:
        try:
            return _read(path, file)
        except DataError:  # a ValueError itself
            raise
        except (ValueError, zlib.error) as error:
            raise DataError(f"{path}: damaged MATLAB file: {error}") from None


def _read(path: Path, file: BinaryIO) -> Part:
    head = file.read(_HEADER)
    if head.startswith((b"MATLAB 7.3", b"\x89HDF")):
        raise DataError(f"{path}: found a MATLAB file of version 7.3 (HDF5), expected version 5, which `save -v7` writes")
    if head[126:128] not in (b"IM", b"MI"):
        raise DataError(f"{path}: found no MATLAB file of version 5")
    order = "<" if head[126:128] == b"IM" else ">"
    _check_expanded(path, file, order)
    found: dict[str, NDArray[Any] | None] = {}
    for matrix in _matrices(file, order):
        name, numbers = array(matrix, order)
        if name in ("X", "y"):
            found[name] = numbers
    for name, what in (("X", "images of uint8"), ("y", "labels as numbers")):
        if (numbers := found.get(name)) is None or (name == "X" and numbers.dtype != np.uint8):
            there = numbers.dtype if numbers is not None else "something else" if name in found else "none"
            raise DataError(f"{path}: found {there} under {name}, expected {what}")
    pixels, labels = found["X"], found["y"]
    assert pixels is not None
    assert labels is not None
    return _digits(path, pixels, labels)


def _matrices(file: BinaryIO, order: str) -> Iterator[bytes]:
    """The variables of a file whose size was checked, decompressed."""
    file.seek(_HEADER)
    while len(tag := file.read(8)) == 8:
        kind, length = struct.unpack(f"{order}2I", tag)
        body = file.read(length)
        yield zlib.decompress(body) if kind == COMPRESSED else tag + body


def _digits(path: Path, pixels: NDArray[np.uint8], labels: NDArray[Any]) -> Part:
    """Images and labels of X (height, width, channels, n) and y (n, 1)."""
    if pixels.ndim == 3 and labels.size == 1:
        pixels = pixels[..., np.newaxis]  # MATLAB drops a last side of one
    if pixels.ndim != 4 or pixels.shape[2] not in (1, 3) or not pixels.size or max(pixels.shape[:2]) > LONGEST_SIDE:
        shape = " x ".join(map(str, pixels.shape))
        raise DataError(f"{path}: found X of {shape}, expected height x width x 3 channels x images, at least one")
    if labels.size != pixels.shape[3]:
        raise DataError(f"{path}: found {labels.size} labels, expected {pixels.shape[3]}, one for each image")
    numbers = labels.ravel()
    if len(wrong := np.flatnonzero(~np.isin(numbers, range(1, 11)))):
        raise DataError(
            f"{path}: label out of range: label {wrong[0]} is {numbers[wrong[0]]}, expected 1 to 10, of which 10 is digit 0"
        )
    return Part(np.ascontiguousarray(pixels.transpose(3, 2, 0, 1)), (numbers.astype(np.int64) % 10).astype(np.uint8))


def _check_expanded(path: Path, file: BinaryIO, order: str) -> None:
    """Raise DataError where the file is cut, or would be too large once it is decompressed: counted without keeping it."""
    size = file.seek(0, 2)
    most, total, at = max(ALWAYS_ALLOWED, MOST_EXPANSION * size), 0, _HEADER
    while at + 8 <= size:
        file.seek(at)
        kind, length = struct.unpack(f"{order}2I", file.read(8))
        at += 8 + length
        if at > size:
            raise DataError(f"{path}: truncated: a variable is to end at byte {at:,}, found {size:,} bytes")
        total += length + (_inflated(file, length, most) if kind == COMPRESSED else 0)
        if total > most:
            raise DataError(
                f"{path}: expands to more than {most:,} bytes, found {size:,}, expected no more than {MOST_EXPANSION} times as many"
            )


def _inflated(file: BinaryIO, length: int, most: int) -> int:
    """How many bytes so many compressed ones become; no more than `most` and a chunk are counted."""
    stream, total, packed = zlib.decompressobj(), 0, b""
    while not stream.eof and total <= most:
        if not packed:
            packed = file.read(min(length, _CHUNK))
            length -= len(packed)
        if not packed:
            break
        total += len(stream.decompress(packed, _CHUNK))
        packed = stream.unconsumed_tail
    return total
