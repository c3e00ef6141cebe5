"""What a program in C takes, known from its shapes alone."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from stepladder.inference.arena import arena
from stepladder.inference.operation import Program
from stepladder.inference.program import planned as program
from stepladder.inference.steps import Step, check_integers, scored, steps, unfused
from stepladder.spec import Network


class Figures(NamedTuple):
    """Of one image."""

    arena_bytes: int
    """Memory, of the most values that are held at a time."""
    weight_bytes: int
    """Constant numbers: weights, biases, what brings sums of integers to 8 bits, tables. Code comes to it, 2 to 4 kB."""
    multiply_adds: int
    """Multiplications by a weight."""


def figures(program: Program, int8: bool) -> Figures:
    """What a program takes."""
    found = steps(unfused(program), raw=int8)
    place = 1 if int8 else 4
    stored = sum(_integers(step) if int8 else _floats(step) for step in found)
    return Figures(place * arena(found, int8 and not scored(found[-1])).size, stored, macs(found))


@lru_cache(1024)
def planned(network: Network) -> Figures:
    """What a network will take in integers, trained or not; raises UserError for what cannot be written in them."""
    found = program(network)
    check_integers(steps(unfused(found), raw=True))
    return figures(found, int8=True)


def macs(found: Sequence[Step]) -> int:
    """Multiplications by a weight, for one image."""
    return sum(step.macs for step in found)


def _floats(step: Step) -> int:
    """Bytes."""
    numbers = sum(each.size for each in (step.weight, step.bias) if each is not None)
    return 4 * (numbers + (2 * step.shape[2] if step.kind == "image" else 0))


def _integers(step: Step) -> int:
    """Bytes: of a convolution a bias and a multiplier for each output."""
    if step.kind == "conv" and step.weight is not None:
        return step.weight.size + 8 * len(step.weight)
    return {"image": 4 * step.shape[2], "function": 256, "scale": 512}.get(step.kind, 0)
