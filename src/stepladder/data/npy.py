"""Reads NumPy's arrays, .npy files and the .npz archives of them, without ever unpickling (NEP 1)."""

import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from stepladder.data.files import ALWAYS_ALLOWED, MOST_EXPANSION, opened, size
from stepladder.data.found import DataError

_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000
_AT_ONCE = 1 << 20
_DTYPE = re.compile(r"""['"]descr['"]\s*:\s*['"]([<>|=]?[a-zA-Z?]\d{0,5})['"]""")
_FORTRAN = re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)""")
_SHAPE = re.compile(r"""['"]shape['"]\s*:\s*\(([\d\s,L]*)\)""")


Reader = Callable[[], NDArray[Any]]
"""Reads one array; raises DataError."""


def arrays(path: Path) -> dict[str, Reader]:
    """The arrays of a .npy file (its stem is the name) or an .npz archive, by name; none is read yet.

    Raises DataError for what is neither. What a reader then reads takes no more memory than its header claims, and only where the
    file can hold as much; arrays of Python objects are refused.
    """
    if path.suffix.lower() == ".npy":
        return {path.stem: partial(_alone, path)}
    with opened(path) as file, _unzipping(path), zipfile.ZipFile(file) as archive:
        members = [name for name in archive.namelist() if name.lower().endswith(".npy")]
    return {name[:-4]: partial(_member, path, name) for name in members}


def _alone(path: Path) -> NDArray[Any]:
    with opened(path) as file:
        return _array(str(path), file, size(file))


def _member(path: Path, name: str) -> NDArray[Any]:
    where = f"{path}: {name[:-4]}"
    with opened(path) as file, _unzipping(path), zipfile.ZipFile(file) as archive:
        member, held = archive.getinfo(name), size(file)
        if member.file_size > max(ALWAYS_ALLOWED, MOST_EXPANSION * held):
            raise DataError(
                f"{where}: the archive claims {member.file_size:,} bytes, found {held:,}, "
                f"expected no more than {MOST_EXPANSION} times as many"
            )
        with archive.open(member) as stream:
            return _array(where, stream, member.file_size)


@contextmanager
def _unzipping(path: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise DataError(f"{path}: damaged archive: {error or 'it ends too early'}") from None
    except (NotImplementedError, RuntimeError) as error:  # a kind of compression, or a password
        raise DataError(f"{path}: cannot be unpacked: {error}") from None
    except (ValueError, OverflowError, KeyError, IndexError) as error:  # offsets and fields that no archive has
        raise DataError(f"{path}: damaged archive: {error}") from None


def _array(where: str, stream: IO[bytes], length: int) -> NDArray[Any]:
    """The array of a stream that has so many bytes."""
    head = stream.read(8)
    if head[:6] != _MAGIC or len(head) < 8:
        raise DataError(f"{where}: found no NumPy array, expected one that starts with {_MAGIC!r}")
    width = 2 if head[6] == 1 else 4
    described = int.from_bytes(stream.read(width), "little")
    if described > _LONGEST_HEADER:
        raise DataError(f"{where}: its header claims {described:,} bytes for itself, expected no more than {_LONGEST_HEADER:,}")
    dtype, fortran, shape = _header(where, stream.read(described).decode("latin-1"))
    claimed = prod(shape) * dtype.itemsize
    sides = f"{' x '.join(map(str, shape)) or 'one number'} of {dtype.name}"
    held = length - 8 - width - described
    if held != claimed:  # known before any of it is read
        raise DataError(f"{where}: found {held:,} bytes of data, expected {claimed:,} as its header claims ({sides})")
    array = np.empty(claimed, np.uint8)
    found = 0
    while piece := stream.read(min(_AT_ONCE, claimed - found)):
        array[found : found + len(piece)] = np.frombuffer(piece, np.uint8)
        found += len(piece)
    if found != claimed:
        raise DataError(f"{where}: truncated: found {found:,} bytes of data, expected {claimed:,} ({sides})")
    try:
        values = array.view(dtype)
        return values.reshape(shape[::-1]).transpose() if fortran else values.reshape(shape)
    except ValueError:  # a side of zero beside sides whose product is beyond an address, or an item of no bytes
        raise DataError(f"{where}: no array has the shape that its header claims ({sides})") from None


def _header(where: str, text: str) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    """The type, whether it lies by columns, and the shape; read by their patterns, so that nothing is evaluated."""
    dtype, fortran, shape = _DTYPE.search(text), _FORTRAN.search(text), _SHAPE.search(text)
    if not dtype or not fortran or not shape:
        raise DataError(f"{where}: found the header {text[:80].strip()!r}, expected that of an array of numbers")
    if "O" in dtype[1]:
        raise DataError(f"{where}: found Python objects, which are never unpickled, expected an array of numbers")
    if not re.fullmatch(r"[<>|=]?([biufc?]\d*|[SU]\d+)", dtype[1]):
        raise DataError(f"{where}: found values of type {dtype[1]!r}, expected numbers or words")
    sides = [side.strip().rstrip("L") for side in shape[1].split(",") if side.strip()]
    try:
        made = tuple(map(int, sides))
        return np.dtype(dtype[1]), fortran[1] == "True", made
    except (ValueError, TypeError):
        raise DataError(f"{where}: found type {dtype[1]!r} and shape ({shape[1]}), expected those of an array") from None
