"""A program in integers: weights of 8 bits, values of 8 bits without a sign, sums of 32.

After Jacob et al. 2018 ("Quantization and training of neural networks for efficient integer-arithmetic-only inference"): a value is
scale * (q - zero), each output channel of a convolution has a scale of its own, and sums go to the next value's scale by a
multiplication and a shift. Scales come from the least and largest numbers seen in calibration images.
"""

from collections.abc import Mapping, Sequence
from math import frexp, prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepladder.export.calibration import Range, ranges
from stepladder.inference.operation import IMAGE, Operation, Program
from stepladder.inference.reference import applied
from stepladder.inference.steps import Step, check_integers, scored, steps, unfused
from stepladder.spec import UserError

MIDDLE = 2**23
"""What is added to a score while it is shifted, so that no negative number is."""

Integers = NDArray[np.int64]


class Scale(NamedTuple):
    """What q stands for: scale * (q - zero)."""

    scale: float
    zero: int
    exact: float = 0.0
    """`zero` before it was rounded."""


class Requantise(NamedTuple):
    """To a value's scale: (product + offset) >> shift, between least and most."""

    shift: int
    offset: int
    least: int = 0
    most: int = 255

    def of(self, products: Integers) -> Integers:
        """Integers on the new scale."""
        return np.asarray(np.clip(np.maximum(products + self.offset, 0) >> self.shift, self.least, self.most), np.int64)


class Quantised(NamedTuple):
    """A step in integers."""

    step: Step
    zeros: tuple[int, ...] = ()
    """What stands for 0 in each input."""
    weight: Integers | None = None
    bias: Integers | None = None
    multipliers: Integers | None = None
    """Of each output channel, or of each input."""
    to: tuple[Requantise, ...] = ()
    table: Integers | None = None
    scores: str = ""
    """How the last step makes scores: `conv` or `mean` of sums; "" of values."""


class IntegerProgram(NamedTuple):
    """A program in integers; an answer times `scale` is near the score of the program in floats."""

    steps: list[Quantised]
    scale: float
    last: Scale


def quantise(program: Program, images: NDArray[np.uint8]) -> IntegerProgram:
    """In integers, as calibrated on images (n, channels, height, width)."""
    program = unfused(program)
    found = steps(program, raw=True)
    check_integers(found)
    return _quantised(program, found, ranges(program, images))


def _quantised(program: Program, found: Sequence[Step], seen: Mapping[int, Range]) -> IntegerProgram:
    mean, std = np.asarray(program.mean), np.asarray(program.std)
    scales = {IMAGE: Scale(1 / (255 * std[0]), round(255 * mean[0]), 255 * mean[0])}  # the levels as they are
    made: list[Quantised] = []
    score = 0.0
    for number, step in enumerate(found):
        inputs = [scales[value] for value in step.inputs]
        own = _levels(mean, std) if step.kind == "image" else Scale(*seen[step.operation], seen[step.operation].zero)
        scales[number] = inputs[-1] if step.kind in ("max_pool", "flatten") else own
        scores = scored(step) if number == len(found) - 1 else ""
        if step.kind == "image":
            made.append(_image(step, own, mean, std))
        elif scores == "conv":
            score = own.scale * max(own.zero, 255 - own.zero) / 2**20
            made.append(_convolution(step, inputs[0], Scale(score, MIDDLE), 2 * MIDDLE - 1)._replace(scores=scores))
        elif scores == "mean":
            score = inputs[0].scale / prod(step.window.kernel)
            made.append(Quantised(step, (inputs[0].zero,), scores=scores))
        else:
            made.append(_step(step, inputs, scales[number]))
    last = scales[len(found) - 1]
    return IntegerProgram(made, score or last.scale, last)


def _levels(mean: NDArray[np.float64], std: NDArray[np.float64]) -> Scale:
    """That holds every level of every channel."""
    least, most = float((-mean / std).min()), float(((1 - mean) / std).max())
    scale = (most - least) / 255
    return Scale(scale, round(-least / scale), round(-least / scale))


def _image(step: Step, to: Scale, mean: NDArray[np.float64], std: NDArray[np.float64]) -> Quantised:
    multipliers, shift = _multipliers(1 / (255 * std * to.scale))
    offsets = [
        round(float(to.zero - middle / (deviation * to.scale)) * 2**shift) for middle, deviation in zip(mean, std, strict=True)
    ]
    return Quantised(step, multipliers=multipliers, to=tuple(Requantise(shift, offset + 2 ** (shift - 1)) for offset in offsets))


