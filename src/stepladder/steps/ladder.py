"""The ladder that steps form under a budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from stepladder.spec import Budget, SpecError
from stepladder.spec.check import sequence, shown, text
from stepladder.steps.step import SHORT, Row, Step, flat, no_folder, own, unflat

QUICK_EPOCHS = 3
"""Of a step, where a ladder is looked at first."""


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
        ids = [step.id for step in self.steps]
        raise SpecError(f"ladder {self.name!r} has no step {id!r}{_near(id, ids)}; its steps are {', '.join(ids)}")

    @property
    def last(self) -> Step:
        """Where the ladder leads: the last of its steps that is kept."""
        return [step for step in self.steps if step.kept][-1]

    def violations(self) -> list[str]:
        """One sentence for each step and limit of the budget that it breaks, known before anything is trained. Raises UserError
        where it cannot be known (`Step.costs`)."""
        return [
            f"step {step.id} has {cost.value:,} {cost.unit}, the budget allows {cost.limit:,}"
            for step in self.steps
            for cost in step.exceeds(self.budget)
        ]

    def with_epochs(self, epochs: int) -> "Ladder":
        """The same ladder with every recipe's epochs set; raises SpecError if a step's concept is the epochs."""
        for step in self.steps:
            if step.change and step.change.concept == "epochs":
                raise SpecError(f"step {step.id} changes epochs; the epochs of its ladder cannot be set for all steps")
        return _with(self, {step.recipe.epochs: epochs for step in self.steps})

    def quick(self) -> "Ladder":
        """The same ladder for a first look: each step has 3 epochs, or as few more as it takes to tell those of more epochs from
        those of fewer; none has more than before."""
        found = sorted({step.recipe.epochs for step in self.steps})
        return _with(self, {epochs: min(epochs, QUICK_EPOCHS + place) for place, epochs in enumerate(found)})


def _with(ladder: Ladder, epochs: Mapping[int, int]) -> Ladder:
    """The ladder with other epochs in the place of each number of them."""
    made: dict[str, Step] = {}
    for step in ladder.steps:
        parent = made[step.parent.id] if step.parent else None
        made[step.id] = replace(step, recipe=replace(step.recipe, epochs=epochs[step.recipe.epochs]), parent=parent)
    return replace(ladder, steps=tuple(made.values()))


def _near(id: object, ids: Sequence[str]) -> str:
    """A question after the id that was meant, where one is near."""
    if not isinstance(id, str):
        return ""
    same = {each.lower(): each for each in reversed(ids)}
    near = get_close_matches(id.lower(), same, 1)
    return f" (did you mean {same[near[0]]!r}?)" if near else ""


def _rungs(ladder: Ladder) -> tuple[Any, ...]:
    """All that a ladder says: a parent's id stands for the parent, which is among its steps."""
    rungs = tuple((own(step), step.parent.id if step.parent else None) for step in ladder.steps)
    return ladder.name, ladder.budget, rungs


def _ladder(name: str, budget: Budget, rows: list[Row], places: list[int]) -> "Ladder":
    return Ladder(name, budget, unflat(rows, places))
