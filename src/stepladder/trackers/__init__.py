"""Runs as other tools take them: tables of CSV, TensorBoard's events, a store of MLflow; each written by the tool's own light
library."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from stepladder.spec import UserError, shown
from stepladder.trackers import mlflow_store, tables, tensorboard
from stepladder.trackers.tracked import Tracked

__all__ = ["KINDS", "Tracked", "write"]

KINDS = {"csv": tables, "tensorboard": tensorboard, "mlflow": mlflow_store}


def write(to: str, runs: Sequence[Tracked], experiment: str, folder: Path) -> list[Path]:
    """Write the runs of an experiment (the ladder's name) to a new folder, whole or not at all; returns its files.

    Raises UserError without a run, for a kind that there is not, for a missing library, and for a folder that holds something.
    """
    if to not in KINDS:
        raise UserError(f"cannot write runs to {shown(to)}: expected {', '.join(KINDS)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: found something there, expected a new folder or an empty one: choose another (--output)")
    if not runs:
        raise UserError(f"{experiment} has no run that could be written")
    temporary = folder.with_name(f"{folder.name}.tmp-{uuid4().hex[:8]}")  # MLflow remembers what it had under a name
    temporary.mkdir(parents=True)
    try:
        KINDS[to].write(runs, experiment, temporary)
        if folder.exists():
            folder.rmdir()
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return sorted(path for path in folder.rglob("*") if path.is_file())
