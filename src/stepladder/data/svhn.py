"""Reads SVHN's cropped digits (http://ufldl.stanford.edu/housenumbers): MATLAB files of images of 32 x 32."""

import stat
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from stepladder.data.files import ALWAYS_ALLOWED, MOST_EXPANSION
from stepladder.data.found import DataError, Found, Part

TRAIN, TEST, EXTRA = "train_32x32.mat", "test_32x32.mat", "extra_32x32.mat"

_HEADER = 128
_COMPRESSED = 15
_CHUNK = 1 << 20
_NUMBERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "single", "double")


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
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise DataError(f"{path}: cannot be read: not a regular file")
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of variables that are not looked at
            return _read(path, file)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: file not found") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise DataError(f"{path}: cannot be read: not enough memory for what it claims") from None
    except Exception as error:  # scipy's reader raises what it stumbles on: TypeError, KeyError, zlib.error, ...
        raise DataError(f"{path}: damaged MATLAB file: {error or type(error).__name__}") from None


def _read(path: Path, file: BinaryIO) -> Part:
    from scipy.io import loadmat, whosmat  # here, since it takes a while and every worker imports the readers

    head = file.read(_HEADER)
    if head.startswith((b"MATLAB 7.3", b"\x89HDF")):
        raise DataError(f"{path}: found a MATLAB file of version 7.3 (HDF5), expected version 5, which `save -v7` writes")
    if head[126:128] not in (b"IM", b"MI"):
        raise DataError(f"{path}: found no MATLAB file of version 5")
    held = _expanded(path, file, "<" if head[126:128] == b"IM" else ">")
    for name, kinds, what in (("X", ("uint8",), "images of uint8"), ("y", _NUMBERS, "labels as numbers")):
        shapes = [(shape, kind) for found, shape, kind in whosmat(str(path)) if found == name]
        if len(shapes) != 1 or shapes[0][1] not in kinds:
            found = ", ".join(kind for _, kind in shapes) or "none"
            raise DataError(f"{path}: found {found} under {name}, expected {what}")
        if (claimed := int(np.prod(shapes[0][0], dtype=object))) > held:
            raise DataError(f"{path}: claims {claimed:,} numbers under {name}, found {held:,} bytes in all")
    variables = loadmat(str(path), variable_names=["X", "y"])
    return _digits(path, variables["X"], variables["y"])


def _digits(path: Path, pixels: NDArray[np.uint8], labels: NDArray[Any]) -> Part:
    """Images and labels of X (height, width, channels, n) and y (n, 1)."""
    if pixels.ndim == 3 and labels.size == 1:
        pixels = pixels[..., np.newaxis]  # MATLAB drops a last side of one
    if pixels.ndim != 4 or pixels.shape[2] not in (1, 3) or not pixels.size or max(pixels.shape[:2]) > 65_535:
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


def _expanded(path: Path, file: BinaryIO, order: str) -> int:
    """How many bytes the file has once it is decompressed, which is counted without keeping them."""
    size = file.seek(0, 2)
    most, total, at = max(ALWAYS_ALLOWED, MOST_EXPANSION * size), 0, _HEADER
    while at + 8 <= size:
        file.seek(at)
        kind, length = struct.unpack(f"{order}2I", file.read(8))
        at += 8 + length
        if at > size:
            raise DataError(f"{path}: truncated: a variable is to end at byte {at:,}, found {size:,} bytes")
        total += length + (_inflated(file, length, most) if kind == _COMPRESSED else 0)
        if total > most:
            raise DataError(
                f"{path}: expands to more than {most:,} bytes, found {size:,}, expected no more than {MOST_EXPANSION} times as many"
            )
    return total


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
