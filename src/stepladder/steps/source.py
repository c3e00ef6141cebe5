"""A ladder as a Python file that a person would have written."""

import builtins
import keyword
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields
from decimal import Decimal
from inspect import cleandoc
from textwrap import wrap
from typing import Any, get_args

from stepladder.networks import Module
from stepladder.spec import EMA, Layer, Network, SpecError
from stepladder.spec.check import text
from stepladder.steps.ladder import Ladder
from stepladder.steps.layout import INDENT, WIDTH, Call, Expression, List, Text, assigned, escaped, fits, flat, literal
from stepladder.steps.step import LONG, PLAIN, Step, id_of

_RESERVED = {*keyword.kwlist, *keyword.softkwlist, *dir(builtins), "ladder", "l"}
"""What no variable of the file is called; "l" because it looks like a 1."""
_LONGEST = 32
"""Characters of a variable's name, but for what tells it from others."""


def source(ladder: Ladder, about: str = "") -> str:
    """The ladder as a Python file, laid out as `ruff format` does, with `about` as its docstring: `ladders.load` of the file gives
    an equal ladder.

    Raises SpecError for a step whose network is a torch module, and for an `about` that cannot be written.
    """
    text("source", "about", about, most=LONG, lines=True)
    for step in ladder.steps:
        if isinstance(step.network, Module):
            raise SpecError(f"step {step.title!r}: its network is a module{_of_file(step.network)}: write it as layers first")
    names = _names(ladder)
    networks = _networks(ladder, names)
    apart = {name: _value(network) for network, name in networks.items()}
    steps = {names[step.id]: _step(step, names, networks) for step in ladder.steps}
    last = Call(
        "Ladder",
        [("", literal(ladder.name)), ("budget", _value(ladder.budget)), ("steps", List([names[each.id] for each in ladder.steps]))],
    )
    kinds = {kind for value in (*apart.values(), *steps.values(), last) for kind in _kinds(value)}
    blocks = [_docstring(about), _imports(kinds), _assignments(apart), _assignments(steps), _assignments({"ladder": last})]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _assignments(values: Mapping[str, Expression]) -> str:
    return "\n".join(assigned(name, value) for name, value in values.items())


# What is written


def _step(step: Step, names: Mapping[str, str], networks: Mapping[Network | Module, str]) -> Call:
    """A step, made from nothing or by the `then` of its parent."""
    found: list[tuple[str, Expression]] = [("", literal(step.title))]
    if step.id != id_of(step.title):
        found.append(("id", literal(step.id)))
    if step.change is None or step.change.concept == "network":
        found.append(("network", networks.get(step.network) or _value(step.network)))
    else:
        found.append((step.change.concept, _value(step.change.new)))
    if step.parent is None and step.recipe != PLAIN:
        found.append(("recipe", _value(step.recipe)))
    found += [(name, Text(words)) for name, words in (("target", step.target), ("note", step.note)) if words]
    if not step.kept:
        found.append(("kept", "False"))
    return Call("Step" if step.parent is None else f"{names[step.parent.id]}.then", found)


def _value(value: Any) -> Expression:
    """A value of the spec: those of its fields that are not what they are by default."""
    if isinstance(value, str):
        return literal(value)
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, tuple):
        if value and type(value[0]) in get_args(Layer):
            return List([_value(item) for item in value])
        return f"({', '.join(map(number, value))})"
    given = [(field.name, getattr(value, field.name)) for field in fields(value) if getattr(value, field.name) != field.default]
    first = fields(value)[0].name if fields(value) else ""
    placed = type(value) in (*get_args(Layer), EMA, Network) and first not in ("epsilon", "per_channel")
    return Call(type(value).__name__, [("" if placed and name == first else name, _value(each)) for name, each in given])


