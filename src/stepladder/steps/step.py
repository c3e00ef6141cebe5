"""Steps, which differ from their parent in exactly one concept."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from functools import cached_property
from typing import Any, NamedTuple

from stepladder.networks import Module, layers, macs, planned, read
from stepladder.spec import Budget, Network, Recipe, SpecError, UserError, shown
from stepladder.spec.budget import COSTS, DEVICE
from stepladder.spec.check import one_of, text

CONCEPTS = ("network", *(concept.name for concept in fields(Recipe)))
"""What a step may change: the network, or one field of the recipe."""

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9_-])?")
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices: no folder can have them."""

SHORT, LONG = 200, 10_000
"""Characters of a title or an id, and of a target or a note."""


PLAIN = Recipe()


class Change(NamedTuple):
    """The one concept in which a step differs from its parent."""

    concept: str
    old: Any
    new: Any


class Cost(NamedTuple):
    """What a step has of something that a budget limits."""

    name: str
    value: int
    limit: int

    @property
    def unit(self) -> str:
        """What it is counted in, for people."""
        return COSTS[self.name]


@dataclass(frozen=True, eq=False, init=False)
class Step:
    """A network and a recipe that differ from the parent's in exactly one concept.

    `network` is a `Network`, or a class or a function without arguments that makes a `torch.nn.Module` on images of `input`
    (channels, height, width; left out: the parent's, 1 x 28 x 28 where there is none). A module that cannot be told from others is
    refused, unless it is given with `cache=False`: then its runs are of this session alone, and trained anew by the next one.

    `id` names the step in records and on the command line; left out, it is made from the title. `target` says what
    the step is to show, `note` is the author's own remark; both go into the report. A step that is not `kept` was tried and
    not gone on with: it is measured and reported like any other, and no kept step comes after it.

    Steps are equal where all fields are, those of their parents too, however many there are.
    """

    title: str
    network: Network | Module
    recipe: Recipe
    target: str
    note: str
    id: str
    kept: bool
    parent: "Step | None" = field(repr=False)

    def __init__(
        self,
        title: str,
        network: Network | Module | Callable[[], Any],
        recipe: Recipe = PLAIN,
        target: str = "",
        note: str = "",
        id: str = "",
        kept: bool = True,
        parent: "Step | None" = None,
        *,
        input: tuple[int, int, int] | None = None,
        cache: bool = True,
    ) -> None:
        made = {"title": title, "recipe": recipe, "target": target, "note": note, "id": id, "kept": kept, "parent": parent}
        for name, value in made.items():
            object.__setattr__(self, name, value)
        self._check_words()
        if type(self.recipe) is not Recipe:
            raise SpecError(f"step {self.title!r}: recipe is {shown(self.recipe)}, expected a Recipe")
        object.__setattr__(self, "network", self._read(network, input, cache))
        one_of(self, "kept", (True, False))
        self._check_trains()
        if self.parent is not None:
            if type(self.parent) is not Step:
                raise SpecError(f"step {self.title!r}: parent is {shown(self.parent)}, expected a Step or None")
            self._check_change(self.parent)

    def _read(self, network: Any, input: tuple[int, int, int] | None, cache: bool) -> Network | Module:
        """The network that was given; raises SpecError where it is none."""
        if type(network) in (Network, Module):
            if input not in (None, network.input):
                raise SpecError(f"step {self.title!r}: input is {shown(input)}, that of its network {network.input}")
            return network  # type: ignore[no-any-return]
        if not callable(network):
            raise SpecError(
                f"step {self.title!r}: network is {shown(network)}, expected a Network, or what makes a torch.nn.Module"
            )
        before = self.parent.network.input if isinstance(self.parent, Step) else (1, 28, 28)
        try:
            return read(network, before if input is None else input, cache=cache)
        except SpecError as error:
            raise SpecError(f"step {self.title!r}: {error}") from None

    def _check_words(self) -> None:
        """Set the id where there is none; raise SpecError for words that cannot be written or an id that is no folder's name."""
        text("step", "title", self.title, most=SHORT)
        owner = f"step {self.title!r}"
        for name, most in (("target", LONG), ("note", LONG), ("id", SHORT)):
            text(owner, name, getattr(self, name), most=most, lines=name != "id")
        if not self.id:
            object.__setattr__(self, "id", id_of(self.title))
        if reason := no_folder(self.id):
            raise SpecError(f"{owner}: its id is {self.id!r}, {reason} (give id=...)")
        if not self.title.strip():
            raise SpecError(f"step {self.id!r}: title is {self.title!r}, expected something to read")

    def _check_trains(self) -> None:
        """Raise SpecError where network and recipe are fine, but not together, or have nothing to train."""
        if not self.network.parameters:
            raise SpecError(f"step {self.title!r}: its network has no parameters, expected some to train")
        if self.recipe.batch_size == 1 and (layer := self.network.point_norm):
            raise SpecError(
                f"step {self.title!r}: batch_size is 1, expected at least 2: the norm of {layer} sees one value a channel"
            )
        if self.recipe.dropout and isinstance(self.network, Module) and (reason := _no_place(self.network)):
            raise SpecError(
                f"step {self.title!r}: dropout is {self.recipe.dropout}, but module {self.network.name} has no place for it{reason}"
            )

    def _check_change(self, parent: "Step") -> None:
        """Raise SpecError unless exactly one concept differs from the parent's, and to some effect."""
        if self.kept and not parent.kept:
            raise SpecError(f"step {self.title!r} is kept, but it comes after {parent.title!r}, which is not: expected kept=False")
        changed = [change.concept for change in _differences(parent, self)]
        if not changed:
            raise SpecError(f"step {self.title!r} changes nothing against its parent {parent.title!r}")
        if len(changed) > 1:
            raise SpecError(f"step {self.title!r} changes {len(changed)} concepts ({', '.join(changed)}), expected exactly one")
        if reason := self.recipe.void.get(changed[0]):
            raise SpecError(f"step {self.title!r} changes {changed[0]}, which changes nothing: {reason}")

    # A climb makes chains of any length, which comparing and pickling field by field would follow by recursion.

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Step):
            return NotImplemented
        mine, theirs = self, other
        while mine is not theirs:
            if own(mine) != own(theirs):
                return False
            if mine.parent is None or theirs.parent is None:
                return mine.parent is theirs.parent
            mine, theirs = mine.parent, theirs.parent
        return True

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash(own(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return _step, flat([self])

    def then(
        self, title: str, *, target: str = "", note: str = "", id: str = "", kept: bool = True, cache: bool = True, **concept: Any
    ) -> "Step":
        """The step after this one: everything as here but the one concept given by keyword.

        Raises SpecError for two concepts, for none, for an unknown name, and for a value that changes nothing.
        """
        for name in concept:
            if name not in CONCEPTS:
                near = get_close_matches(name, CONCEPTS, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(CONCEPTS)}"
                raise SpecError(f"step {shown(title)}: unknown concept {name!r}; {hint}")
        if len(concept) != 1:
            found = f"{len(concept)} concepts ({', '.join(concept)})" if concept else "no concept"
            raise SpecError(f"step {shown(title)} changes {found}, expected exactly one of {', '.join(CONCEPTS)}")
        network = concept.pop("network", self.network)
        try:
            recipe = replace(self.recipe, **concept)
        except SpecError as error:
            raise SpecError(f"step {shown(title)}: {error}") from None
        return Step(title, network, recipe, target=target, note=note, id=id, kept=kept, parent=self, cache=cache)

    @property
    def label(self) -> str:
        """The title, and that the step is not kept where it is not."""
        return self.title if self.kept else f"{self.title} (not kept)"

    def costs(self, budget: Budget) -> list[Cost]:
        """What it has of all that a budget limits. Raises UserError where it limits what cannot be told of the network."""
        found = [
            Cost("parameters", self.network.parameters, budget.parameters),
            Cost("epochs", self.recipe.epochs, budget.epochs),
        ]
        for name in DEVICE:
            limit = getattr(budget, name)
            if limit is None:
                continue
            try:
                value = macs(self.network) if name == "macs" else getattr(planned(self.network), name)
            except UserError as error:
                told = f"the budget allows {limit:,} {COSTS[name]} ({name}), but how many it takes cannot be told"
                raise UserError(f"step {self.id}: {told}: {error}") from None
            found.append(Cost(name, value, limit))
        return found

    def exceeds(self, budget: Budget) -> list[Cost]:
        """What it has more of than a budget allows; raises as `costs`."""
        return [cost for cost in self.costs(budget) if cost.value > cost.limit]

    @property
    def change(self) -> Change | None:
        """What this step changes against its parent; None for a root."""
        return _differences(self.parent, self)[0] if self.parent else None


def _no_place(module: Module) -> str:
    """Why a module has no place for the recipe's dropout; empty where it has."""
    lowered = layers(module)
    if lowered is None:
        return f", as it is not made of known layers ({module.reason}): put nn.Dropout into it"
    if not any(map(lowered.drops_after, range(len(lowered.layers)))):
        return ": it follows activated convolutions, of which there are none"
    return ""


def _differences(old: Step, new: Step) -> list[Change]:
    pairs = [("network", old.network, new.network)]
    pairs += [(name, getattr(old.recipe, name), getattr(new.recipe, name)) for name in CONCEPTS[1:]]
    return [Change(name, before, after) for name, before, after in pairs if before != after]


_Own = tuple[str, Network | Module, Recipe, str, str, str, bool]


def own(step: Step) -> _Own:
    """A step's fields but its parent."""
    return step.title, step.network, step.recipe, step.target, step.note, step.id, step.kept


Row = tuple[_Own, int | None]
"""A step's own fields, and the place of its parent."""


def flat(steps: Sequence[Step]) -> tuple[list[Row], list[int]]:
    """The steps and all they come after, each once and after its parent, and the places of the steps among them."""
    places: dict[int, int] = {}
    rows: list[Row] = []
    for step in steps:
        line = [step]
        while line[-1].parent is not None and id(line[-1]) not in places:
            line.append(line[-1].parent)
        for each in reversed(line):
            if id(each) not in places:
                places[id(each)] = len(rows)
                rows.append((own(each), None if each.parent is None else places[id(each.parent)]))
    return rows, [places[id(step)] for step in steps]


def unflat(rows: list[Row], places: list[int]) -> list[Step]:
    """The steps that `flat` was given."""
    made: list[Step] = []
    for values, parent in rows:
        made.append(Step(*values, None if parent is None else made[parent]))
    return [made[place] for place in places]


def _step(rows: list[Row], places: list[int]) -> Step:
    return unflat(rows, places)[0]


def id_of(title: str) -> str:
    """The id that a title gives: its letters, without accents, and digits."""
    letters = unicodedata.normalize("NFKD", title.lower().replace("ß", "ss"))
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def no_folder(name: str) -> str:
    """Why a name cannot be a folder's on every system; empty where it can."""
    if not _NAME.fullmatch(name):
        return "expected letters, digits, '.', '_' and '-', no '.' last"
    return "a name that Windows keeps for a device" if _DEVICES.fullmatch(name) else ""
