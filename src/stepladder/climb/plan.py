"""What a climb is asked for, and the runs that it asks for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stepladder.climb.candidate import Candidate
from stepladder.climb.sequential import Limits
from stepladder.spec import Budget, Network
from stepladder.steps import Step

EXPLORE, VERIFY, PRUNE, DIRECT = 1_000, 2_000, 3_000, 5_000
"""The first seeds of each phase: what chose is never looked at again, and the first seeds are left for the confirmation."""
CONFIRMED = 10
"""Fresh seeds of start and end, trained on all training images."""
FEW = 150
"""Under so many runs each move is tested as it is tried."""
EXPLORING = 0.6
"""The share of the runs that explores."""
FEW_KEPT = 0.2
"""That kept for pruning, where runs are few."""
PAIRS = 16
"""So many runs of an arm are kept ready for each test of the verification; on average they need fewer."""
VERIFIED, TRIED = Limits(0.02, 0.1, 24), Limits(0.02, 0.4, 12)
"""The tests of concepts set back, and of moves while they are tried. A climb makes many of them: 3 and 4 % of 300 simulated
climbs, of 300 and of 120 runs, keep something where nothing helps."""


class Need(NamedTuple):
    """A run that a decision waits for: a step without a parent, its seed, and the kept-back part that judges it."""

    step: Step
    seed: int
    fold: int


class Figure(NamedTuple):
    """What a run came to: its accuracy on the part kept back, 0 where it diverged, and what it cost."""

    accuracy: float
    cost: float


@dataclass(frozen=True)
class Plan:
    """What decides a climb beside its runs.

    - `start`: a step, what comes after it is climbed; `budget`: what every step must keep to
    - `total`: what all runs may cost together, in the unit of `Figure.cost`, those of the confirmation too unless it is `locked`
    - `whole`: what a run on all training images costs, in runs with a part kept back
    - `few`: whether each move is tested as it is tried, as must be where runs are few
    - `folds`: disjoint parts of the training images that can be kept back; the first explores, the others verify
    - `deviation`: of an accuracy over seeds, as it is expected before there are runs
    - `difference`: of accuracies, as a fraction, that the tests look for; a move that looks that much worse is not tried again
    - `moves`: the candidates of a step within a budget; `narrower`: the networks that pruning may try for a step, by falling width;
      `shallower`: those with a block less
    """

    start: Step
    budget: Budget
    total: float
    whole: float
    few: bool
    locked: bool
    seed: int
    folds: int
    deviation: float
    difference: float
    moves: Callable[[Step, Budget], Sequence[Candidate]]
    narrower: Callable[[Step], Sequence[Network]]
    shallower: Callable[[Step], Sequence[Network]]
