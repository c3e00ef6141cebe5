"""Layers that slide a window over a map, or change its size: which window, and which positions see which."""

from collections.abc import Sequence
from fractions import Fraction
from math import floor, gcd, prod
from typing import Any, NamedTuple

from stepladder.spec import UserError
from stepladder.spec.window import Window, pair
from stepladder.tracing.fields import Taps
from stepladder.tracing.functions import CONVOLUTIONS, POOLINGS
from stepladder.tracing.layout import Factor, channels, size_of, spatial, tidy
from stepladder.tracing.values import Value


class Slide(NamedTuple):
    """A layer along one axis: what one round of its positions sees, how far the next round lies, and its window for show."""

    taps: Taps
    step: int = 1
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1


def slid(name: str, given: dict[str, Any], source: Value, shape: Sequence[int]) -> tuple[str, Value, Window | None]:
    """A layer on a map: what it is called, what its positions see, and its window where it has one.

    `shape` is that of the tensor that it makes, images included. A window over rows and columns that were flattened into
    one dimension sees all of them.
    """
    rank = len(shape)
    count = rank - 2 if name in ("interpolate", "pad") else 1 if name.endswith("1d") else 2
    places, across = range(rank - count, rank), rank - count - 1
    value = source.mixed([across]) if name in CONVOLUTIONS else source
    before = [size_of(source.layout[place]) for place in places]
    slides = _slides(name, given, before, [shape[place] for place in places])
    for place, slide in zip(places, slides, strict=True):
        axis, one = value.alone(place), size_of(value.layout[place]) == 1
        if one and count == 2 and (shape[place] == 1 or not _enlarges(name)) and value.places[place - rank + 2] == 1:
            axis = place - rank + 2
        if axis is not None:
            value = value.through(axis, slide.taps, slide.step).at(place, tidy([Factor(axis, shape[place])]))
        elif size_of(value.layout[place]) != shape[place] or len(slide.taps) > 1 or len([*slide.taps[0]]) > 1:
            value = value.mixed([place]).at(place, channels(shape[place]))
    if shape[across] != size_of(value.layout[across]):
        value = value.mixed([across] if spatial(value.layout[across]) else []).at(across, channels(shape[across]))
    return _called(name, before, slides, source, value), value, _window(name, slides, source)


def _enlarges(name: str) -> bool:
    """Whether it can make a map of one position."""
    return "transpose" in name or name in ("interpolate", "pixel_shuffle")


def _called(name: str, before: Sequence[int], slides: Sequence[Slide], source: Value, value: Value) -> str:
    if name == "interpolate":
        return "upsample" if prod(map(size_of, value.layout)) >= prod(map(size_of, source.layout)) else "downsample"
    if name.startswith("adaptive") and all(size_of(dim) == 1 for dim in value.layout[-len(before) :]) and value.places == (1, 1):
        return f"global {'average' if 'avg' in name else 'max'} pool"
    return (CONVOLUTIONS | POOLINGS).get(name, name.replace("_", " "))


def _window(name: str, slides: Sequence[Slide], source: Value) -> Window | None:
    """The window for show; along one dimension it is shown as a square."""
    if name in ("interpolate", "pixel_shuffle") or not slides:
        return None
    if name == "adaptive_avg_pool1d" and slides[0].kernel == prod(source.places):
        return Window(source.places)
    ends = slides[0], slides[-1]
    return Window(
        pair(end.kernel for end in ends), pair(end.stride for end in ends),
        pair(end.padding for end in ends), pair(end.dilation for end in ends),
    )  # fmt: skip


def _slides(name: str, given: dict[str, Any], before: Sequence[int], after: Sequence[int]) -> list[Slide]:
    """A layer along each of its axes."""
    count, sizes = len(before), [*zip(before, after, strict=True)]
    if name == "pad":
        sides = [*given["pad"], *[0] * 2 * count]
        fronts = [sides[2 * (count - 1 - place)] for place in range(count)]
        return [Slide([(-front,)], padding=front) for front in fronts]
    if name == "interpolate":
        return [_resized(given.get("mode") or "nearest", bool(given.get("align_corners")), *size) for size in sizes]
    if name == "pixel_shuffle":
        return [Slide([(0,)] * given["factor"])] * 2
    if name == "pixel_unshuffle":
        factor = given["factor"]
        return [Slide([range(factor)], factor, factor, factor)] * 2
    if name.startswith("adaptive"):
        return [_adaptive(*size) for size in sizes]
    weight = given.get("weight")
    kernel = _each(given["kernel_size"] if weight is None else weight.shape[2:], count)
    stride = _each(given.get("stride") or (kernel if weight is None else 1), count)
    dilation, padding = _each(given.get("dilation", 1), count), given.get("padding", 0)
    if isinstance(padding, str):  # torch pads one more after than before where the sum is odd
        padding = [(size - 1) * wide // 2 if padding == "same" else 0 for size, wide in zip(kernel, dilation, strict=True)]
    sliding = _transposed if "transpose" in name else _sliding
    return [sliding(*axis) for axis in zip(kernel, stride, _each(padding, count), dilation, strict=True)]


def _each(value: Any, count: int) -> Sequence[int]:
    """One number for each axis."""
    values = [*value] if isinstance(value, tuple | list) else [value]
    return values * count if len(values) == 1 else values


def _sliding(kernel: int, stride: int, padding: int, dilation: int) -> Slide:
    taps = range(-padding, (kernel - 1) * dilation - padding + 1, dilation)
    return Slide([taps], stride, kernel, stride, padding, dilation)


def _transposed(kernel: int, stride: int, padding: int, dilation: int) -> Slide:
    """Position p sees those that lie at p + padding less a multiple of the dilation, counted in strides."""
    offsets = [padding - tap * dilation for tap in range(kernel)]
    taps = [[(p + offset) // stride for offset in offsets if (p + offset) % stride == 0] for p in range(stride)]
    nothing = [(padding // stride,)]  # positions that see the bias alone are shown what their neighbours see
    return Slide([some or nothing[0] for some in taps], 1, kernel, stride, padding, dilation)


def _adaptive(before: int, after: int) -> Slide:
    """Adaptive pooling, whose windows torch takes from floor(p * before / after) to ceil((p + 1) * before / after)."""
    try:
        window = Window.adaptive((before, before), (after, after))
    except UserError:  # whose windows are not all alike: the largest is shown
        rounds = after // gcd(before, after)
        taps = [range(p * before // after, -(-(p + 1) * before // after)) for p in range(rounds)]
        return Slide(taps, before // gcd(before, after), max(map(len, taps)), -(-before // after))
    return _sliding(window.kernel[0], window.stride[0], 0, 1)


def _resized(mode: str, corners: bool, before: int, after: int) -> Slide:
    """Which positions are read for those of a map of another size (torch's rules, with corners aligned or not)."""
    if mode == "area":
        return _adaptive(before, after)
    if before == after:
        return Slide([(0,)])
    common = 1 if corners else gcd(before, after)
    rounds, step = after // common, before // common
    if mode == "nearest":
        return Slide([(p * before // after,) for p in range(rounds)], step)
    if corners:
        found = [Fraction(p * (before - 1), max(after - 1, 1)) for p in range(rounds)]
    else:
        found = [Fraction((2 * p + 1) * before, 2 * after) - Fraction(1, 2) for p in range(rounds)]
    if mode == "nearest-exact":
        return Slide([(floor(place + Fraction(1, 2)),) for place in found], step)
    more = 1 if mode == "bicubic" else 0
    return Slide([range(floor(p) - more, floor(p) + 2 + more) if p.denominator > 1 else (int(p),) for p in found], step)
