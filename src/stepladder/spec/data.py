"""A value as plain data, for records and fingerprints."""

from dataclasses import fields, is_dataclass
from typing import Any


def to_data(value: Any) -> Any:
    """A spec value as JSON-ready data: a dict with its type and its fields.

    Fields that are off (None, False or 0) are left out, so a concept added to the language later, off unless
    asked for, leaves the fingerprints of all earlier records as they are.
    """
    if is_dataclass(value):
        found = {field.name: to_data(getattr(value, field.name)) for field in fields(value)}
        return {"type": type(value).__name__} | {name: data for name, data in found.items() if data or data == []}
    if isinstance(value, list | tuple):
        return [to_data(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 15 and 15.0 are equal in Python, so they are one recipe
    return value
