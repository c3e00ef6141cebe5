"""A budget, and the ladder that steps form under it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from stepladder.spec.check import SpecError, sequence, share, shown, text, whole
from stepladder.spec.network import MOST_PARAMETERS
from stepladder.spec.step import SHORT, Row, Step, flat, no_folder, own, unflat


@dataclass(frozen=True)
class Budget:
    """What a step may cost and must reach: at most `parameters` and `epochs`; `accuracy` (a fraction) on the test set
    in every one of the last `hold` epochs, for a share of at least `held` of its seeds.

    Were every seed asked to hold, more seeds would make the target harder: of steps whose seeds hold at a true rate of 0.97,
    74 % would pass with 10 seeds and 22 % with 50. With 0.9 it is 97 % and 99.6 %; at a true rate of 0.7, 15 % and 0.1 %.
    """

    parameters: int
    epochs: int
    accuracy: float
    hold: int = 5
    held: float = 0.9

    def __post_init__(self) -> None:
        whole(self, "parameters", least=1, most=MOST_PARAMETERS)
        for name in ("epochs", "hold"):
            whole(self, name, least=1)
        for name, example in (("accuracy", "0.994 is 99.4 %"), ("held", "0.9: nine of ten seeds")):
            try:
                object.__setattr__(self, name, share(self, name, getattr(self, name)))
            except SpecError:
                raise SpecError(
                    f"Budget: {name} is {shown(getattr(self, name))}, expected a fraction above 0 and up to 1 ({example})"
                ) from None

    def exceeded(self, step: Step) -> list[tuple[str, int, int]]:
        """What a step has more of than it may: the name, how many, and how many it may have."""
        costs = [
            ("parameters", step.network.parameters, self.parameters),
            ("epochs", step.recipe.epochs, self.epochs),
        ]
        return [(name, value, limit) for name, value, limit in costs if value > limit]


@dataclass(frozen=True, eq=False)
class Ladder:
    """A tree of steps, each after its parent, under one budget."""

    name: str
    budget: Budget
    steps: Sequence[Step]

    def __post_init__(self) -> None:
        text("ladder", "name", self.name, most=SHORT)
        if reason := no_folder(self.name):
            raise SpecError(f"ladder {self.name!r}: {reason}")
        if type(self.budget) is not Budget:
            raise SpecError(f"ladder {self.name!r}: budget is {shown(self.budget)}, expected Budget(...)")
        object.__setattr__(self, "steps", sequence(f"ladder {self.name!r}", "steps", self.steps, "steps"))
        if not self.steps:
            raise SpecError(f"ladder {self.name!r} has no steps")
        seen: dict[str, Step] = {}
        for step in self.steps:
            if type(step) is not Step:
                raise SpecError(f"ladder {self.name!r} holds {shown(step)}, expected a Step")
            if step.id in seen:
                raise SpecError(f"ladder {self.name!r} has two steps with the id {step.id!r}: give one another id=...")
            if step.parent is None and seen:
                raise SpecError(f"ladder {self.name!r}: {step.title!r} has no parent; only the first step is a root")
            if step.parent is not None and seen.get(step.parent.id) != step.parent:
                raise SpecError(
                    f"ladder {self.name!r}: {step.parent.title!r}, the parent of {step.title!r}, is not listed before it"
                )
            seen[step.id] = step
        if not any(step.kept for step in self.steps):
            raise SpecError(f"ladder {self.name!r} has no step that is kept")

    def __eq__(self, other: object) -> bool:
        return _rungs(self) == _rungs(other) if isinstance(other, Ladder) else NotImplemented

    def __hash__(self) -> int:
        return hash(_rungs(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return _ladder, (self.name, self.budget, *flat(self.steps))

    def step(self, id: str) -> Step:
        """The step with this id; raises SpecError naming those there are."""
        for step in self.steps:
            if step.id == id:
                return step
        raise SpecError(f"ladder {self.name!r} has no step {id!r}; its steps are {', '.join(step.id for step in self.steps)}")

    @property
    def last(self) -> Step:
        """Where the ladder leads: the last of its steps that is kept."""
        return [step for step in self.steps if step.kept][-1]

    def violations(self) -> list[str]:
        """One sentence for each step and limit of the budget that it breaks, known before anything is trained."""
        return [
            f"step {step.id} has {value:,} {what}, the budget allows {limit:,}"
            for step in self.steps
            for what, value, limit in self.budget.exceeded(step)
        ]

    def with_epochs(self, epochs: int) -> "Ladder":
        """The same ladder with every recipe's epochs set; raises SpecError if a step's concept is the epochs."""
        made: dict[str, Step] = {}
        for step in self.steps:
            if step.change and step.change.concept == "epochs":
                raise SpecError(f"step {step.id} changes epochs; the epochs of its ladder cannot be set for all steps")
            parent = made[step.parent.id] if step.parent else None
            made[step.id] = replace(step, recipe=replace(step.recipe, epochs=epochs), parent=parent)
        return replace(self, steps=tuple(made.values()))


def _rungs(ladder: Ladder) -> tuple[Any, ...]:
    """All that a ladder says: a parent's id stands for the parent, which is among its steps."""
    rungs = tuple((own(step), step.parent.id if step.parent else None) for step in ladder.steps)
    return ladder.name, ladder.budget, rungs


def _ladder(name: str, budget: Budget, rows: list[Row], places: list[int]) -> "Ladder":
    return Ladder(name, budget, unflat(rows, places))
