"""Reads pickles of arrays and plain containers without running anything that they name."""

import pickle
import pickletools
from collections.abc import Iterator, Sequence
from io import BytesIO
from math import prod
from typing import Any, Literal

import numpy as np

_ADMITTED = {
    "numpy": ("ndarray", "dtype"),
    "numpy.core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.multiarray": ("_reconstruct", "scalar"),
    "numpy.core.numeric": ("_frombuffer",),
    "numpy._core.numeric": ("_frombuffer",),
    "_codecs": ("encode",),
}
_OPERATIONS = {operation.code: operation for operation in pickletools.opcodes}


class Refused(Exception):
    """A pickle that holds something else: what it wanted to load, or where it is damaged."""


def unpickled(raw: bytes) -> object:
    """What a pickle holds: containers, numbers, text, bytes (which text of Python 2 comes as) and numpy arrays of plain types.

    Nothing that it names is looked up: stand-ins record how an array was put together, and the arrays are made of their bytes
    afterwards. Raises Refused, and nothing else.
    """
    try:
        for name, argument in _operations(raw):
            if name in ("PUT", "LONG_BINPUT") and argument > len(raw):  # the unpickler makes room for as many
                raise Refused(f"it counts {argument:,} objects, more than it has bytes")
        return _plain(_Admitting(raw).load())
    except Refused:
        raise
    except MemoryError:
        raise Refused("it claims more than memory holds") from None
    except Exception as error:  # an unpickler raises what it stumbles on: IndexError, KeyError, TypeError, ...
        raise Refused(f"damaged pickle: {error or type(error).__name__}") from None


def _operations(raw: bytes) -> Iterator[tuple[str, Any]]:
    """What a pickle does, step by step, each with its argument."""
    stream = BytesIO(raw)
    while code := stream.read(1):
        operation = _OPERATIONS[code.decode("latin-1")]
        if operation.name == "STRING":  # of Python 2's protocol 0, which pickletools takes for text in ASCII
            yield operation.name, stream.readline()
        else:
            yield operation.name, operation.arg and operation.arg.reader(stream)
        if operation.name == "STOP":
            return


class _Admitting(pickle.Unpickler):
    def __init__(self, raw: bytes) -> None:
        super().__init__(BytesIO(raw), encoding="bytes")
        self.text = _Text(len(raw))

    def find_class(self, module: str, name: str) -> "_Named":
        if name not in _ADMITTED.get(module, ()):
            raise Refused(f"it wants to load {module}.{name}, expected arrays and plain containers only")
        return _Named(name, self.text)

    def persistent_load(self, pid: object) -> object:
        raise Refused(f"it refers to an object outside itself ({pid!r}), expected arrays and plain containers only")


class _Text:
    """Text that stands for bytes, as Python 3 writes them for Python 2: no more of it than the pickle has bytes, or the same text
    again and again would fill all memory."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def encoded(self, text: str) -> bytes:
        self.left -= len(text)
        if self.left < 0:
            raise Refused("it makes more bytes than it has")
        return text.encode("latin-1")


class _Named:
    """In the place of what a pickle names: called, it makes what stands for the result. A pickle can set nothing in it."""

    __slots__ = ("name", "text")

    def __init__(self, name: str, text: _Text) -> None:
        self.name, self.text = name, text  # not the unpickler, which would keep itself, and all that it read, in a ring

    def __call__(self, *given: Any) -> object:
        match self.name, given:
            case "_reconstruct", _:
                return _Array()
            case "dtype", (str() | bytes() as kind, *_):
                return _Type(kind if isinstance(kind, str) else kind.decode("ascii"))
            case "scalar", (_Type() as kind, bytes() as raw):
                return _array((), kind, raw).item()
            case "_frombuffer", (bytes() | bytearray() as raw, _Type() as kind, tuple() as shape, str() as order):
                return _array(shape, kind, raw, "F" if order == "F" else "C")
            case "encode", (str() as text, "latin1" | b"latin1"):
                return self.text.encoded(text)
        raise Refused(f"it calls {self.name} in a way that makes no array")

    def __setstate__(self, state: object) -> None:
        raise Refused(f"it wants to change {self.name}")


class _Type:
    """In the place of a numpy.dtype."""

    __slots__ = ("kind", "order")

    def __init__(self, kind: str) -> None:
        self.kind, self.order = kind, "<"

    def __setstate__(self, state: object) -> None:
        match state:
            case (_, ("<" | ">" | "|" | b"<" | b">" | b"|") as order, *_):
                self.order = order if isinstance(order, str) else order.decode("ascii")
            case _:
                raise Refused("it describes numbers in a way that no plain array has")

    def dtype(self) -> np.dtype[Any]:
        kind = self.kind.lstrip("<>|=")
        if kind[:1] not in ("u", "i", "f", "b") or not kind[1:].isdecimal() or len(kind) > 2:
            raise Refused(f"it holds an array of {self.kind!r}, expected numbers")
        return np.dtype(self.order + kind)


class _Array:
    """In the place of a numpy.ndarray, until its state comes."""

    __slots__ = ("state",)

    def __setstate__(self, state: object) -> None:
        self.state = state

    def array(self) -> np.ndarray[Any, Any]:
        match getattr(self, "state", None):
            case (_, tuple() as shape, _Type() as kind, fortran, bytes() | bytearray() as raw):
                return _array(shape, kind, raw, "F" if fortran else "C")
        raise Refused("it holds an array without bytes of numbers")


def _array(shape: Sequence[object], kind: _Type, raw: bytes | bytearray, order: Literal["C", "F"] = "C") -> np.ndarray[Any, Any]:
    """The array whose bytes are all there; never one that only claims to be large."""
    sides = [side for side in shape if isinstance(side, int) and side >= 0]
    dtype = kind.dtype()
    if len(sides) != len(shape) or prod(sides) * dtype.itemsize != len(raw):
        claim = " x ".join(map(str, shape)) or "one"
        raise Refused(f"it holds {len(raw):,} bytes for an array of {claim} numbers of {dtype.itemsize} bytes")
    return np.frombuffer(raw, dtype).reshape(sides, order=order)


def _plain(found: object) -> object:
    """What was found with its stand-ins made arrays; within the containers at the top, where batches have theirs."""
    if isinstance(found, dict):
        return {key: _made(value) for key, value in found.items()}
    return _made(found)


def _made(value: object) -> object:
    if isinstance(value, _Array):
        return value.array()
    if isinstance(value, _Named | _Type):
        raise Refused("it holds the name of a type, expected arrays and plain containers only")
    return value
