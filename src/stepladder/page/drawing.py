"""A network as a drawing: a box for each row of its layer table, high and wide as its maps, and deeper with more channels."""

import math
from collections.abc import Sequence
from textwrap import wrap
from typing import Any, NamedTuple

from stepladder import networks
from stepladder.networks import Module
from stepladder.page import words
from stepladder.spec import Join
from stepladder.spec.layers import forks
from stepladder.steps import Step

MOST = 96
"""More rows than these are left to the table."""
COLUMNS = 12
"""Boxes beside one another."""
CELL = 98
"""The width of a box's place."""
SIDE, MIDDLE, FIRST = 46, 38, 78
"""The longest side of a box, how far down its middle is, and its first line of text."""
LETTERS = 18
"""So many of them are as wide as a place."""

Shape = Sequence[int]


class Box(NamedTuple):
    """A row: where its place begins, the box's front (x, y, width, height) and depth (all 0 where it cannot be drawn), which of the
    page's colours it has, and its lines of text with how far down each is."""

    x: int
    y: int
    front: tuple[float, float, float, float]
    depth: float
    kind: str
    lines: list[tuple[int, str]]


class Field(NamedTuple):
    """The receptive field of a row: its name, its size in words, and where it lies on the image, in percent of that from the left
    and the top, with its width and height, when its output is in the middle."""

    name: str
    size: str
    place: tuple[float, float, float, float]


class Drawing(NamedTuple):
    """The boxes, the size of the whole, and the same in words."""

    boxes: list[Box]
    width: int
    height: int
    text: str


def drawing(step: Step, data: dict[str, Any]) -> Drawing | None:
    """The drawing of a step's network, from its layer table; None where it has too many rows."""
    layers = data["layers"]
    if len(layers) > MOST:
        return None
    told = [_lines(layer, after, joined) for layer, after, joined in zip(layers, *_told(step), strict=True)]
    image = step.network.input
    side = max(image[1:])
    cells = [(image, "image", ["image", _shape(image)])]
    cells += [(layer["output"], _kind(layer), lines) for layer, lines in zip(layers, told, strict=True)]
    texts = [[piece for line in lines for piece in wrap(line, LETTERS)] for _, _, lines in cells]
    tall = FIRST + 11 * max(map(len, texts)) + 6
    boxes = [
        _box(place, tall, shape, kind, lines, side)
        for place, ((shape, kind, _), lines) in enumerate(zip(cells, texts, strict=True))
    ]
    text = "; ".join(f"{number} {', '.join(lines)}" if number else ", ".join(lines) for number, (_, _, lines) in enumerate(cells))
    return Drawing(boxes, CELL * min(len(boxes), COLUMNS), tall * -(-len(boxes) // COLUMNS), text)


def fields(step: Step, data: dict[str, Any]) -> list[Field]:
    """The receptive field of each row that sees a part of the image."""
    _, height, width = step.network.input
    found = []
    for number, layer in enumerate(data["layers"], start=1):
        seen = layer["rf_out"]
        down, along = (seen, seen) if isinstance(seen, int) else seen
        if down and along:
            share = (100 * along / width, 100 * down / height)
            left, top, *sides = (round(each, 2) for each in (50 - share[0] / 2, 50 - share[1] / 2, *share))
            place = (left, top, sides[0], sides[1])
            more = ", more than the image has" if down > height or along > width else ""
            found.append(Field(f"{number} {layer['operation']}", f"{_shape([down, along])} pixels{more}", place))
    return found


def _told(step: Step) -> tuple[list[networks.Then], list[str]]:
    """What follows in each row, and for joins what they join; not of a module with branches, which are no rows of its own."""
    then, found = networks.then(step.network, step.recipe.dropout), networks.layers(step.network)
    joined = [""] * len(then)
    if found and not (isinstance(step.network, Module) and any(forks(layer) for layer in found.layers)):
        for number, layer in enumerate(found.layers, start=1):
            if isinstance(layer, Join):
                joined[number - 1] = f"with what entered {number - layer.layers}"
    return then, joined


def _lines(layer: dict[str, Any], then: networks.Then, joined: str) -> list[str]:
    """What is written below a box."""
    kernel, stride = layer["kernel"], layer["stride"]
    window = "" if kernel is None else f" {_shape([kernel] * 2 if isinstance(kernel, int) else kernel)}"
    if layer["operation"] == "global average pool":  # whose window is all there is
        window, stride = "", 1
    apart = f", stride {stride}" if stride not in (None, 1) and not isinstance(stride, list | tuple) else ""
    lines = [f"{layer['operation']}{window}{apart}", _shape(layer["output"]), joined, *words.then(then)]
    norm = then.norm_parameters
    own = layer["parameters"] - norm
    lines.append(f"{own:,} + {norm:,} parameters" if norm else f"{own:,} parameters" if own else "")
    return [line for line in lines if line]


def _shape(shape: Shape) -> str:
    return " \N{MULTIPLICATION SIGN} ".join(map(str, shape))


def _kind(layer: dict[str, Any]) -> str:
    return "layer" if layer["parameters"] else "plain"


def _box(place: int, tall: int, shape: Shape, kind: str, lines: list[str], side: int) -> Box:
    x, y = CELL * (place % COLUMNS), tall * (place // COLUMNS)
    if len(shape) == 3:
        depth = 2 + 2.6 * math.log2(shape[0] + 1)
        height, width = (max(3.0, SIDE * min(each / side, 1.0)) for each in shape[1:])
    elif len(shape) == 1:
        depth, width, height = 0.0, 6.0, 8 + 5 * math.log2(shape[0] + 1)
    else:
        depth = width = height = 0.0
    left, top = round(x + (CELL - width - depth) / 2, 1), round(y + MIDDLE - (height - depth) / 2, 1)
    front = (left, top, round(width, 1), round(height, 1))
    return Box(x, y, front, round(depth, 1), kind, [(y + FIRST + 11 * row, text) for row, text in enumerate(lines)])