def number(value: float) -> str:
    """A number as people write it: 8_000, but 1024; 15, not 15.0; 0.05, but 5e-4."""
    if float(value).is_integer():
        whole = int(value)
        return f"{whole:_}" if whole & (whole - 1) else str(whole)
    if abs(value) >= 1e-3:
        return repr(value)
    _, digits, _ = Decimal(repr(value)).normalize().as_tuple()
    first, *others = map(str, digits)
    return f"{first}{'.' * bool(others)}{''.join(others)}e{Decimal(repr(value)).adjusted()}"


def _of_file(module: Module) -> str:
    """Of which file a module's code is, where that is known."""
    make = module.make
    functions = [make, *vars(make).values()] if isinstance(make, type) else [make]
    files = [each.__code__.co_filename for each in functions if hasattr(each, "__code__")]
    return f" of {files[0]}" if files else ""


# Names


def _names(ladder: Ladder) -> dict[str, str]:
    """A variable for each step's id, from its title or else its id."""
    found: dict[str, str] = {}
    for step in ladder.steps:
        name = _snake(step.title) or _snake(step.id)
        name = f"step_{name}" if not name or name[0].isdigit() else name
        found[step.id] = _free(name, step.id, set(found.values()))
    return found


def _networks(ladder: Ladder, names: Mapping[str, str]) -> dict[Network | Module, str]:
    """A variable for each network that several steps bring, or that does not fit on one of a step's lines."""
    bringing = [step for step in ladder.steps if step.change is None or step.change.concept == "network"]
    times = Counter(step.network for step in bringing)
    found: dict[Network | Module, str] = {}
    for step in bringing:
        network = step.network
        if network not in found and (times[network] > 1 or not fits(f"{INDENT}network={flat(_value(network))},")):
            name = names[step.id]
            name += "_layers" if name.endswith("network") else "_network"
            found[network] = _free(name, "", {*names.values(), *found.values()})
    return found


def _snake(words: str) -> str:
    """Words as a name, as many of them as its length allows."""
    name = id_of(words).replace("-", "_")
    if len(name) <= _LONGEST:
        return name
    return name[: _LONGEST + 1].rpartition("_")[0] or name[:_LONGEST]


def _free(name: str, id: str, taken: set[str]) -> str:
    """The name, or the first like it that is free."""
    if name in _RESERVED:
        name = f"{name}_step"
    if name in taken and _snake(id):
        name = f"{name}_{_snake(id)}"
    free, number = name, 2
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


# Imports and docstring


def _kinds(value: Expression) -> Iterator[str]:
    """The names of the package that a value needs."""
    if isinstance(value, List):
        for item in value.items:
            yield from _kinds(item)
    elif isinstance(value, Call):
        if "." not in value.name:
            yield value.name
        for _, item in value.arguments:
            yield from _kinds(item)


def _imports(kinds: set[str]) -> str:
    """The import, its names in isort's order: those in capitals first."""
    ordered = sorted(kinds, key=lambda kind: (not kind.isupper(), kind.lower()))
    line = f"from stepladder import {', '.join(ordered)}"
    return line if fits(line) else "\n".join(["from stepladder import (", *(f"{INDENT}{kind}," for kind in ordered), ")"])


def _docstring(about: str) -> str:
    """What a file says of itself, its lines wrapped; nothing where that is nothing."""
    first, *others = cleandoc(about).strip().expandtabs().split("\n")
    given = [*wrap(first, WIDTH - 6, break_long_words=False, break_on_hyphens=False), *others]
    lines = [part.rstrip() for line in given for part in (_wrapped(line) or [""])]
    body = escaped("\n".join(lines), kept="\n")
    if not body:
        return ""
    body = re.sub(r'\A"|"""|"\Z', lambda quotes: quotes[0].replace('"', '\\"'), body)
    return f'"""{body}"""' if len(lines) == 1 else f'"""{body}\n"""'


def _wrapped(line: str) -> list[str]:
    """A line of text in lines that fit; those after the first are indented as it is."""
    indent = line[: len(line) - len(line.lstrip())]
    return wrap(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
