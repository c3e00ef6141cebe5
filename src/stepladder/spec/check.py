"""Checks on the fields of a value, and the errors of this package."""

from collections.abc import Iterable
from typing import Any
from unicodedata import category

MOST = 1_000_000
"""No size, count or number of epochs is larger: what is was mistyped, or could not be held in memory."""


class UserError(ValueError):
    """What a user can put right: the message names the thing, what was found and what was expected."""


class SpecError(UserError):
    """A network, recipe, step or ladder that cannot be: the message says what was found and what was expected."""


def shown(value: object) -> str:
    """A value as Python writes it, cut to what a message can hold; its type where it cannot be written."""
    try:
        written = repr(value)
    except Exception:  # an integer of 5,000 digits, lists too deep to follow, a foreign __repr__
        return f"<{type(value).__name__}>"
    return written if len(written) <= 500 else f"{written[:500]}..."


def _called(owner: object) -> str:
    """What a message calls the owner of a field: itself as Python writes it, or its type where that is long."""
    written = shown(owner)
    return written if len(written) <= 200 else type(owner).__name__


def whole(owner: object, field: str, *, least: int, most: int = MOST) -> None:
    """Raise SpecError unless the field is an int (no bool) from `least` to `most`."""
    value = getattr(owner, field)
    if type(value) is not int or value < least:
        raise SpecError(f"{_called(owner)}: {field} is {shown(value)}, expected a whole number of at least {least}")
    if value > most:
        raise SpecError(f"{_called(owner)}: {field} is {shown(value)}, expected a whole number of at most {most:,}")


def number(owner: object, field: str, low: float, high: float) -> None:
    """Raise SpecError unless the field is a number (no bool) with low <= value < high; make it a plain one."""
    value = getattr(owner, field)
    if (type(value) is not int and not isinstance(value, float)) or not low <= value < high:
        raise SpecError(f"{_called(owner)}: {field} is {shown(value)}, expected a number from {low} to below {high}")
    _plain(owner, field, value)


def positive(owner: object, field: str, high: float) -> None:
    """Raise SpecError unless the field is a number above 0 and below `high`; make it a plain one."""
    number(owner, field, 0.0, high)
    if getattr(owner, field) < TINY:
        raise SpecError(f"{_called(owner)}: {field} is {getattr(owner, field)!r}, expected a number above 0 and below {high}")


TINY = 1e-37
"""Weights are float32, in which a smaller number is nothing."""


def share(owner: object, field: str, value: Any) -> float:
    """A value of the field, as a plain number; raises SpecError unless it is above 0 and up to 1."""
    if (type(value) is not int and not isinstance(value, float)) or not TINY <= value <= 1:
        raise SpecError(f"{_called(owner)}: {field} is {shown(value)}, expected a share above 0 and up to 1")
    return value if type(value) is int else float(value)


def one_of(owner: object, field: str, allowed: Iterable[object]) -> None:
    """Raise SpecError unless the field is one of the allowed values."""
    value = getattr(owner, field)
    if not any(value is choice or (type(value) is type(choice) and value == choice) for choice in allowed):
        raise SpecError(f"{_called(owner)}: {field} is {shown(value)}, expected one of {', '.join(map(repr, allowed))}")


def sequence(owner: str, field: str, value: Any, of: str) -> tuple[Any, ...]:
    """The items of a list or tuple; raises SpecError for anything else."""
    if not isinstance(value, list | tuple):
        raise SpecError(f"{owner}: {field} is {shown(value)}, expected a list of {of}")
    return tuple(value)


def text(owner: str, field: str, value: object, *, most: int, lines: bool = False) -> None:
    """Raise SpecError unless a value of the field is a str of at most so many characters, all of which can be written:
    no surrogates, and no control characters but, where there may be `lines`, line ends and tabs."""
    if type(value) is not str:
        raise SpecError(f"{owner}: {field} is {shown(value)}, expected text (str)")
    if len(value) > most:
        raise SpecError(f"{owner}: {field} has {len(value):,} characters, expected at most {most:,}")
    for character in value:
        if category(character) in ("Cc", "Cs") and not (lines and character in "\n\t"):
            raise SpecError(f"{owner}: {field} holds {character!r}, expected text without control characters")


def _plain(owner: object, field: str, value: float) -> None:
    """Make the field's number a float of Python's own where it is of another kind, as numpy's are."""
    if type(value) not in (int, float):
        object.__setattr__(owner, field, float(value))
