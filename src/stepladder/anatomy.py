"""A network's layers as rows of numbers: shapes, parameters, multiply-accumulates, jump and receptive field.

Receptive-field arithmetic as in Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks"
(Distill 2019, doi:10.23915/distill.00021): a window of k inputs that lie j input pixels apart widens the field by
(k - 1) * j; a stride of s makes its outputs s * j pixels apart.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any, NamedTuple, TypeVar

from stepladder.spec import Join, Network, Shape
from stepladder.spec.layers import Pointwise, forks
from stepladder.spec.window import Pair, Window, pair

Size = int | tuple[int, int]
"""One number, or (height, width) where they differ."""


Jump = float | tuple[float, float]
"""As Size, in pixels: a fraction where a map is larger than the image."""


@dataclass(frozen=True)
class Row:
    """One layer. Shapes without the batch; jump and receptive field in input pixels; `kernel`, `padding` and `stride`
    are None where there is no window."""

    operation: str
    input: Shape
    output: Shape
    kernel: Size | None
    padding: Size | None
    stride: Size | None
    parameters: int
    macs: int
    jump_in: Jump
    jump_out: Jump
    rf_in: Size
    rf_out: Size


@dataclass(frozen=True)
class Reach:
    """The input pixels that the first output of a layer depends on, `low` to `high` inclusive on each axis (negative
    in the padding); neighbouring outputs see fields `jump` pixels apart. `spread` is how many positions were flattened."""

    jump: Pair = (1, 1)
    low: Pair = (0, 0)
    high: Pair = (0, 0)
    spread: Pair = (1, 1)

    @property
    def size(self) -> Pair:
        """Height and width of the receptive field."""
        return self.high[0] - self.low[0] + 1, self.high[1] - self.low[1] + 1

    def through(self, window: Window) -> "Reach":
        """The reach after a sliding window."""
        axes = range(2)
        return Reach(
            jump=pair(self.jump[a] * window.stride[a] for a in axes),
            low=pair(self.low[a] - window.padding[a] * self.jump[a] for a in axes),
            high=pair(
                self.high[a] + ((window.kernel[a] - 1) * window.dilation[a] - window.padding[a]) * self.jump[a] for a in axes
            ),
            spread=self.spread,
        )

    def through_all(self) -> "Reach":
        """The reach after a fully connected layer: every flattened position."""
        return replace(self.through(Window(self.spread)), spread=(1, 1))


class Seen(NamedTuple):
    """What a row shows of a reach."""

    jump: tuple[float, float]
    size: Pair


def union(reaches: Sequence[Reach], size: Pair) -> tuple[Reach, ...]:
    """What a position of a map of `size` (height, width) sees by all these ways: reaches of one jump become one.

    Jump 0 is that of a 1 x 1 map spread over a larger one: it does not move with the position. On an axis with one
    position the jump does not matter. Reaches of other jumps, whose positions do not match, stay apart.
    """
    jump = widest(reaches).jump
    joined: dict[Pair, Reach] = {}
    for reach in reaches:
        key = pair(jump[axis] if size[axis] == 1 else reach.jump[axis] for axis in range(2))
        other = joined.get(key, reach)
        joined[key] = Reach(key, pair(map(min, reach.low, other.low)), pair(map(max, reach.high, other.high)))
    return tuple(joined.values())


def widest(reaches: Sequence[Reach]) -> Reach:
    """One reach for a row: largest jump and widest field on each axis. Away from the borders that field holds the others."""
    jump = pair(max(reach.jump[axis] for reach in reaches) for axis in range(2))
    size = pair(max(reach.size[axis] for reach in reaches) for axis in range(2))
    return Reach(jump, low=(1, 1), high=size)


Number = TypeVar("Number", int, float)


def plain(size: tuple[Number, Number]) -> Number | tuple[Number, Number]:
    """One number where height and width agree."""
    return size[0] if size[0] == size[1] else size


def row(
    operation: str, before: Shape, after: Shape, window: Window | None, counts: Pair, reach: tuple[Reach | Seen, Reach | Seen]
) -> Row:
    """A row from a layer's window, its `counts` (parameters, multiply-accumulates), and the reach before and after it."""
    parts = (window.kernel, window.padding, window.stride) if window else ()
    kernel, padding, stride = map(plain, parts) if window else (None, None, None)
    return Row(
        operation, before, after, kernel, padding, stride, *counts,
        plain(reach[0].jump), plain(reach[1].jump), plain(reach[0].size), plain(reach[1].size),
    )  # fmt: skip


