"""Layers as a graph, and the list that the layer language writes it as."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from torch import Tensor

from stepladder.spec import Join, Layer, Shape
from stepladder.spec.layers import (
    AvgPool,
    BatchNorm,
    Branch,
    Conv,
    Excite,
    Flatten,
    GlobalAvgPool,
    Linear,
    Multiply,
    ReLU,
    Residual,
    Sigmoid,
)

IMAGES = -1
"""The node that stands for what enters the network."""


@dataclass(frozen=True)
class Node:
    """A layer, the nodes it takes (of a join first what is joined, then its own input), its tensors in the order of a state dict,
    and the shape after it. How far a join reaches back is worked out when all are in a list."""

    layer: Layer
    inputs: tuple[int, ...]
    tensors: tuple[Tensor, ...]
    shape: Shape


def needed(nodes: Sequence[Node], end: int) -> list[int]:
    """The nodes that the one at the end depends on, in order."""
    found, todo = set[int](), [end]
    while todo:
        if (number := todo.pop()) not in found and number != IMAGES:
            found.add(number)
            todo += nodes[number].inputs
    return sorted(found)


def merged(nodes: Sequence[Node], end: int, input: Shape) -> list[Node]:
    """The nodes that are needed, the end last, with norm and activation in the layer they follow, where nothing else takes what is
    between; `input` is the shape of the images."""
    kept = needed(nodes, end)
    uses = Counter(number for node in (nodes[number] for number in kept) for number in {*node.inputs})
    places, made = {IMAGES: IMAGES}, list[Node | None]()
    for number in kept:
        node = nodes[number]
        own = node.inputs[-1]
        before = made[places[own]] if own != IMAGES and uses[own] == 1 else None
        if before is not None and (one := _one(before, node, _entering(made, before, input))):
            made[places[own]] = None
            inputs = (*(places[each] for each in node.inputs[:-1]), *before.inputs)
            made.append(Node(one, inputs, (*before.tensors, *node.tensors), node.shape))
        else:
            made.append(replace(node, inputs=tuple(places[each] for each in node.inputs)))
        places[number] = len(made) - 1
    return _without_gaps(made)


def _entering(made: Sequence[Node | None], node: Node, input: Shape) -> Shape:
    """The shape of what a node takes."""
    before = None if node.inputs[-1] == IMAGES else made[node.inputs[-1]]
    return before.shape if before else input


def _without_gaps(made: Sequence[Node | None]) -> list[Node]:
    left = [number for number, node in enumerate(made) if node]
    places = {IMAGES: IMAGES} | {number: place for place, number in enumerate(left)}
    return [replace(node, inputs=tuple(places[each] for each in node.inputs)) for node in made if node]


def _one(before: Node, after: Node, entering: Shape) -> Layer | None:
    """The layer that does what two in a row do, on what has the shape `entering`."""
    match before.layer, after.layer:
        case (Conv(norm=None, activation=None), BatchNorm()) if after.layer == BatchNorm():
            return replace(before.layer, norm="batch")
        case (Conv(activation=None) | Linear(activation=None) | Residual(activation=None), ReLU()):
            return replace(before.layer, activation="relu")
        case (AvgPool(padding=0), Flatten()) if entering[1:] == (before.layer.kernel, before.layer.kernel):
            return GlobalAvgPool()
        case (Sigmoid(), Multiply()) if len(after.shape) == 3 and prod(before.shape) == after.shape[0]:
            return Excite(2)
    return None


def in_order(nodes: Sequence[Node]) -> tuple[list[Layer], list[Tensor]]:
    """The layers in a list, with branches where one goes on from anything but the layer before it, and their tensors in order."""
    layers, tensors = list[Layer](), list[Tensor]()
    after = {IMAGES: 0}  # how many layers there are up to each node
    now = IMAGES
    for number, node in enumerate(nodes):
        *joined, own = node.inputs
        if joined and joined[0] == now and isinstance(node.layer, Residual):
            joined, own = [own], now  # a sum may be taken in either order
        if own != now:
            layers.append(Branch(len(layers) - after[own]))
        layer = replace(node.layer, layers=len(layers) - after[joined[0]]) if isinstance(node.layer, Join) else node.layer
        layers.append(layer)
        tensors += node.tensors
        after[number], now = len(layers), number
    return layers, tensors
