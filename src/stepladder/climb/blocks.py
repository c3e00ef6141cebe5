"""Parts of a network that are moved, copied or left out as one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from stepladder.climb.widths import depthwise
from stepladder.spec import Join, Layer, Network, Shape, SpecError
from stepladder.spec.layers import AvgPool, BlurPool, Conv, Excite, GroupNorm, Linear, MaxPool, Multiply, Pointwise


class Block(NamedTuple):
    """Layers `start` up to, but not including, `stop`: a convolution and what belongs to it.

    That are norms, activations and dropout; after a depthwise convolution the 1 x 1 convolution; and all that a join goes back
    over, so that no join outside it goes back into it.
    """

    start: int
    stop: int


def hidden(network: Network) -> list[Block]:
    """The blocks before the layer that gives the classes."""
    last = max((number for number, layer in enumerate(network.layers) if isinstance(layer, Conv | Linear)), default=0)
    return [block for block in _blocks(network) if block.stop <= last]


def stages(network: Network) -> list[list[Block]]:
    """The hidden blocks of each size of image, from the largest on; a block that makes images smaller is among the smaller."""
    strides = [stride(layer) > 1 for layer in network.layers]
    found: dict[int, list[Block]] = {}
    for block in hidden(network):
        found.setdefault(sum(strides[: block.stop]), []).append(block)
    return list(found.values())


def pools(network: Network) -> list[int]:
    """The numbers of the poolings that make images smaller, but for one that leaves a single place."""
    shapes = network.shapes()
    return [
        number
        for number, layer in enumerate(network.layers)
        if isinstance(layer, MaxPool | AvgPool | BlurPool) and stride(layer) > 1 and shapes[number + 1][1:] != (1, 1)
    ]


def stride(layer: Layer) -> int:
    """How many input pixels lie between the outputs of a layer."""
    match layer:
        case MaxPool() | AvgPool():
            return layer.step
        case Conv() | BlurPool():
            return layer.stride
    return 1


def replaced(network: Network, start: int, stop: int, layers: Sequence[Layer]) -> Network | None:
    """The network with other layers in the place of those from `start` to `stop`; None where that is no network.

    Joins after them go back to where they went, and what has its input's channels has as many as now enter (`fed`).
    """
    shift = len(layers) - (stop - start)
    after = list[Layer]()
    try:
        for number, layer in enumerate(network.layers[stop:], start=stop):
            source = number - layer.layers if isinstance(layer, Join) else number
            if start < source < stop:
                return None
            back = source < stop or source == start < stop
            after.append(replace(layer, layers=layer.layers + shift) if isinstance(layer, Join) and back else layer)
        before = network.shapes()
        shapes = before[: start + 1]
        for layer in layers:
            shapes.append(_after(layer, shapes))
        return Network([*network.layers[:start], *layers, *fed(after, before[stop:], shapes)], network.input, network.classes)
    except SpecError:
        return None


def repeated(network: Network, block: Block) -> Network | None:
    """The network with a copy of a block after it, padded so that it keeps what the block makes; None where it cannot."""
    shapes = network.shapes()
    inner, before = padded(network.layers[block.start : block.stop]), shapes[block.start : block.stop]
    try:
        copy = fed(inner, before, shapes[: block.stop + 1])
    except SpecError:  # a window that is larger than what the block makes
        return None
    made = replaced(network, block.stop, block.stop, copy)
    return made if made is not None and made.shapes()[block.stop + len(copy)] == shapes[block.stop] else None


def padded(layers: Sequence[Layer]) -> list[Layer]:
    """The layers, with convolutions that keep the size of an image (those of an odd kernel do)."""
    return [
        replace(layer, stride=1, padding=(layer.kernel - 1) * layer.dilation // 2) if isinstance(layer, Conv) else layer
        for layer in layers
    ]


def fed(layers: Sequence[Layer], before: Sequence[Shape], shapes: list[Shape]) -> list[Layer]:
    """The layers, each of which had a shape of `before` as its input, as they follow those between `shapes`, which become longer:
    depthwise convolutions, norms of each channel, and what scales channels, have as many as there are now."""
    found = list[Layer]()
    for layer, old, after in zip(layers, before, [*layers[1:], None], strict=False):
        into = shapes[-1][0]
        match layer:
            case Conv() if depthwise(layer, old):
                layer = replace(layer, channels=layer.channels // old[0] * into, groups=into)
            case GroupNorm() if layer.groups == old[0]:
                layer = replace(layer, groups=into)
            case Linear() if isinstance(after, Excite):
                layer = replace(layer, features=shapes[-after.layers][0])
        found.append(layer)
        shapes.append(_after(layer, shapes))
    return found


def _after(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    """The shape after a layer that follows those between `shapes`; raises SpecError where it does not fit."""
    return layer.join(shapes[-1], shapes[-1 - layer.layers]) if isinstance(layer, Join) else layer.output(shapes[-1])


def _blocks(network: Network) -> list[Block]:
    """All blocks, in order."""
    layers, shapes = network.layers, network.shapes()
    sources = {number - layer.layers for number, layer in enumerate(layers) if isinstance(layer, Join)}
    spans = []
    for number, layer in enumerate(layers):
        if isinstance(layer, Conv):
            separable = depthwise(layer, shapes[number]) and _pointwise(layers[number + 1 : number + 2])
            spans.append((number, number + 1 + separable))
        if isinstance(layer, Join):
            first = number - layer.layers - isinstance(layer, Excite | Multiply)  # what makes the channels that it scales
            spans.append((max(first, 0), number + 1))
    found: list[Block] = []
    for start, stop in sorted(spans):
        while stop < len(layers) and isinstance(layers[stop], Pointwise) and stop not in sources:
            stop += 1
        if found and start < found[-1].stop:
            found[-1] = Block(found[-1].start, max(stop, found[-1].stop))
        else:
            found.append(Block(start, stop))
    return [block for block in found if any(isinstance(layer, Conv) for layer in layers[block.start : block.stop])]


def _pointwise(layers: Sequence[Layer]) -> bool:
    """Whether these begin with a plain 1 x 1 convolution."""
    return any(isinstance(layer, Conv) and (layer.kernel, layer.groups, layer.stride) == (1, 1, 1) for layer in layers[:1])
