"""Checks on the fields of a value, and the errors of this package."""

import math
from collections.abc import Iterable


class UserError(ValueError):
    """What a user can put right: the message names the thing, what was found and what was expected."""


class SpecError(UserError):
    """A network, recipe, step or ladder that cannot be: the message says what was found and what was expected."""


def whole(owner: object, field: str, *, least: int) -> None:
    """Raise SpecError unless the field is an int (no bool) of at least `least`."""
    value = getattr(owner, field)
    if type(value) is not int or value < least:
        raise SpecError(f"{owner}: {field} is {value!r}, expected a whole number of at least {least}")


def number(owner: object, field: str, low: float, high: float = math.inf) -> None:
    """Raise SpecError unless the field is a finite number with low <= value < high."""
    value = getattr(owner, field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < high:
        raise SpecError(f"{owner}: {field} is {value!r}, expected a number from {low} to below {high}")


def one_of(owner: object, field: str, allowed: Iterable[object]) -> None:
    """Raise SpecError unless the field is one of the allowed values."""
    value = getattr(owner, field)
    if not any(value is choice or (value == choice and type(value) is type(choice)) for choice in allowed):
        raise SpecError(f"{owner}: {field} is {value!r}, expected one of {', '.join(map(repr, allowed))}")
