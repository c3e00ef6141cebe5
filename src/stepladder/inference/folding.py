"""Operations made fewer: norms become part of the convolution or linear layer beside them, functions the end of what they
follow."""

from collections import Counter
from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from stepladder.inference.operation import IMAGE, Floats, Operation, arrays

Doubles = NDArray[np.float64]

ENDS = frozenset(["conv", "linear", "add", "affine", "group_norm"])
"""Kinds that a function is made the end of."""


def folded(operations: Sequence[Operation], end: int, values: bool = True) -> tuple[Operation, ...]:
    """What computes the same as operation `end`, and nothing else.

    A scale and shift goes into the convolution or linear layer before it, else into the one after it, unless that pads: its
    zeros would be shifted too. Without `values` weights keep their shapes alone.
    """
    found = list(operations)
    uses = Counter(number for operation in _needed(found, end) for number in found[operation].inputs) + Counter([end])
    for number, operation in enumerate(found):
        own = operation.inputs[-1]
        if own != IMAGE and uses[own] == 1:  # what is folded stands in the later's place; the earlier is needed no more
            found[number] = _after(found[own], operation, values) or _before(found[own], operation, values) or operation
    kept = sorted(_needed(found, end))
    places = {IMAGE: IMAGE} | {number: place for place, number in enumerate(kept)}
    return tuple(found[number]._replace(inputs=tuple(places[own] for own in found[number].inputs)) for number in kept)


def _needed(operations: Sequence[Operation], end: int) -> set[int]:
    needed, left = set[int](), [end]
    while left:
        number = left.pop()
        if number != IMAGE and number not in needed:
            needed.add(number)
            left += operations[number].inputs
    return needed


def _after(earlier: Operation, operation: Operation, values: bool) -> Operation | None:
    """The earlier operation, with one that follows it at its end; None where it cannot have it."""
    if earlier.function or len(operation.inputs) > 1:
        return None
    if operation.kind == "function" and operation.weight is None and earlier.kind in ENDS and not _has_epsilon(earlier, operation):
        return earlier._replace(function=operation.function, parameter=operation.parameter or earlier.parameter)
    if operation.kind == "affine" and earlier.kind in ("conv", "linear"):
        if len(arrays(operation)[0]) != len(arrays(earlier)[0]):  # it scales places of a map made flat
            return None
        if values:
            (scale, shift), (weight, bias) = _doubles(operation), _doubles(earlier)
            wider = scale.reshape(-1, *[1] * (weight.ndim - 1))
            return earlier._replace(weight=_single(weight * wider), bias=_single(bias * scale + shift))
        return earlier
    return None


def _has_epsilon(earlier: Operation, operation: Operation) -> bool:
    """Whether both need the one parameter that an operation has."""
    return bool(earlier.parameter and operation.parameter)


def _before(earlier: Operation, operation: Operation, values: bool) -> Operation | None:
    """An operation with the scale and shift of the earlier one, which it takes, in its weights; None where it cannot have them."""
    if earlier.kind != "affine" or earlier.function or operation.kind not in ("conv", "linear"):
        return None
    if operation.window and operation.window.padding != (0, 0):
        return None
    if not values:
        return operation._replace(inputs=earlier.inputs)
    (scale, shift), (weight, bias), groups = _doubles(earlier), _doubles(operation), operation.groups
    if operation.kind == "linear":  # of a map made flat
        scale, shift = (np.repeat(each, prod(operation.before) // len(scale)) for each in (scale, shift))
    taps = weight.reshape(groups, len(weight) // groups, len(scale) // groups, -1)
    scales, shifts = (each.reshape(groups, 1, -1, 1) for each in (scale, shift))
    return operation._replace(
        inputs=earlier.inputs,
        weight=_single((taps * scales).reshape(weight.shape)),
        bias=_single(bias + (taps * shifts).sum((2, 3)).ravel()),
    )


def _doubles(operation: Operation) -> tuple[Doubles, Doubles]:
    weight, bias = arrays(operation)
    return weight.astype(np.float64), bias.astype(np.float64)


def _single(array: Doubles) -> Floats:
    return array.astype(np.float32)
