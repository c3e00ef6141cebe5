"""Functions that move numbers and compute none: reshaping, reordering, repeating, taking parts."""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

from stepladder.spec import UserError
from stepladder.spec.window import Window
from stepladder.tracing.fields import union
from stepladder.tracing.functions import OVER_DIM
from stepladder.tracing.layout import CHANNEL, IMAGE, Factor, aligned, channels, mixed, reshaped, size_of, spatial, tidy
from stepladder.tracing.values import Value


def reshape(source: Value, shape: Sequence[int]) -> Value:
    """The value in another shape; rows or columns that are cut through can no longer be told apart.

    Raises UserError where it cuts through the images.
    """
    if (layout := reshaped(source.layout, shape)) is None:
        source = source.mixed(source.apart())
        source = source.at(0, mixed(source.layout[0]))
        layout = reshaped(source.layout, shape)
    if layout is None:
        raise UserError("mixes the images of a batch, expected each to be on its own")
    return _with(source, layout)


def order(name: str, given: dict[str, Any], source: Value, shape: Sequence[int]) -> Value:
    """The value with its dimensions in another order, or with its rows or columns turned round or moved on."""
    rank, layout = len(source.layout), source.layout
    if name in ("flip", "roll"):
        return _turned(name, given, source)
    places = [*range(rank)]
    if name == "permute":
        places = [place % rank for place in given["dims"]]
    elif name == "movedim":
        moved = [[place % rank for place in _tuple(given[end])] for end in ("source", "destination")]
        places = [place for place in places if place not in moved[0]]
        for destination, place in sorted(zip(moved[1], moved[0], strict=True)):
            places.insert(destination, place)
    else:
        ends = given.get("dim0", -2 if name == "mT" else 0), given.get("dim1", -1 if name == "mT" else rank - 1)
        if rank > 1:
            places[ends[0]], places[ends[1]] = places[ends[1]], places[ends[0]]
    return _with(source, tuple(layout[place] for place in places))


def _turned(name: str, given: dict[str, Any], source: Value) -> Value:
    """A value flipped or rolled; away from the borders."""
    places = [place % len(source.layout) for place in _tuple(given["dims"])]
    for place, shift in zip(places, _tuple(given.get("shifts", 0)) * (1 if name == "roll" else len(places)), strict=True):
        size = size_of(source.layout[place])
        axis = source.alone(place)
        if axis is None:
            source = source.mixed([place])
        elif name == "flip":
            source = source.through(axis, [(size - 1,)], -1)
        else:
            source = source.through(axis, [(-shift,)])
    return source


def repeat(name: str, given: dict[str, Any], source: Value, shape: Sequence[int]) -> Value:
    """The value repeated to a larger shape: channels, or one position over a map; of rows and columns each then sees all."""
    layout = ((),) * (len(shape) - len(source.layout)) + source.layout
    value = _with(source, layout)
    for place, (dim, size) in enumerate(zip(layout, shape, strict=True)):
        if size_of(dim) == size:
            continue
        times, axis = size // size_of(dim), value.alone(place)
        if any(factor.kind == IMAGE for factor in dim):
            raise UserError(f"makes {size_of(dim)} images into {size}, expected as many as before")
        if axis is not None and name == "repeat_interleave" and isinstance(given.get("repeats"), int):
            value = value.through(axis, [(0,)] * times).at(place, tidy([Factor(axis, size)]))
        else:
            value = value.mixed([place] if spatial(dim) else []).at(place, channels(size))
    return value


def parts(name: str, given: dict[str, Any], source: Value, shapes: Sequence[Sequence[int]]) -> list[Value]:
    """What is taken of a value, for each of the shapes of the tensors that are made of it."""
    if name == "getitem":
        return [taken(source, given["index"], shapes[0])]
    place = given.get("dim", 0) % len(source.layout)
    picks: list[Any] = []
    if name in ("select", "index_select"):
        picks = [given["index"]]
    elif name == "narrow":
        picks = [slice(given["start"], given["start"] + given["length"])]
    elif name == "unbind":
        picks = [*range(len(shapes))]
    else:
        ends = [*accumulate(shape[place] for shape in shapes)]
        picks = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    return [taken(source, (*[slice(None)] * place, pick), shape) for pick, shape in zip(picks, shapes, strict=True)]


