"""Numeric arrays of MATLAB files of version 5 ("MAT-File Format", The MathWorks).

Not scipy's reader, which ends the process where some files are damaged: a segmentation fault is no error that can be told.
"""

import struct
from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MATRIX, COMPRESSED = 14, 15
_FLAGS, _SIDES, _NAME = 6, 5, 1
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Types of numbers by the code of an element: MATLAB stores whole numbers in as few bytes as they need."""
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""Types of arrays by the code of their class; others are text, cells, structures and the like."""
_COMPLEX = 0x0800


class _Element(NamedTuple):
    code: int
    body: memoryview


def array(matrix: bytes, order: str) -> tuple[str, NDArray[Any] | None]:
    """The name of a matrix element (its tag included) and its numbers, as MATLAB means them; None where it holds no real numbers.

    Raises ValueError where it is not what its tags say.
    """
    (whole,) = [*_elements(memoryview(matrix), order)][:1] or [_Element(0, memoryview(b""))]
    if whole.code != MATRIX:
        raise ValueError(f"found an element of type {whole.code}, expected a matrix")
    parts = [*_elements(whole.body, order)]
    if [part.code for part in parts[:3]] != [_FLAGS, _SIDES, _NAME] or len(parts[0].body) < 8:
        raise ValueError("a matrix does not begin with its flags, sides and name")
    flags = struct.unpack(f"{order}I", parts[0].body[:4])[0]
    name, kind = bytes(parts[2].body).decode("latin-1"), _CLASSES.get(flags & 255)
    if kind is None or flags & _COMPLEX:
        return name, None
    sides = np.frombuffer(parts[1].body, f"{order}i4").tolist()
    stored = _STORED.get(parts[3].code) if len(parts) > 3 else None
    if stored is None or len(sides) < 2 or min(sides) < 0:
        raise ValueError(f"{name} has no numbers, or no sides")
    numbers = np.frombuffer(parts[3].body, f"{order}{stored}")
    if len(numbers) != prod(sides):
        raise ValueError(f"{name} has {len(numbers):,} numbers, its sides say {' x '.join(map(str, sides))}")
    return name, numbers.astype(kind, copy=False).reshape(sides, order="F")


def _elements(raw: memoryview, order: str) -> Iterator[_Element]:
    """The elements in these bytes, each a tag and a body; small ones have both in eight bytes."""
    at = 0
    while at + 8 <= len(raw):
        code, length = struct.unpack(f"{order}2I", raw[at : at + 8])
        if code >> 16:  # the length stands in the upper half
            code, length, begin, at = code & 0xFFFF, code >> 16, at + 4, at + 8
            if length > 4:
                raise ValueError(f"a small element of {length} bytes, expected at most 4")
        else:
            begin, at = at + 8, at + 8 + length + (-length % 8 if code != COMPRESSED else 0)
        if begin + length > len(raw):
            raise ValueError(f"an element of {length:,} bytes, found {len(raw) - begin:,}")
        yield _Element(code, raw[begin : begin + length])
