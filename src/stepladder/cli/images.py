"""What `data` and `predict` show."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stepladder.cli import layout
from stepladder.data import EMBEDDED, DataError, Found, read
from stepladder.data.describe import class_names, contact_sheet, describe
from stepladder.lab.answers import Answer
from stepladder.lab.lab import check_reading

__all__ = ["describe", "draw", "found", "show", "show_answers"]

SHOWN = 5
"""At most so many test images that are training images as well are named."""


def found(path: Path | None, size: tuple[int, int] | None, channels: int | None) -> Found:
    """What lies at a path; raises DataError."""
    check_reading(0.0, size, channels)
    return read(path or EMBEDDED, size, channels)


def check_sheet(path: Path) -> None:
    """Raise DataError for a name that no contact sheet can have."""
    if path.suffix.lower() != ".png":
        raise DataError(f"{path}: a contact sheet is a PNG, expected a name that ends in .png")


def draw(found: Found, path: Path) -> None:
    """Write the contact sheet of the training images as a PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(found.train, class_names(found)).save(path)


def show(path: Path | None, told: dict[str, Any]) -> None:
    """Print a description: a line for each class, and a sentence for all else."""
    parts = told["images"]
    rows = [[name, *(f"{told['counts'][part][number]:,}" for part in parts)] for number, name in enumerate(told["classes"])]
    sides = " x ".join(map(str, told["input"]))
    print(f"{path or 'mnist'}: {told['kind']}, images of {sides} (channels x height x width), {len(told['classes'])} classes")
    layout.put(None, ("class", *parts), 1, rows, ["total", *(f"{count:,}" for count in parts.values())])
    for remark in told["remarks"]:
        print(remark)
    if "test" not in parts:
        print("It has no test part: `stepladder run LADDER --data ... --split 0.2` makes a fifth of the images one.")
        return
    twins = told["duplicates"]
    print(f"{len(twins):,} of {parts['test']:,} test images are training images as well, pixel for pixel.")
    for twin in twins[:SHOWN]:
        names = [told["classes"][twin[label]] for label in ("test_label", "train_label")]
        other = f", there labelled {names[1]}" if names[0] != names[1] else ""
        print(f"  test image {twin['test']} ({names[0]}) is training image {twin['train']}{other}")


def show_answers(answers: Sequence[Answer]) -> None:
    """Print an answer a line."""
    layout.put(
        None, ("image", "answer", "probability"), 2, [[each.image, each.answer, f"{each.probability:.1%}"] for each in answers]
    )
