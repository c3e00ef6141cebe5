"""Steps that differ from their parent in exactly one concept, and the ladder they form."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, NamedTuple

from stepladder.spec.check import SpecError, one_of, whole
from stepladder.spec.network import Network
from stepladder.spec.recipe import Recipe

CONCEPTS = ("network", *(concept.name for concept in fields(Recipe)))
"""What a step may change: the network, or one field of the recipe."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Change(NamedTuple):
    """The one concept in which a step differs from its parent."""

    concept: str
    old: Any
    new: Any


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
        for name in ("parameters", "epochs", "hold"):
            whole(self, name, least=1)
        for name, example in (("accuracy", "0.994 is 99.4 %"), ("held", "0.9: nine of ten seeds")):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
                raise SpecError(f"Budget: {name} is {value!r}, expected a fraction above 0 and up to 1 ({example})")

    def exceeded(self, step: "Step") -> list[tuple[str, int, int]]:
        """What a step has more of than it may: the name, how many, and how many it may have."""
        costs = [
            ("parameters", step.network.parameters, self.parameters),
            ("epochs", step.recipe.epochs, self.epochs),
        ]
        return [(name, value, limit) for name, value, limit in costs if value > limit]


@dataclass(frozen=True)
class Step:
    """A network and a recipe that differ from the parent's in exactly one concept.

    `id` names the step in records and on the command line; left out, it is made from the title. `target` says what
    the step is to show, `note` is the author's own remark; both go into the report. A step that is not `kept` was tried and
    not gone on with: it is measured and reported like any other, and no kept step comes after it.
    """

    title: str
    network: Network
    recipe: Recipe = field(default_factory=Recipe)
    target: str = ""
    note: str = ""
    id: str = ""
    kept: bool = True
    parent: "Step | None" = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-"))
        if not _NAME.fullmatch(self.id):
            raise SpecError(f"step {self.title!r}: its id is {self.id!r}, expected letters, digits, '.', '_' and '-' (give id=...)")
        for name, kind in (("network", Network), ("recipe", Recipe)):
            if not isinstance(getattr(self, name), kind):
                raise SpecError(f"step {self.title!r}: {name} is {getattr(self, name)!r}, expected a {kind.__name__}")
        one_of(self, "kept", (True, False))
        if self.parent is not None:
            if self.kept and not self.parent.kept:
                raise SpecError(
                    f"step {self.title!r} is kept, but it comes after {self.parent.title!r}, which is not: expected kept=False"
                )
            changed = [change.concept for change in _differences(self.parent, self)]
            if not changed:
                raise SpecError(f"step {self.title!r} changes nothing against its parent {self.parent.title!r}")
            if len(changed) > 1:
                raise SpecError(f"step {self.title!r} changes {len(changed)} concepts ({', '.join(changed)}), expected exactly one")
            if reason := self.recipe.void.get(changed[0]):
                raise SpecError(f"step {self.title!r} changes {changed[0]}, which changes nothing: {reason}")

    def then(self, title: str, *, target: str = "", note: str = "", id: str = "", kept: bool = True, **concept: Any) -> "Step":
        """The step after this one: everything as here but the one concept given by keyword.

        Raises SpecError for two concepts, for none, for an unknown name, and for a value that changes nothing.
        """
        for name in concept:
            if name not in CONCEPTS:
                near = get_close_matches(name, CONCEPTS, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(CONCEPTS)}"
                raise SpecError(f"step {title!r}: unknown concept {name!r}; {hint}")
        if len(concept) != 1:
            found = f"{len(concept)} concepts ({', '.join(concept)})" if concept else "no concept"
            raise SpecError(f"step {title!r} changes {found}, expected exactly one of {', '.join(CONCEPTS)}")
        network = concept.pop("network", self.network)
        try:
            recipe = replace(self.recipe, **concept)
        except SpecError as error:
            raise SpecError(f"step {title!r}: {error}") from None
        return Step(title, network, recipe, target=target, note=note, id=id, kept=kept, parent=self)

    @property
    def label(self) -> str:
        """The title, and that the step is not kept where it is not."""
        return self.title if self.kept else f"{self.title} (not kept)"

    @property
    def change(self) -> Change | None:
        """What this step changes against its parent; None for a root."""
        return _differences(self.parent, self)[0] if self.parent else None


def _differences(old: Step, new: Step) -> list[Change]:
    pairs = [("network", old.network, new.network)]
    pairs += [(name, getattr(old.recipe, name), getattr(new.recipe, name)) for name in CONCEPTS[1:]]
    return [Change(name, before, after) for name, before, after in pairs if before != after]


@dataclass(frozen=True)
class Ladder:
    """A tree of steps, each after its parent, under one budget."""

    name: str
    budget: Budget
    steps: Sequence[Step]

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise SpecError(f"ladder {self.name!r}: expected a name of letters, digits, '.', '_' and '-'")
        if not isinstance(self.budget, Budget):
            raise SpecError(f"ladder {self.name!r}: budget is {self.budget!r}, expected Budget(...)")
        if not self.steps:
            raise SpecError(f"ladder {self.name!r} has no steps")
        seen: dict[str, Step] = {}
        for step in self.steps:
            if not isinstance(step, Step):
                raise SpecError(f"ladder {self.name!r} holds {step!r}, expected a Step")
            if step.id in seen:
                raise SpecError(f"ladder {self.name!r} has two steps with the id {step.id!r}: give one another id=...")
            if step.parent is None and seen:
                raise SpecError(f"ladder {self.name!r}: {step.title!r} has no parent; only the first step is a root")
            if step.parent is not None and step.parent not in seen.values():
                raise SpecError(
                    f"ladder {self.name!r}: {step.parent.title!r}, the parent of {step.title!r}, is not listed before it"
                )
            seen[step.id] = step
        if not any(step.kept for step in self.steps):
            raise SpecError(f"ladder {self.name!r} has no step that is kept")

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
