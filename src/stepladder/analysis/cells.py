"""Verdicts and what they rest on in the few words of a table's cell, from a report's data."""

import math
from typing import Any

PLANNED = "planned beforehand and looked at once"
"""How seeds are asked for: whoever adds some until a test says so is wrong more often than it says."""


def held(found: dict[str, Any]) -> str:
    """How many seeds held, and how often a new one does at the least: '20 of 20, at least 86 %'."""
    return f"{count(found)} of {found['n']}{least(found)}"


def count(found: dict[str, Any]) -> int:
    """How many seeds a share is."""
    return round(float(found["share"]) * int(found["n"]))


def least(found: dict[str, Any]) -> str:
    """', at least 86 %': the share's lower bound, rounded down; '' where that is 0."""
    bound = math.floor(100 * found["least"])
    return f", at least {bound} %" if bound else ""


def effect(found: dict[str, Any]) -> str:
    """An effect's verdict, and that its interval excludes 0 where the verdict does not."""
    return f"{found['verdict']} ({found['reason']})" if found["reason"].startswith("interval excludes 0") else str(found["verdict"])
