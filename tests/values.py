"""Strategies for spec values of every kind, for any Python object in the place of one, and how many a fuzz target draws."""

import os
from collections.abc import Callable
from dataclasses import fields
from decimal import Decimal
from fractions import Fraction
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
from conftest import networks
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from stepladder import Budget, Conv, GlobalAvgPool, Ladder, Linear, Network, Recipe, SpecError, Step
from stepladder.spec import Layer
from stepladder.spec.recipe import KINDS


def drawn(short: int) -> settings:
    """So many examples, the same every time; as many as STEPLADDER_FUZZ says, others every time, where it is set."""
    long = int(os.environ.get("STEPLADDER_FUZZ", "0"))
    return settings(max_examples=long or short, derandomize=not long, suppress_health_check=list(HealthCheck))


# Values that can be

PARTS: tuple[type, ...] = tuple(kind for kinds in KINDS.values() for kind in kinds)
"""The small values of a recipe."""

shares = st.floats(0, 1, exclude_max=True) | st.sampled_from([0, 1e-37, 0.5, 0.9999999999999999])
above = st.floats(1e-37, 1, exclude_max=True)
rates = st.floats(1e-37, 1_000, exclude_max=True) | st.integers(1, 12) | st.sampled_from([0.01, 0.1])
FLOATS: dict[str, SearchStrategy[Any]] = {
    "learning_rate": rates, "weight_decay": st.just(0) | rates, "peak": rates, "factor": shares | st.floats(0, 2), "epsilon": above,
    "decay": above, "rotate": st.floats(1e-37, 359), "shift": st.integers(0, 9_999), "shear": st.floats(0, 89.99999),
    "probability": above | st.just(1), "area": st.tuples(above, above).map(sorted).map(tuple), "accuracy": above | st.just(1),
}  # fmt: skip
"""Values of fields by name; those of others are shares."""

words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)


def of_field(name: str, hint: Any) -> SearchStrategy[Any]:
    """Values of a field, nearly all of which can be."""
    if name in FLOATS:
        return FLOATS[name]
    if hint in (int, float, bool, str, NoneType):
        whole = st.integers(0 if name == "padding" else 1, 9)
        return {int: whole, float: shares, bool: st.booleans(), str: words, NoneType: st.none()}[hint]
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) is UnionType or NoneType in get_args(hint):
        return st.one_of(*(of_field(name, each) for each in get_args(hint)))
    return of_kind(hint)


def of_kind(kind: type) -> SearchStrategy[Any]:
    """Values of a layer's, a recipe's or a budget's kind."""
    if kind is Network:
        return networks()
    hints = {field.name: of_field(field.name, get_type_hints(kind)[field.name]) for field in fields(kind)}

    def made(found: dict[str, Any]) -> Any:
        return attempt(kind, found)

    return st.fixed_dictionaries(hints).map(made).filter(lambda value: value is not None)


def attempt(make: Callable[..., Any], found: dict[str, Any]) -> Any:
    """The value; None where it is refused, which nothing but a SpecError may do."""
    try:
        return make(**found)
    except SpecError:
        return None


VALUES: dict[type, SearchStrategy[Any]] = {kind: of_kind(kind) for kind in (*get_args(Layer), *PARTS, Network, Recipe, Budget)}
"""Values of each kind that can be read back from data."""


# Anything else


class Odd:
    """An object that refuses what it is asked."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no equal")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise RuntimeError("neither")

    def __len__(self) -> int:
        raise RuntimeError("no length")


class Text(str):
    """A text that is more than a text."""


class Whole(int):
    """A whole number that is more than one."""


class OtherConv(Conv):
    """A layer that no engine has met."""


def nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


STEP = Step("Plain", Network([Conv(10, activation=None), GlobalAvgPool()]))
ROOT = Ladder("mine", Budget(10_000, 15, 0.99), [STEP, STEP.then("Next", dropout=0.1)])

odd: SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, False, 0, 1, -1, 2, 3, 28, 10**6, 10**6 + 1, 2**31, 2**63, 10**30, 10**5_000, Whole(3)),
        *(-0.0, 0.5, 1.0, 1e-320, 1e-38, 1e300, float("nan"), float("inf"), -float("inf"), 1 - 2**-53, 1j, Decimal("0.1")),
        *(Fraction(1, 2), np.float64(0.5), np.float32(0.5), np.int64(3), np.bool_(True), np.zeros(3), np.array(2)),
        *("", "relu", "batch", "layer", "\0", "\ud800", "a\nb", "x" * 300, "x" * 20_000, "..", ".", "con", "NUL.txt", "a/b", "a."),
        *("日本", "[/nope]", b"relu", Text("batch"), Text("title"), [], (), {}, set(), range(3), iter([1])),
        *([1, 28, 28], (1, 28), ("1", 28, 28), [True, 1, 1], [10**6] * 3, nested(10), nested(100_000)),
        *(object(), Odd(), Odd, [Odd()], int, Conv, Conv(10), OtherConv(10), [OtherConv(10)], lambda: None, NotImplemented, ...),
        *([Conv(10), GlobalAvgPool()], [GlobalAvgPool(), Linear(10)], Recipe(), STEP, STEP.network, ROOT, ROOT.steps, ROOT.budget),
    ]
)
anything = odd | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=5,
)
"""Any Python object."""


def with_anything(kind: type) -> SearchStrategy[Any]:
    """A value of the kind, of whose fields one or more may be anything, made where that does not refuse it; else None."""
    hints = get_type_hints(kind)
    likely = {
        field.name: of_field(field.name, hints[field.name]) if kind not in (Network, Step, Ladder) else anything
        for field in fields(kind)
    }
    if kind is Network:
        likely = {
            "layers": networks().map(lambda network: network.layers) | st.lists(one_layer | anything, max_size=4),
            "input": st.tuples(*[st.integers(1, 12)] * 3),
            "classes": st.integers(2, 10),
        }
    if kind is Step:
        likely = {
            "title": words, "network": networks(), "recipe": of_kind(Recipe), "target": words, "note": words,
            "id": words | st.just("a"), "kept": st.booleans(), "parent": st.none() | st.just(STEP),
        }  # fmt: skip
    if kind is Ladder:
        likely = {
            "name": words | st.just("mine"),
            "budget": of_kind(Budget),
            "steps": st.lists(st.just(STEP) | anything, max_size=3),
        }
    mixed = {name: strategy | strategy | anything for name, strategy in likely.items()}
    if not likely:
        return st.builds(kind)
    one = st.sampled_from(sorted(likely)).flatmap(lambda name: st.fixed_dictionaries(likely | {name: anything}))

    def made(found: dict[str, Any]) -> Any:
        return attempt(kind, found)

    return (one | st.fixed_dictionaries(mixed)).map(made)


one_layer: SearchStrategy[Layer] = st.one_of(*(VALUES[kind] for kind in get_args(Layer)))
