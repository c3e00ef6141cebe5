"""Sliding windows: how many places they have, and what they are to each axis."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from stepladder.spec.check import SpecError, UserError

Pair = tuple[int, int]
"""Height and width."""


@dataclass(frozen=True)
class Window:
    """A sliding window, as (height, width); `kernel` of (1, 1) sees one value at a time."""

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)

    @staticmethod
    def square(kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> "Window":
        """The same on both axes."""
        return Window((kernel, kernel), (stride, stride), (padding, padding), (dilation, dilation))

    @staticmethod
    def adaptive(before: Pair, after: Pair) -> "Window":
        """The window of a pooling with so many outputs; raises UserError where its windows are not all alike."""
        kernel, stride = zip(*map(_even, before, after), strict=True)
        return Window(pair(kernel), pair(stride))

    def places(self, size: Pair) -> Pair:
        """In how many places of an image of `size` it fits (floor division, as torch does); raises SpecError for none."""
        axes = list(zip(size, self.kernel, self.stride, self.padding, self.dilation, strict=True))
        height, width = (
            (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1 for side, kernel, stride, padding, dilation in axes
        )
        if height < 1 or width < 1:
            apart = f" whose taps are {self.dilation[0]} apart" if max(self.dilation) > 1 else ""
            raise SpecError(
                f"its {self.kernel[0]} x {self.kernel[1]} window{apart} is larger than its input, {size[0]} x {size[1]} "
                f"padded by {self.padding[0]}"
            )
        return height, width


def pair(values: Iterable[int]) -> Pair:
    """Two values as a pair."""
    height, width = values
    return height, width


def _even(before: int, after: int) -> Pair:
    """Size and stride of adaptive pooling's windows along one axis (the ones that torch takes); stride 1 if there is one."""
    starts = [number * before // after for number in range(after)]
    sizes = {-(-(number + 1) * before // after) - start for number, start in enumerate(starts)}
    strides = {right - left for left, right in pairwise(starts)} or {1}
    if len(sizes) > 1 or len(strides) > 1:
        raise UserError(
            f"has windows that are not all alike, {before} to {after}, expected an output of 1 or one that divides {before}"
        )
    return sizes.pop(), strides.pop()
