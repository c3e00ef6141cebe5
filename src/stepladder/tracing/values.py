"""What is known of a tensor that depends on the images: its layout, what its positions see, and the row that it is from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import gcd, prod

from stepladder.anatomy import Seen
from stepladder.spec import Shape, UserError
from stepladder.spec.window import Pair
from stepladder.tracing.fields import Sight, Taps, View, union, widest
from stepladder.tracing.layout import (
    COLUMN,
    IMAGE,
    ROW,
    Dim,
    Layout,
    aligned,
    as_map,
    dim_of_images,
    mixed,
    positions,
    seen,
    spatial,
)


@dataclass(frozen=True)
class Value:
    """A tensor's layout; the ways in which one of its positions sees the image; its last row, none for the images."""

    layout: Layout
    field: tuple[View, ...]
    row: int | None = None

    @property
    def shape(self) -> Shape:
        """Without the images."""
        return seen(self.layout)

    @property
    def places(self) -> Pair:
        """How many rows and columns there are."""
        return positions(self.layout, ROW), positions(self.layout, COLUMN)

    def through(self, axis: int, taps: Taps, step: int = 1) -> "Value":
        """Seen through taps along an axis; the layout is left to the caller."""
        seen = [
            (view[0].through(taps, step), view[1]) if axis == 0 else (view[0], view[1].through(taps, step)) for view in self.field
        ]
        return replace(self, field=tuple(seen))

    def settled(self) -> "Value":
        """The same, where an axis whose positions were thinned out counts those that are left."""
        value = self
        for axis in (ROW, COLUMN):
            steps = [factor.step for dim in value.layout for factor in dim if factor.kind == axis]
            if (step := gcd(*steps)) > 1:
                layout = [tuple(f._replace(step=f.step // step) if f.kind == axis else f for f in dim) for dim in value.layout]
                value = replace(value.through(axis, [(0,)], step), layout=tuple(layout))
        return replace(value, field=union(value.field, value.places))

    def mixed(self, dims: Iterable[int]) -> "Value":
        """Where each position sees all that those dimensions held; raises UserError where they hold the images."""
        value, rank = self, len(self.layout)
        for place in {dim % rank for dim in dims}:
            dim = value.layout[place]
            if any(factor.kind == IMAGE for factor in dim):
                raise UserError("mixes the images of a batch, expected each to be on its own")
            for axis in (ROW, COLUMN):
                reached = [0]
                for factor in dim:
                    if factor.kind == axis:
                        reached = [start + number * factor.step for start in reached for number in range(factor.size)]
                value = value.through(axis, [reached]) if len(reached) > 1 else value
            value = value.at(place, mixed(dim))
        return value.settled()

    def at(self, place: int, dim: Dim) -> "Value":
        """With another dimension in that place."""
        layout = list(self.layout)
        layout[place] = dim
        return replace(self, layout=tuple(layout))

    def apart(self) -> list[int]:
        """The dimensions without images."""
        return [place for place, dim in enumerate(self.layout) if all(factor.kind != IMAGE for factor in dim)]

    def alone(self, place: int) -> int | None:
        """The axis whose rows or columns a dimension holds, all of them and nothing else."""
        dim = self.layout[place]
        single = len(dim) == 1 and dim[0].kind in (ROW, COLUMN) and positions(self.layout, dim[0].kind) == dim[0].size
        return dim[0].kind if single else None

    def seen(self) -> Seen:
        """What a row shows of its field."""
        return widest(self.field, self.places)

    def map(self) -> Shape:
        """Channels, height and width."""
        return as_map(self.layout)


def joined(values: Sequence[Value], shape: Sequence[int]) -> Value:
    """What positions see that are made of all these values, broadcast to a tensor of that shape.

    Where two hold rows or columns in other places, each position sees all of the latter. Raises UserError where their
    jumps do not match, or where they hold the images in other places.
    """
    first, *others = [replace(value, layout=aligned(value.layout, shape)) for value in values]
    layout = list(first.layout)
    parts = [first]
    for other in others:
        for place, dim in enumerate(other.layout):
            kinds = {factor.kind for mine in layout for factor in mine}
            if not spatial(dim) or layout[place] == dim:
                continue
            if not spatial(layout[place]) and not kinds & {factor.kind for factor in spatial(dim)}:
                layout[place] = dim
            else:
                other = other.mixed([place])
        if dim_of_images(other.layout) != dim_of_images(tuple(layout)):
            raise UserError("joins tensors whose images are in different places, expected them in front")
        parts.append(other)
    whole = Value(tuple(layout), ())
    return replace(whole, field=union([view for part in parts for view in spread(part, whole.places)], whole.places))


def spread(value: Value, places: Pair) -> list[View]:
    """The views of a value over a map of so many rows and columns: on an axis where it has one position they stand still."""
    high, wide = (mine == 1 < whole for mine, whole in zip(value.places, places, strict=True))
    return [(view[0].still() if high else view[0], view[1].still() if wide else view[1]) for view in value.field]


def largest(values: Sequence[Value]) -> Value:
    """The one that a join shows as its input: most numbers, then most positions, then the widest field."""
    return max(values, key=lambda value: (prod(value.shape), prod(value.places), value.seen().size))


START = Value((), ((Sight(), Sight()),))
"""The images: each position sees itself."""
