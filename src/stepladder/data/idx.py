"""Reads IDX files, the format of MNIST (http://yann.lecun.com/exdb/mnist), plain or gzipped."""

import gzip
import io
import os
import stat
import struct
import zlib
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stepladder.data.found import DataError

# A gzip stream may expand a thousandfold, so a header that lies could claim all memory. MNIST's images expand 5 times; what
# claims to be 200 times its file is a bomb, or as good as blank. Small claims are free: sorted labels do expand 1,000 times.
MOST_EXPANSION = 200
ALWAYS_ALLOWED = 64 << 20
COUNTED = 1 << 16
"""How many bytes too many are counted before the rest is left packed."""


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array of unsigned bytes in an IDX file with this many dimensions.

    Raises DataError, and nothing else, for what cannot be read, a wrong magic number, and a length that is not what the header
    says. No more memory is taken than the header claims, and only where the file can hold as much.
    """
    try:
        if not stat.S_ISREG(mode := path.stat().st_mode):  # a pipe would be waited for
            raise DataError(f"{path}: cannot be read: {'Is a directory' if stat.S_ISDIR(mode) else 'not a regular file'}")
        with path.open("rb") as file:
            return _read(path, file, dimensions)
    except FileNotFoundError:
        raise DataError(f"{path}: file not found") from None
    except EOFError:
        raise DataError(f"{path}: truncated: the gzip stream ends before its end marker") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip stream: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise DataError(f"{path}: cannot be read: not enough memory for what its header claims") from None


def _read(path: Path, file: io.BufferedReader, dimensions: int) -> NDArray[np.uint8]:
    held = os.fstat(file.fileno()).st_size
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    stream = gzip.GzipFile(fileobj=file) if packed else file
    header = 4 + 4 * dimensions
    head = stream.read(header)
    expected = 0x0800 + dimensions  # two zero bytes, 8 for unsigned bytes, the number of dimensions
    if len(head) >= 4 and (magic := int.from_bytes(head[:4], "big")) != expected:
        raise DataError(f"{path}: wrong magic number: found {magic:#010x}, expected {expected:#010x}")
    if len(head) < header:
        raise DataError(f"{path}: truncated: it has {len(head)} bytes, expected a header of {header}")
    shape = struct.unpack_from(f">{dimensions}I", head, 4)
    claimed, sides = prod(shape), " x ".join(map(str, shape))
    if packed and claimed > max(ALWAYS_ALLOWED, MOST_EXPANSION * held):
        raise DataError(
            f"{path}: its header claims {claimed:,} bytes ({sides}), found {held:,} bytes of gzip, "
            f"expected no more than {MOST_EXPANSION} times as many"
        )
    if not packed and held - header != claimed:  # known before any of it is read
        raise DataError(_wrong_length(path, held - header, claimed, sides))
    array = np.empty(claimed, np.uint8)
    found = stream.readinto(array.data)
    if found == claimed:
        found += len(stream.read(COUNTED))
    if found != claimed:
        raise DataError(_wrong_length(path, found, claimed, sides))
    try:
        return array.reshape(shape)
    except ValueError:  # a side of zero beside sides whose product is beyond an address
        raise DataError(f"{path}: no array has the shape that its header claims ({sides})") from None


def _wrong_length(path: Path, found: int, claimed: int, sides: str) -> str:
    kind = "truncated" if found < claimed else "longer than its header says"
    least = "at least " if found == claimed + COUNTED else ""
    return f"{path}: {kind}: found {least}{found} bytes of data, expected {claimed} ({sides})"
