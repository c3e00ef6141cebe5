"""Shapes, and what several kinds of layers have in common, as their methods."""

from dataclasses import field
from typing import TypeVar

from stepladder.spec.check import SpecError
from stepladder.spec.window import Window

Shape = tuple[int, ...]
"""(channels, height, width) of an image, or (features,) once it is flat."""

T = TypeVar("T")


def later(off: T) -> T:
    """A field that came to a kind later, and its value in all that is older, which data leave out (`spec/data.py`): the
    fingerprints of earlier records stay as they are."""
    return field(default=off, metadata={"off": off})


def written(shape: Shape) -> str:
    """A shape in words: 4 x 26 x 26."""
    return " x ".join(map(str, shape))


def image_of(layer: object, shape: Shape) -> tuple[int, int, int]:
    """Channels, height and width of what enters a layer; raises SpecError where it is flat."""
    if len(shape) != 3:
        raise SpecError(f"its input is flat ({shape[0]} features), expected channels x height x width")
    return shape[0], shape[1], shape[2]


def unchanged(layer: object, shape: Shape) -> Shape:
    """The same shape."""
    return shape


def untrained(layer: object, shape: Shape) -> int:
    """None are trained."""
    return 0


def unmultiplied(layer: object, before: Shape, after: Shape) -> int:
    """No input is multiplied by a weight."""
    return 0


def without_window(layer: object, shape: Shape) -> Window | None:
    """None slides."""
    return None