def _multipliers(ratios: NDArray[np.float64]) -> tuple[Integers, int]:
    """Each ratio as an integer of at most 31 bits, to be shifted right by one number of bits."""
    shift = min(46, 31 - frexp(float(abs(ratios).max()))[1])
    if shift < 1:
        raise UserError(f"its numbers span too wide a range for integers: a ratio of {abs(ratios).max():.3g}, expected below 2^30")
    multipliers = np.rint(ratios * 2.0**shift).astype(np.int64)
    return (np.minimum(multipliers, 2**31 - 1)), shift


def _to(scale: Scale, shift: int, least: int = 0, most: int = 255, less: int = 0) -> Requantise:
    """To a scale, by this shift; `less` is what zeros of inputs add to the products."""
    return Requantise(shift, (scale.zero << shift) + (1 << (shift - 1)) - less, least, most)


def _convolution(step: Step, own: Scale, to: Scale, most: int = 255) -> Quantised:
    """A convolution: the largest weight of each output channel is 127."""
    assert step.weight is not None
    assert step.bias is not None
    weight, bias = step.weight.astype(np.float64), step.bias.astype(np.float64)
    largest = abs(weight).reshape(len(weight), -1).max(1) / 127
    each = np.maximum(np.maximum(largest, abs(bias) / own.scale / 2**28), 1e-30)  # so that a bias never fills the sum
    whole = np.rint(weight / each[:, None, None, None]).astype(np.int64)
    total, size = whole.reshape(len(whole), -1).sum(1), abs(whole).reshape(len(whole), -1).sum(1)
    biases = np.rint(bias / (own.scale * each) - own.exact * total).astype(np.int64)
    if (bound := int((abs(biases) + 255 * size).max())) >= 2**31:
        raise UserError(f"a sum of {step.taps:,} products may reach {bound:,}, expected below 2^31: too many inputs for int8")
    multipliers, shift = _multipliers(own.scale * each / to.scale)
    least = to.zero if step.function == "relu" else 0
    return Quantised(step, (own.zero,), whole, biases, multipliers, (_to(to, shift, least, most),))


def _step(step: Step, inputs: Sequence[Scale], to: Scale) -> Quantised:
    zeros, own = tuple(scale.zero for scale in inputs), inputs[-1]
    ratios = np.array([scale.scale / to.scale for scale in inputs])
    match step.kind:
        case "conv":
            return _convolution(step, own, to)
        case "max_pool" | "flatten":
            return Quantised(step, zeros)
        case "avg_pool":
            multipliers, shift = _multipliers(ratios / (step.window.kernel[0] * step.window.kernel[1]))
            return Quantised(step, zeros, multipliers=multipliers, to=(_to(to, shift),))
        case "add":
            multipliers, shift = _multipliers(ratios)
            less = sum(int(by) * zero for by, zero in zip(multipliers, zeros, strict=True))
            least = to.zero if step.function == "relu" else 0
            return Quantised(step, zeros, multipliers=multipliers, to=(_to(to, shift, least, less=less),))
        case "concat":
            multipliers, shift = _multipliers(ratios)
            each = [_to(to, shift, less=int(by) * zero) for by, zero in zip(multipliers, zeros, strict=True)]
            return Quantised(step, zeros, multipliers=multipliers, to=tuple(each))
        case "multiply":
            multipliers, shift = _multipliers(ratios[:1] * own.scale)
            return Quantised(step, zeros, multipliers=multipliers, to=(_to(to, shift),))
        case "scale":
            table = np.rint(65535 / (1 + np.exp(-np.clip(_all(own), -80, 80)))).astype(np.int64)
            multipliers, shift = _multipliers(ratios[:1] / 65535)
            return Quantised(step, zeros, multipliers=multipliers, to=(_to(to, shift),), table=table)
        case "function":
            table = _table(step, own, to)
            return Quantised(step, zeros, table=table)
    raise UserError(f"a step of kind {step.kind} cannot be written in int8")


def _all(scale: Scale) -> NDArray[np.float64]:
    """What 0 to 255 stand for."""
    return np.asarray(scale.scale * (np.arange(256) - scale.exact), np.float64)


def _table(step: Step, own: Scale, to: Scale) -> Integers:
    """What a function makes of 0 to 255."""
    alone = Operation("function", (0,), (256,), (256,), step.weight, function=step.function, parameter=step.parameter)
    made = applied(alone, [_all(own).astype(np.float32)[None]])[0]
    return np.asarray(np.clip(np.floor(made / to.scale + to.zero + 0.5), 0, 255), np.int64)
