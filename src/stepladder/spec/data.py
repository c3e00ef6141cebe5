"""A value as plain data, for records and fingerprints, and back."""

from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from itertools import chain
from types import NoneType
from typing import Any, get_args, get_type_hints

from stepladder.spec.budget import Budget
from stepladder.spec.check import SpecError, shown
from stepladder.spec.layers import Layer
from stepladder.spec.network import Network
from stepladder.spec.recipe import KINDS, Recipe

_TYPES: dict[str, type] = {
    kind.__name__: kind for kind in (Network, Recipe, Budget, *get_args(Layer), *chain.from_iterable(KINDS.values()))
}
"""What data may say it is: all that a network or a recipe is made of."""

_DEEPEST = 2
"""A network holds layers, a recipe its small values; these hold numbers."""


def to_data(value: Any) -> Any:
    """A spec value as JSON-ready data: a dict with its type and its fields.

    Fields that are off (None, False or 0, or what `later` says) are left out, so a concept added to the language later, off
    unless asked for, leaves the fingerprints of all earlier records as they are. So are those that no comparison looks at.
    """
    if is_dataclass(value):
        found = {field.name: to_data(getattr(value, field.name)) for field in fields(value) if not _is_left_out(field, value)}
        return {"type": type(value).__name__} | found
    if isinstance(value, list | tuple):
        return [to_data(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 15 and 15.0 are equal in Python, so they are one recipe
    return value


def from_data(data: Any) -> Any:
    """The layer, network, recipe, budget or value of a recipe that `to_data` made this of; a field that is missing is off.

    Raises SpecError for what is none: another type, a field that its type has not, a value that it cannot have.
    """
    return _value(data, 1)


def _value(data: Any, depth: int) -> Any:
    """The value that data stands for; `depth` counts the objects from the outermost to it."""
    if not isinstance(data, Mapping):
        raise SpecError(f"found {shown(data)}, expected a spec value as data: an object with a type")
    if depth > _DEEPEST:
        raise SpecError(f"found objects within one another {depth} deep, expected at most {_DEEPEST}")
    name = data.get("type")
    if not isinstance(name, str) or name not in _TYPES:
        raise SpecError(f"found an object of type {shown(name)}, expected one of {', '.join(_TYPES)}")
    kind = _TYPES[name]
    known = {field.name: field for field in fields(kind)}
    if unknown := [field for field in data if field != "type" and field not in known]:
        raise SpecError(f"{name} has no field {shown(unknown[0])}, expected {', '.join(known) or 'none'}")
    made: Any = kind(**{field: _field(data[field], depth) if field in data else _off(kind, known[field]) for field in known})
    return made


def _field(data: Any, depth: int) -> Any:
    """What stands in a field: a value, several, or a number, text or nothing, which the value that has the field looks at."""
    if isinstance(data, list):
        return [_value(item, depth + 1) if isinstance(item, Mapping) else item for item in data]
    return _value(data, depth + 1) if isinstance(data, Mapping) else data


def _is_left_out(field: Field[Any], owner: Any) -> bool:
    """Whether a field is off, or makes no difference between two values."""
    value = getattr(owner, field.name)
    if not field.compare:
        return True
    if "off" in field.metadata:
        return bool(value == field.metadata["off"])
    return not value and not isinstance(value, list | tuple)


def _off(kind: type, field: Field[Any]) -> Any:
    """What a field that was left out is: what `later` says, or None, False, 0 or nothing, as its type has it."""
    if "off" in field.metadata:
        return field.metadata["off"]
    hint = get_type_hints(kind)[field.name]
    if NoneType in get_args(hint):
        return None
    if hint in (bool, int, float, str):
        return hint()
    raise SpecError(f"{kind.__name__}: found no {field.name}, expected a list")
