"""Reads IDX files, the format of MNIST (http://yann.lecun.com/exdb/mnist), plain or gzipped."""

import gzip
import io
import struct
import zlib
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepladder.data.files import ALWAYS_ALLOWED, MOST_EXPANSION, opened, size
from stepladder.data.found import DataError

COUNTED = 1 << 16
"""How many bytes too many are counted before the rest is left packed."""

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""The third byte of a file and the type of number that it stands for."""


def read_idx(path: Path, *dimensions: int) -> NDArray[Any]:
    """The array of an IDX file with one of these numbers of dimensions, of whichever type, in this machine's byte order; the
    first, of unsigned bytes, is what an error expects.

    Raises DataError, and nothing else, for what cannot be read, a wrong magic number, and a length that is not what the header
    says. No more memory is taken than the header claims, and only where the file can hold as much.
    """
    magics = [256 * kind + number for number in dimensions for kind in TYPES]
    with opened(path) as file:
        try:
            return _read(path, file, magics)
        except EOFError:
            raise DataError(f"{path}: truncated: the gzip stream ends before its end marker") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{path}: damaged gzip stream: {error}") from None


def _read(path: Path, file: io.BufferedReader, magics: list[int]) -> NDArray[Any]:
    held = size(file)
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    stream = gzip.GzipFile(fileobj=file) if packed else file
    head = stream.read(4)  # two zero bytes, the type of the numbers, how many dimensions
    magic = int.from_bytes(head, "big")
    if len(head) == 4 and magic not in magics:
        raise DataError(f"{path}: wrong magic number: found {magic:#010x}, expected {magics[0]:#010x}")
    dimensions = (magic if len(head) == 4 else magics[0]) % 256
    header = 4 + 4 * dimensions
    head += stream.read(header - len(head))
    if len(head) < header:
        raise DataError(f"{path}: truncated: it has {len(head)} bytes, expected a header of {header}")
    dtype = np.dtype(TYPES[magic >> 8])
    shape = struct.unpack_from(f">{dimensions}I", head, 4)
    claimed, sides = prod(shape) * dtype.itemsize, " x ".join(map(str, shape))
    if dtype.itemsize > 1:
        sides += f" numbers of {dtype.itemsize} bytes"
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
    numbers = array.view(dtype)
    if not dtype.isnative:
        numbers = numbers.byteswap(inplace=True).view(dtype.newbyteorder())
    try:
        return numbers.reshape(shape)
    except ValueError:  # a side of zero beside sides whose product is beyond an address
        raise DataError(f"{path}: no array has the shape that its header claims ({sides})") from None


def _wrong_length(path: Path, found: int, claimed: int, sides: str) -> str:
    kind = "truncated" if found < claimed else "longer than its header says"
    least = "at least " if found == claimed + COUNTED else ""
    return f"{path}: {kind}: found {least}{found} bytes of data, expected {claimed} ({sides})"
