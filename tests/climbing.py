"""Climbs whose runs are drawn: twelve concepts with five values each, of known effects."""

import random
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from stepladder import EMA, Affine, Budget, Conv, Erasing, GlobalAvgPool, Network, Recipe, Step, StepLR
from stepladder.climb.candidate import Candidate
from stepladder.climb.concepts import bare, concept
from stepladder.climb.plan import FEW, Figure, Need, Plan
from stepladder.climb.rule import Climb, climb

START = 0.994
NOISE = 0.0005


def network(channels: int) -> Network:
    """One that differs by its channels."""
    return Network([Conv(channels), Conv(10, activation=None), GlobalAvgPool()])


VALUES: dict[str, list[Any]] = {
    "network": [network(channels) for channels in (4, 5, 6, 7, 8)],
    "epochs": [9, 10, 11, 12, 13],
    "batch_size": [32, 64, 100, 256, 512],
    "learning_rate": [0.005, 0.02, 0.03, 0.05, 0.1],
    "momentum": [0.5, 0.8, 0.85, 0.95, 0.97],
    "weight_decay": [1e-5, 1e-4, 5e-4, 1e-3, 5e-3],
    "schedule": [StepLR(every) for every in (1, 2, 3, 4, 5)],
    "label_smoothing": [0.01, 0.02, 0.05, 0.1, 0.2],
    "averaging": [EMA(decay) for decay in (0.9, 0.95, 0.98, 0.99, 0.995)],
    "augmentation": [Affine(rotate=degrees) for degrees in (2, 5, 10, 15, 20)],
    "erasing": [Erasing(probability) for probability in (0.1, 0.2, 0.3, 0.5, 0.7)],
    "dropout": [0.01, 0.02, 0.05, 0.1, 0.2],
}
CANDIDATES = [
    Candidate(f"{name} {number}", name, value, f"{name} number {number}", "")
    for name, values in VALUES.items()
    for number, value in enumerate(values)
]
PLAIN = Step("Plain", network(3), Recipe(epochs=14))

Effects = Mapping[str, float]
"""What each candidate adds to the accuracy, by its name."""


def moves(step: Step, budget: Budget) -> list[Candidate]:
    """All values but the step's own."""
    return [each for each in CANDIDATES if concept(step, each.concept) != each.value]


def none(step: Step) -> list[Network]:
    """No network."""
    return []


def plan(total: int, seed: int = 0, accuracy: float = 0.999) -> Plan:
    """A climb of so many runs."""
    budget = Budget(10_000, 14, accuracy, hold=1)
    return Plan(PLAIN, budget, float(total), 1.0, total < FEW, False, seed, 4, 0.00055, 0.0005, moves, none, none)


@cache
def held(step: Step) -> tuple[str, ...]:
    """The names of the candidates whose values a step has."""
    return tuple(each.name for each in CANDIDATES if concept(step, each.concept) == each.value)


def truth(step: Step, effects: Effects) -> float:
    """The accuracy of a step without noise."""
    return START + sum(effects.get(name, 0.0) for name in held(step))


def drawn(
    effects: Effects, seed: int, noise: Callable[[Step], float] = lambda _: NOISE
) -> Callable[[Need, Sequence[float]], Figure]:
    """Runs with these effects, and the noise of seeds: that which this product's runs have, or that of a step."""

    def ask(need: Need, guesses: Sequence[float]) -> Figure:
        draws = random.Random(f"{seed} {held(need.step)} {need.seed} {need.fold}")
        return Figure(truth(need.step, effects) + draws.gauss(0, noise(need.step)), 1.0)

    return ask


class Simulated(NamedTuple):
    """How a climb ended: how much better than its start it is, and how many kept steps do not help."""

    now: Climb
    gain: float
    false: int


def simulated(effects: Effects, seed: int, total: int, noise: Callable[[Step], float] = lambda _: NOISE) -> Simulated:
    """A whole climb."""
    now = Climb(plan(total, seed), drawn(effects, seed, noise), bare(PLAIN))
    climb(now)
    false, before = 0, dict.fromkeys(VALUES, 0.0)
    for move in now.taken:
        effect = effects.get(move.candidate.name, 0.0)
        false += effect <= before[move.candidate.concept] + 1e-12
        before[move.candidate.concept] = effect
    return Simulated(now, truth(now.step, effects) - START, false)


def mixed(seed: int) -> dict[str, float]:
    """Effects as they are met: an eighth of the values helps by 0.03 to 0.12 points, half of the others harms."""
    rng = random.Random(seed)
    return {each.name: _effect(rng) for each in CANDIDATES}


def _effect(rng: random.Random) -> float:
    chance = rng.random()
    if chance < 0.12:
        return rng.uniform(0.0003, 0.0012)
    return -abs(rng.gauss(0, 0.0008)) if chance < 0.6 else 0.0
