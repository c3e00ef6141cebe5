"""What the dimensions of a tensor are made of: images, channels, and the rows and columns of a map, whole or in parts.

It follows them through every reshaping, so that it stays known what a layer mixes: `flatten(2)` makes one dimension of
rows and columns, a channel shuffle parts the channels and puts them together again, patches part the rows.
"""

from collections.abc import Sequence
from itertools import count
from math import prod
from typing import NamedTuple

ROW, COLUMN, CHANNEL, IMAGE = range(4)


class Factor(NamedTuple):
    """A part of a dimension: `size` rows, columns, channels or images, `step` positions of the map apart."""

    kind: int
    size: int
    step: int = 1


Dim = tuple[Factor, ...]
Layout = tuple[Dim, ...]


def of_images(shape: Sequence[int]) -> Layout:
    """Of images x channels x height x width."""
    return tuple(tidy([Factor(kind, size)]) for kind, size in zip((IMAGE, CHANNEL, ROW, COLUMN), shape, strict=True))


def channels(size: int) -> Dim:
    """A dimension in which all positions of a map are alike."""
    return tidy([Factor(CHANNEL, size)])


def size_of(dim: Dim) -> int:
    """How long a dimension is."""
    return prod(factor.size for factor in dim)


def positions(layout: Layout, kind: int) -> int:
    """How many rows or columns there are."""
    return prod(factor.size for dim in layout for factor in dim if factor.kind == kind)


def seen(layout: Layout) -> tuple[int, ...]:
    """The shape without the images."""
    kept = [[factor.size for factor in dim if factor.kind != IMAGE] for dim in layout]
    return tuple(prod(sizes) for dim, sizes in zip(layout, kept, strict=True) if sizes or not dim)


def as_map(layout: Layout) -> tuple[int, int, int]:
    """The shape of the map (channels, height, width) that it holds, however its dimensions are ordered."""
    channels, height, width = (positions(layout, kind) for kind in (CHANNEL, ROW, COLUMN))
    return channels, height, width


def tidy(factors: Sequence[Factor]) -> Dim:
    """The factors without those of size 1; neighbours that were parted are put together."""
    kept: list[Factor] = []
    for factor in factors:
        last = kept[-1] if kept else None
        if last and last.kind == factor.kind and (factor.kind == CHANNEL or last.step == factor.size * factor.step):
            kept[-1] = Factor(factor.kind, last.size * factor.size, factor.step)
        elif factor.size > 1:
            kept.append(factor)
    return tuple(kept)


def reshaped(layout: Layout, shape: Sequence[int]) -> Layout | None:
    """The layout of a tensor of that shape with the same values in the same order; None where it cuts through rows,
    columns or images in a way that leaves no whole parts."""
    left = [factor for dim in layout for factor in tidy(dim)]
    made: list[Dim] = []
    for size in shape:
        dim: list[Factor] = []
        while size > 1:
            kind, whole, step = left.pop(0)
            if whole > size:
                if whole % size:
                    return None
                left.insert(0, Factor(kind, whole // size, step))
                whole, step = size, step * (whole // size)
            if size % whole:
                return None
            dim.append(Factor(kind, whole, step))
            size //= whole
        made.append(tidy(dim))
    return tuple(made)


def mixed(dim: Dim) -> Dim:
    """A dimension whose rows and columns can no longer be told apart."""
    return tidy([factor if factor.kind == IMAGE else Factor(CHANNEL, factor.size) for factor in dim])


def aligned(layout: Layout, shape: Sequence[int]) -> Layout:
    """The layout after broadcasting to that shape: new dimensions in front, and what had size 1 is repeated."""
    padded = ((),) * (len(shape) - len(layout)) + tuple(layout)
    return tuple(dim if size_of(dim) == size else channels(size) for dim, size in zip(padded, shape, strict=True))


def spatial(dim: Dim) -> list[Factor]:
    """The rows and columns in a dimension."""
    return [factor for factor in dim if factor.kind in (ROW, COLUMN)]


def dim_of_images(layout: Layout) -> int | None:
    """Which dimension the images are alone in."""
    return next((place for place, dim in zip(count(), layout, strict=False) if [f.kind for f in dim] == [IMAGE]), None)