def over(field: Sequence[Reach], shape: Shape, size: Pair) -> list[Reach]:
    """The reaches of a map of `shape` when spread over one of `size`; flat features see what all positions they came from see."""
    if len(shape) == 1:
        return [reach.through_all() for reach in field]
    moves = [mine == whole for mine, whole in zip(shape[1:], size, strict=True)]
    return [replace(reach, jump=(reach.jump[0] * moves[0], reach.jump[1] * moves[1])) for reach in field]


def anatomy(network: Network) -> list[Row]:
    """One row per layer, in order; norm, activation and bias belong to the row of their layer. Of the inputs of a join the
    largest is shown."""
    rows: list[Row] = []
    shapes = network.shapes()
    fields: list[tuple[Reach, ...]] = [(Reach(),)]
    for number, (layer, before, after) in enumerate(zip(network.layers, shapes, shapes[1:], strict=False)):
        field, window = fields[-1], layer.window(before)
        if isinstance(layer, Join):
            source = (shapes[number - layer.layers], fields[number - layer.layers])
            branches = [source] if forks(layer) else [_as_map((before, field), source[0]), source]
            following = source[1] if forks(layer) else _joined(branches, _size(after))
            before, field = max(branches, key=lambda branch: (prod(branch[0]), widest(branch[1]).size))
        else:
            following = field if isinstance(layer, Pointwise) else _pass(field, before, after, window)
        counts = layer.parameters(before), layer.macs(before, after)
        rows.append(row(layer.operation, before, after, window, counts, (widest(field), widest(following))))
        fields.append(following)
    return rows


def _size(shape: Shape) -> Pair:
    return (shape[1], shape[2]) if len(shape) == 3 else (1, 1)


Way = tuple[Shape, tuple[Reach, ...]]
"""What enters a join: its shape and field."""


def _as_map(way: Way, beside: Shape) -> Way:
    """One number a channel as a map of 1 x 1, where what is beside it is a map."""
    shape, field = way
    return way if len(shape) == len(beside) else ((*shape, 1, 1), tuple(over(field, shape, (1, 1))))


def _joined(branches: Sequence[Way], size: Pair) -> tuple[Reach, ...]:
    """The field of a join of these branches, spread over a map of `size`."""
    return union([reach for shape, field in branches for reach in over(field, shape, size)], size)


def _pass(field: tuple[Reach, ...], before: Shape, after: Shape, window: Window | None) -> tuple[Reach, ...]:
    """The field after a layer of one input: seen through its window, or without one flattened, or mixed where it is flat."""
    if window:
        return union([reach.through(window) for reach in field], _size(after))
    if len(before) == 1:
        return union(over(field, before, (1, 1)), (1, 1))
    if len(after) == 1:
        return tuple(replace(reach, spread=(before[1], before[2])) for reach in field)
    return field


class Then(NamedTuple):
    """What follows in a layer's own row: its norm and how many of the row's parameters are that norm's, its activation, and the
    share of activations that the recipe drops."""

    norm: str | None = None
    norm_parameters: int = 0
    activation: str | None = None
    dropout: float = 0.0


def then(network: Network, dropout: float = 0.0) -> list[Then]:
    """What follows each layer under a recipe with this dropout."""
    shapes = network.shapes()[1:]
    return [
        Then(
            norm=norm,
            norm_parameters=2 * after[0] if norm else 0,
            activation=getattr(layer, "activation", None),
            dropout=dropout if network.drops_after(number) else 0.0,
        )
        for number, (layer, after) in enumerate(zip(network.layers, shapes, strict=True))
        for norm in [getattr(layer, "norm", None)]
    ]


def to_data(rows: Sequence[Row], then: Sequence[Then] = ()) -> dict[str, Any]:
    """`parameters`, `macs` and `layers` as JSON-ready data; of each layer also what follows in it, where that is known."""
    return {
        "parameters": sum(row.parameters for row in rows),
        "macs": sum(row.macs for row in rows),
        "layers": [asdict(row) | after._asdict() for row, after in zip(rows, then or [Then()] * len(rows), strict=True)],
    }
