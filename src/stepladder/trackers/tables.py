"""Two tables of CSV: a row for each run, a row for each of its epochs."""

import csv
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from stepladder.records import Epoch
from stepladder.trackers.tracked import Tracked


def write(runs: Sequence[Tracked], experiment: str, folder: Path) -> None:
    """Write runs.csv and epochs.csv; what is not known is an empty cell. (Both name the experiment in each row.)"""
    _write(folder / "runs.csv", list(runs[0].row), [run.row for run in runs])
    names = ["ladder", "step", "seed", *(field.name for field in fields(Epoch))]
    _write(folder / "epochs.csv", names, [row for run in runs for row in run.history()])


def _write(path: Path, names: list[str], rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, names, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
