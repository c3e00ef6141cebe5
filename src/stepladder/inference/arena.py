"""Where the values of a program lie in one arena."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from stepladder.inference.operation import IMAGE
from stepladder.inference.steps import Step

IN_PLACE = ("function", "add", "multiply", "scale", "group_norm")
"""Steps that read each number before they write in its place."""


class Arena(NamedTuple):
    """Places, counted in numbers."""

    size: int
    values: dict[int, int]
    """Where each value that is kept lies; the last one does not: it is what is answered."""
    patches: dict[int, int]
    """Where the step gathers what a window sees."""


class _Block(NamedTuple):
    size: int
    first: int
    last: int
    values: tuple[int, ...]  # those that lie there one after the other
    patch: bool = False


def arena(steps: Sequence[Step], kept: bool = False) -> Arena:
    """The smallest of a few plans: each block, largest or earliest first, goes to the lowest place that is free throughout its
    life. `kept` gives the last value a place too."""
    blocks = _blocks(steps, kept)
    orders: list[Callable[[_Block], tuple[int, ...]]] = [
        lambda block: (-block.size, block.first),
        lambda block: (block.first, -block.size),
        lambda block: (-block.size * (block.last - block.first + 1), block.first),
    ]
    plans = [_placed(sorted(blocks, key=order)) for order in orders]
    places = min(plans, key=lambda plan: max((place + block.size for block, place in plan), default=0))
    return Arena(
        max((place + block.size for block, place in places), default=1),
        {value: place for block, place in places if not block.patch for value in block.values},
        {block.first: place for block, place in places if block.patch},
    )


def peak(steps: Sequence[Step], kept: bool = False) -> int:
    """How many numbers are held at the fullest moment: no plan can do with less."""
    blocks = _blocks(steps, kept)
    return max((sum(block.size for block in blocks if block.first <= now <= block.last) for now in range(len(steps))), default=0)


def _blocks(steps: Sequence[Step], kept: bool) -> list[_Block]:
    last = {value: number for number, step in enumerate(steps) for value in step.inputs}
    values: list[_Block] = []
    for number, step in enumerate(steps):
        if number == len(steps) - 1 and not kept:
            break
        block = _Block(step.size, number, last.get(number, len(steps)), (number,))
        freed = [value for value in step.inputs if step.kind in IN_PLACE and value != IMAGE and last[value] == number]
        fits = [own for own in values if own.values[-1] in freed and own.size == step.size]
        if fits:
            values.remove(fits[0])
            block = _Block(step.size, fits[0].first, block.last, (*fits[0].values, number))
        values.append(block)
    return values + [_Block(step.patch, number, number, (), True) for number, step in enumerate(steps) if step.patch]


def _placed(blocks: Sequence[_Block]) -> list[tuple[_Block, int]]:
    placed: list[tuple[_Block, int]] = []
    for block in blocks:
        beside = sorted((place, place + other.size) for other, place in placed if _meet(block, other))
        start = 0
        for begin, end in beside:
            if start + block.size <= begin:
                break
            start = max(start, end)
        placed.append((block, start))
    return placed


def _meet(one: _Block, other: _Block) -> bool:
    return one.first <= other.last and other.first <= one.last
