"""Reads IDX files, the format of MNIST (http://yann.lecun.com/exdb/mnist), plain or gzipped."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stepladder.spec import UserError


class DataError(UserError):
    """A data file that cannot be used: the message names the file, what was found and what was expected."""


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array of unsigned bytes in an IDX file with this many dimensions.

    Raises DataError for a missing file, a wrong magic number, and a length that is not what the header says.
    """
    raw = _bytes(path)
    header = 4 + 4 * dimensions
    expected = 0x0800 + dimensions  # two zero bytes, 8 for unsigned bytes, the number of dimensions
    if len(raw) >= 4 and (magic := int.from_bytes(raw[:4], "big")) != expected:
        raise DataError(f"{path}: wrong magic number: found {magic:#010x}, expected {expected:#010x}")
    if len(raw) < header:
        raise DataError(f"{path}: truncated: it has {len(raw)} bytes, expected a header of {header}")
    shape = struct.unpack_from(f">{dimensions}I", raw, 4)
    size = int(np.prod(shape, dtype=object))
    if len(raw) - header != size:
        kind = "truncated" if len(raw) - header < size else "longer than its header says"
        sides = " x ".join(map(str, shape))
        raise DataError(f"{path}: {kind}: found {len(raw) - header} bytes of data, expected {size} ({sides})")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape).copy()  # torch wants memory it may write to


def _bytes(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: file not found") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except EOFError:
        raise DataError(f"{path}: truncated: the gzip stream ends before its end marker") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip stream: {error}") from None
