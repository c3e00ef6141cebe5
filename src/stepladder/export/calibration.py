"""How numbers become whole numbers of 8 bits: weights channel by channel, activations by their range over training images."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepladder.inference.operation import IMAGE, Floats, Program
from stepladder.inference.reference import normalised, values

IMAGES = 1_000
"""So many training images, the first, show how large an activation gets."""


class Range(NamedTuple):
    """Activations as whole numbers from 0 to 255: (whole - zero) * step."""

    step: float
    zero: int


def ranges(program: Program, images: NDArray[np.uint8]) -> dict[int, Range]:
    """Of the image (IMAGE) and of what each operation makes, by its number: the smallest and largest value over images."""
    low, high = dict[int, float](), dict[int, float]()
    for part in np.array_split(images[:IMAGES], max(1, len(images[:IMAGES]) // 100)):
        made = {IMAGE: normalised(program, part)} | dict(enumerate(values(program, part)))
        for number, value in made.items():
            low[number] = min(low.get(number, 0.0), float(value.min()))
            high[number] = max(high.get(number, 0.0), float(value.max()))
    return {number: _range(low[number], high[number]) for number in low}


def scaled(weight: Floats) -> tuple[Floats, NDArray[np.int8]]:
    """The step of each output channel, and its weights as whole numbers of such steps, from -127 to 127."""
    largest = np.abs(weight).reshape(len(weight), -1).max(1)
    steps = np.where(largest > 0, largest / np.float32(127), np.float32(1)).astype(np.float32)
    whole = np.rint(weight / steps.reshape(-1, *[1] * (weight.ndim - 1)))
    return steps, np.clip(whole, -127, 127).astype(np.int8)


def _range(low: float, high: float) -> Range:
    """That holds both and 0, exactly: it is what images are padded with, and where ReLU ends."""
    step = float(np.float32((high - low) / 255)) or 1.0
    return Range(step, round(-low / step))