def placed(value: Value, index: Any, shape: Sequence[int]) -> Value:
    """The value written into a tensor of that shape at an index of slices."""
    picks = [*index] if isinstance(index, tuple) else [index]
    at = next((place for place, pick in enumerate(picks) if pick is Ellipsis), len(picks))
    picks[at : at + 1] = [slice(None)] * (len(shape) - sum(pick is not Ellipsis for pick in picks))
    if not all(isinstance(pick, slice) for pick in picks):
        raise UserError(f"is written into at {index}, expected slices")
    ranges = [range(size)[pick] for pick, size in zip(picks, shape, strict=True)]
    value = _with(value, aligned(value.layout, [len(numbers) for numbers in ranges]))
    for place, (numbers, size) in enumerate(zip(ranges, shape, strict=True)):
        if len(numbers) == size and numbers.step > 0:
            continue
        axis = value.alone(place)
        if any(factor.kind == IMAGE for factor in value.layout[place]) or (axis is not None and numbers.step != 1):
            raise UserError(f"is written into at {index}, expected slices of channels, or a map with a border")
        if axis is None:
            value = value.mixed([place]).at(place, channels(size))
        else:
            value = value.through(axis, [(-numbers.start,)]).at(place, tidy([Factor(axis, size)]))
    return value


def taken(source: Value, index: Any, shape: Sequence[int]) -> Value:
    """The value behind an index: whole numbers, slices, None, Ellipsis, and one list or tensor of positions."""
    picks = [*index] if isinstance(index, tuple) else [index]
    used = sum(pick is not None and pick is not Ellipsis for pick in picks)
    at = next((place for place, pick in enumerate(picks) if pick is Ellipsis), len(picks))
    picks[at : at + 1] = [slice(None)] * (len(source.layout) - used)
    value, place, kept, lists = source, 0, list[int | None](), 0
    for pick in picks:
        if pick is None:
            kept.append(None)
            continue
        size = size_of(source.layout[place])
        if isinstance(pick, int | slice):
            numbers: Sequence[int] | None = range(size)[pick] if isinstance(pick, slice) else [range(size)[pick]]
        else:
            numbers, lists = None, lists + 1
        value = _picked(value, place, numbers, size if numbers is None else len(numbers))
        if not isinstance(pick, int):
            kept.append(place)
        place += 1
    layout = tuple(() if place is None else value.layout[place] for place in kept)
    if lists > 1 or len(layout) != len(shape):
        raise UserError(f"is indexed by {index}, expected whole numbers, slices, and at most one list")
    fitted = [dim if size_of(dim) == size else channels(size) for dim, size in zip(layout, shape, strict=True)]
    return _with(value, tuple(fitted)).settled()


def _picked(value: Value, place: int, numbers: Sequence[int] | None, count: int) -> Value:
    """The positions of those numbers along a dimension; None for numbers that are not known."""
    dim = value.layout[place]
    if numbers is not None and [*numbers] == [*range(size_of(dim))]:
        return value
    if any(factor.kind == IMAGE for factor in dim):
        raise UserError("takes a part of the images, expected all of them")
    factor = dim[0] if len(dim) == 1 and dim[0].kind != CHANNEL and numbers else None
    if factor is None or not numbers:
        return value.mixed([place] if spatial(dim) else []).at(place, channels(count))
    step = (numbers[1] - numbers[0]) * factor.step if len(numbers) > 1 else factor.step
    value = value.through(factor.kind, [(numbers[0] * factor.step,)], 1)
    if step < 0:
        raise UserError(f"is read backwards by {step}, expected a positive step")
    return value.at(place, tidy([Factor(factor.kind, len(numbers), step)]))


def reduced(source: Value, places: Iterable[int], shape: Sequence[int]) -> Value:
    """The value after something that leaves one number of those dimensions, which stay with size 1 or go."""
    after, gone = source.mixed(places), {*places}
    kept = len(shape) == len(source.layout)
    return _with(after, [() if place in gone else dim for place, dim in enumerate(after.layout) if kept or place not in gone])


def over_dim(name: str, given: dict[str, Any], source: Value, shape: Sequence[int]) -> Value:
    """The value after a function that works on each position; or over a dimension that it keeps, so that each position sees
    all of it as well."""
    place = given.get("dim", 1 if name == "normalize" else -1)
    if name == "glu":
        place %= len(shape)
        return source.mixed([place] if spatial(source.layout[place]) else []).at(place, channels(shape[place]))
    whole = source.mixed([place]) if name in OVER_DIM and place is not None else source
    if whole is source or not spatial(source.layout[place]):
        return source
    still = [(height.still(), width.still()) for height, width in whole.field]
    return Value(source.layout, union([*source.field, *still], source.places), source.row)


def thinned(source: Value, after: Value) -> Window | None:
    """The window of a slice: of size 1, with its stride, and its start as negative padding."""
    if after.places == source.places:
        return None
    before, now = source.settled().field[0], after.settled().field[0]
    strides = [int(new.pace / old.pace) if old.pace and new.pace else 1 for old, new in zip(before, now, strict=True)]
    starts = [(new.at(0)[0] - old.at(0)[0]) / old.pace if old.pace else 0 for old, new in zip(before, now, strict=True)]
    return Window((1, 1), (strides[0], strides[1]), (-int(starts[0]), -int(starts[1])))


def _with(value: Value, layout: Sequence[Any]) -> Value:
    return Value(tuple(layout), value.field, value.row)


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, Iterable) else (value,)
