"""The folder of an export: written whole or not at all, and run before it is there."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepladder.export import card
from stepladder.export.options import Options
from stepladder.export.targets import Target, What
from stepladder.spec import UserError

CLOSE = 1e-3
"""Two scores that are no further apart may change places by rounding."""


class Judged(NamedTuple):
    """Images (n, channels, height, width), their labels, and the scores (n, classes) that the record has of them."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    scores: NDArray[np.float32]


class Export(NamedTuple):
    """An export that was written: its `folder`, its files, and its model card; of `images` so many answers are `equal` to the
    record's."""

    folder: Path
    paths: tuple[Path, ...]
    card: dict[str, Any]

    @property
    def equal(self) -> int:
        """How many images are answered as the record does."""
        return int(self.card["answers"]["equal"])

    @property
    def images(self) -> int:
        """How many images were answered."""
        return int(self.card["answers"]["images"])


def write(
    to: str,
    writes: Target[What],
    program: What,
    options: Options,
    folder: Path,
    judged: Judged,
    told: Callable[[dict[str, Any]], dict[str, Any]],
    force: bool = False,
) -> Export:
    """Write an export `to` a kind and its card, which `told` makes of what the export says of itself, and run it over the judged
    images.

    Raises UserError for what cannot be written so, for a folder that exists (unless it is an export and `force` is given), and
    where an answer differs from the record's by more than rounding; then nothing is left.
    """
    writes.check(program, options)
    check_folder(folder, force)
    temporary = folder.with_name(f"{folder.name}.tmp-{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        paths = list(writes.write(program, temporary, options))
        labels, by = writes.answers(temporary, program, options, judged.images)
        agree = compared(labels, judged, by, options.int8)
        figures, measured = writes.figures(temporary, program, options, judged.images)
        made = {"to": to, "int8": options.int8, "answers": agree, "figures": figures}
        found = told(made | ({"measured": measured} if measured else {}))
        paths += card.write(found, temporary)
        _replace(folder, temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Export(folder, tuple(folder / path.relative_to(temporary) for path in paths), found)


def compared(labels: NDArray[np.uint8], judged: Judged, by: str, int8: bool) -> dict[str, Any]:
    """How many answers are the record's; raises UserError where one of a float export differs by more than rounding."""
    recorded = judged.scores.argmax(1)
    differs = np.flatnonzero(labels != recorded)
    best = np.sort(judged.scores, 1)[:, -2:]
    wrong = differs[best[differs, 1] - best[differs, 0] > CLOSE]
    if len(wrong) and not int8:
        first = int(wrong[0])
        raise UserError(
            f"the export disagrees with the record on {len(wrong):,} of {len(labels):,} images, as on image {first}: it answers "
            f"{labels[first]}, the record {recorded[first]} (run by {by}); nothing was written"
        )
    return {
        "images": len(labels),
        "equal": len(labels) - len(differs),
        "correct": int((labels == judged.labels).sum()),
        "recorded_correct": int((recorded == judged.labels).sum()),
        "by": by,
    }


def check_folder(folder: Path, force: bool) -> None:
    """Raise UserError where an export must not be written."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{folder}: found a file, expected a folder that is not there yet")
    empty = not any(folder.iterdir())
    if not empty and not (folder / card.FILES[0]).is_file():
        raise UserError(f"{folder}: found a folder that is no export, expected one that is not there yet")
    if not force and not empty:
        raise UserError(f"{folder}: found an export, choose another folder (-o), or force it to be replaced (force=True, --force)")


def _replace(folder: Path, temporary: Path) -> None:
    """Put the new folder in the place of the old one, which is back where that fails."""
    old = folder.with_name(f"{folder.name}.old-{os.getpid()}")
    if folder.exists():
        folder.rename(old)
    try:
        temporary.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
