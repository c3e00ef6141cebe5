"""The program in integers, in numpy: the same numbers as the C that is written of it."""

import numpy as np
from numpy.typing import NDArray

from stepladder.export.c.quantise import MIDDLE, IntegerProgram, Integers, Quantised
from stepladder.export.c.windows import convolved, seen
from stepladder.inference.operation import IMAGE


def run(program: IntegerProgram, images: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The scores (n, classes) of images (n, channels, height, width)."""
    found: dict[int, Integers] = {IMAGE: images.transpose(0, 2, 3, 1).astype(np.int64)}
    for number, step in enumerate(program.steps):
        found[number] = _value(step, [found[value] for value in step.step.inputs])
    last = found[len(program.steps) - 1]
    if not program.steps[-1].scores:
        last = last - program.last.zero
    return last.reshape(len(images), -1).astype(np.int32)


def _value(quantised: Quantised, inputs: list[Integers]) -> Integers:
    step, x = quantised.step, inputs[-1]
    by = quantised.multipliers if quantised.multipliers is not None else np.zeros(0, np.int64)
    zeros, to = quantised.zeros, quantised.to
    if quantised.scores == "mean":
        return np.asarray((x - zeros[0]).sum((1, 2), keepdims=True))
    match step.kind:
        case "image":
            return np.stack([to[c].of(x[..., c] * by[c]) for c in range(x.shape[3])], axis=3)
        case "conv":
            return _convolution(quantised, x)
        case "max_pool":
            return np.asarray(seen(x, step, -1).max((4, 5)))
        case "avg_pool":
            return to[0].of(seen(x - zeros[0], step, 0).sum((4, 5)) * by[0])
        case "add":
            return to[0].of(inputs[0] * by[0] + x * by[1])
        case "multiply":
            return to[0].of((inputs[0] - zeros[0]) * (x - zeros[1]) * by[0])
        case "scale":
            assert quantised.table is not None
            return to[0].of((inputs[0] - zeros[0]) * quantised.table[x] * by[0])
        case "concat":
            return np.concatenate([to[place].of(value * by[place]) for place, value in enumerate(inputs)], axis=3)
        case "flatten":
            return x.transpose(0, 3, 1, 2).reshape(len(x), 1, 1, -1)
    assert quantised.table is not None
    return quantised.table[x]


def _convolution(quantised: Quantised, x: Integers) -> Integers:
    """Sums in double precision, which holds every one of them exactly."""
    step, weight = quantised.step, quantised.weight
    assert weight is not None
    assert quantised.bias is not None
    assert quantised.multipliers is not None
    sums = convolved(x.astype(np.float64), weight.astype(np.float64), step, quantised.zeros[0])
    made = quantised.to[0].of((sums.astype(np.int64) + quantised.bias) * quantised.multipliers)
    return made - MIDDLE if quantised.scores else made
