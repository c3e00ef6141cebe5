"""How far the epoch of a run under way is: a note beside its checkpoint, for whoever watches. It decides nothing."""

import os
from contextlib import suppress
from pathlib import Path


def note(folder: Path, epoch: int, share: float) -> None:
    """Note that so much of an epoch (counted from 1) is done. A note that cannot be written is left out: it is only told."""
    temporary = _file(folder).with_name(f"{folder.name}.note.tmp-{os.getpid()}")
    with suppress(OSError):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(f"{epoch} {share:.4f}", encoding="ascii")
        temporary.replace(_file(folder))


def noted(folder: Path, epoch: int) -> float:
    """How much of this epoch is done, from 0 to 1, by the last note; 0 where there is none."""
    try:
        of, share = _file(folder).read_text(encoding="ascii").split()
        return min(1.0, max(0.0, float(share))) if int(of) == epoch else 0.0
    except (OSError, ValueError):
        return 0.0


def forget(folder: Path) -> None:
    """Remove the note of a run that is done."""
    _file(folder).unlink(missing_ok=True)


def _file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.tmp-note")  # a name that is cleared with what a killed process leaves
