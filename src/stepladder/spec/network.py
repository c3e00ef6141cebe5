"""Networks as values: layers in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import get_args

from stepladder.spec.check import SpecError, sequence, shown, whole
from stepladder.spec.layers import Convolution, Following, Join, Layer, Pooling, Shape, activated, normed, written

MOST_PARAMETERS = 2**31
MOST_VALUES = 2**26
"""So many numbers are trained at most, and so many hold what a layer makes of one image: more would not fit in memory."""


@dataclass(frozen=True)
class Network:
    """An architecture: layers applied in order to images of `input` (channels, height, width), ending in one number a class."""

    layers: Sequence[Layer]
    input: tuple[int, int, int] = (1, 28, 28)
    classes: int = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", sequence("Network", "layers", self.layers, "layers"))
        image = "three whole numbers: channels, height, width"
        object.__setattr__(self, "input", sequence("Network", "input", self.input, image))
        if len(self.input) != 3 or any(type(side) is not int or side < 1 for side in self.input):
            raise SpecError(f"Network: input is {shown(self.input)}, expected {image}")
        whole(self, "classes", least=2)
        if not self.layers:
            raise SpecError("Network: it has no layers")
        if (final := self.shapes()[-1]) != (self.classes,):
            raise SpecError(
                f"layer {len(self.layers)}, {self.layers[-1]}: the network ends in {written(final)} "
                f"numbers, expected one for each of {self.classes} classes"
            )
        if self.parameters > MOST_PARAMETERS:
            raise SpecError(f"Network: it has {self.parameters:,} parameters, expected at most {MOST_PARAMETERS:,}")

    def shapes(self) -> list[Shape]:
        """The shape before the first layer and after each: one more than there are layers."""
        if prod(self.input) > MOST_VALUES:
            raise SpecError(f"Network: input is {shown(self.input)}, expected at most {MOST_VALUES:,} numbers an image")
        shapes: list[Shape] = [self.input]
        for number, layer in enumerate(self.layers, start=1):
            if type(layer) not in get_args(Layer):
                names = ", ".join(kind.__name__ for kind in get_args(Layer))
                raise SpecError(f"layer {number} is {shown(layer)}, expected one of {names}")
            try:
                shapes.append(_after(layer, shapes))
            except SpecError as error:
                raise SpecError(f"layer {number}, {layer}: {error}") from None
        return shapes

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(layer.parameters(shape) for layer, shape in zip(self.layers, self.shapes(), strict=False))

    @property
    def point_norm(self) -> Layer | None:
        """The first layer whose batch norm sees one value of a channel in each image, which must not be trained on a batch of
        one image: a single value has no deviation. None where there is none."""
        for layer, shape in zip(self.layers, self.shapes()[1:], strict=True):
            if normed(layer) and prod(shape[1:]) == 1:
                return layer
        return None

    def drops_after(self, number: int) -> bool:
        """Whether dropout follows layer `number`, counted from 0: the last of an activated block (`_block_ends`)."""
        return number in _block_ends(self.layers)


def _after(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    """The shape after a layer that follows those between `shapes`; raises SpecError where it does not fit."""
    if not isinstance(layer, Join):
        after = layer.output(shapes[-1])
    elif layer.layers < len(shapes):
        after = layer.join(shapes[-1], shapes[-1 - layer.layers])
    else:
        raise SpecError(f"it reaches back over {layer.layers} layers, expected at most the {len(shapes) - 1} before it")
    if prod(after) > MOST_VALUES:
        raise SpecError(f"it makes {written(after)} numbers of an image, expected at most {MOST_VALUES:,}")
    return after


def _block_ends(layers: Sequence[Layer]) -> set[int]:
    """The last layer of each block that is activated: a convolution, the norms and activations directly after it, one
    pooling, and the norms and activations after that."""
    ends = set()
    for start, layer in enumerate(layers):
        if not isinstance(layer, Convolution):
            continue
        active, end, pooled = activated(layer), start, False
        for after in layers[start + 1 :]:
            if isinstance(after, Pooling) and not pooled:
                pooled = True
            elif not isinstance(after, Following):
                break
            active |= activated(after)
            end += 1
        if active:
            ends.add(end)
    return ends
