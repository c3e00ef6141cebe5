"""Networks as values: layers in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from stepladder.spec.check import SpecError, whole
from stepladder.spec.layers import Join, Layer, Shape, text


@dataclass(frozen=True)
class Network:
    """An architecture: layers applied in order to images of `input` (channels, height, width), ending in one number a class."""

    layers: Sequence[Layer]
    input: tuple[int, int, int] = (1, 28, 28)
    classes: int = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "input", tuple(self.input))
        whole(self, "classes", least=2)
        if len(self.input) != 3 or any(type(side) is not int or side < 1 for side in self.input):
            raise SpecError(f"Network: input is {self.input!r}, expected three whole numbers: channels, height, width")
        if not self.layers:
            raise SpecError("Network: it has no layers")
        if (final := self.shapes()[-1]) != (self.classes,):
            raise SpecError(
                f"layer {len(self.layers)}, {self.layers[-1]}: the network ends in {text(final)} "
                f"numbers, expected one for each of {self.classes} classes"
            )

    def shapes(self) -> list[Shape]:
        """The shape before the first layer and after each: one more than there are layers."""
        shapes: list[Shape] = [self.input]
        for number, layer in enumerate(self.layers, start=1):
            if not isinstance(layer, Layer):
                names = ", ".join(kind.__name__ for kind in get_args(Layer))
                raise SpecError(f"layer {number} is {layer!r}, expected one of {names}")
            try:
                if not isinstance(layer, Join):
                    shapes.append(layer.output(shapes[-1]))
                elif layer.layers < number:
                    shapes.append(layer.join(shapes[-1], shapes[-1 - layer.layers]))
                else:
                    raise SpecError(f"it reaches back over {layer.layers} layers, expected at most the {number - 1} before it")
            except SpecError as error:
                raise SpecError(f"layer {number}, {layer}: {error}") from None
        return shapes

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(layer.parameters(shape) for layer, shape in zip(self.layers, self.shapes(), strict=False))
