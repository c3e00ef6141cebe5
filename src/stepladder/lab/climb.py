"""A climb from its start to its report: planned, driven, confirmed on fresh seeds, and written down."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stepladder import live
from stepladder.climb import source, story
from stepladder.climb.drive import Drive, Standing, asked, drive, opened
from stepladder.climb.ladder import ladder
from stepladder.climb.moves import candidates
from stepladder.climb.plan import CONFIRMED, EXPLORE, FEW, Need, Plan
from stepladder.climb.rule import Climb, bare
from stepladder.climb.sequential import detectable
from stepladder.climb.start import plain
from stepladder.climb.widths import smaller
from stepladder.environment import cores
from stepladder.job import Setup
from stepladder.networks import Module
from stepladder.records import alone
from stepladder.spec import Budget, UserError
from stepladder.steps import Ladder, Step
from stepladder.workers import Workers

if TYPE_CHECKING:
    from stepladder.lab.lab import Lab
    from stepladder.lab.result import Result

FOLDS = 4
"""Parts of the training images that are kept back in turn: one explores, the others verify."""
SHARE = 6
"""Each is a sixth of the training images."""
USED = 0.85
"""Of the time: the rest goes into starting processes, and into runs that were begun ahead and then not asked for."""


@dataclass(frozen=True)
class Wish:
    """What a climb is to do: within `budget`, in so many `hours` or so many `runs`, one of them; the test set stays unread where it
    is `locked`; `seed` is of the order in which moves are tried; `difference` of accuracies (a fraction) is what its tests look
    for; `name` is that of the ladder and of its folder beside the runs."""

    budget: Budget
    hours: float | None = None
    runs: int | None = None
    seed: int = 0
    locked: bool = False
    difference: float = 0.0005
    name: str = "climbed"

    def __post_init__(self) -> None:
        if (self.hours is None) == (self.runs is None):
            raise UserError(f"hours is {self.hours!r} and runs is {self.runs!r}, expected one of them (--hours, --runs-budget)")
        if self.hours is not None and not (isinstance(self.hours, int | float) and 0 < self.hours < 10_000):
            raise UserError(f"hours is {self.hours!r}, expected a number above 0")
        if self.runs is not None and (type(self.runs) is not int or not 1 <= self.runs <= 1_000_000):
            raise UserError(f"runs is {self.runs!r}, expected a whole number of at least 1")
        if not 0 < self.difference < 1:
            raise UserError(f"difference is {self.difference!r}, expected a fraction above 0 (0.0005 are 0.05 points)")
