"""TensorBoard's event files, written by tensorboardX: a folder for each step and seed, with its curves and settings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stepladder.spec import UserError
from stepladder.trackers.tracked import Tracked

PARTS = ("train", "test")


def write(runs: Sequence[Tracked], experiment: str, folder: Path) -> None:
    """Write a folder of events for each run. Raises UserError without tensorboardX."""
    writer = _library()
    for run in runs:
        with writer(str(folder / run.name), filename_suffix=f".{experiment}") as events:
            for epoch, ended, figures in run.epochs():
                for name, value in figures.items():
                    part, _, figure = name.partition("_")
                    tag = f"{figure}/{part}" if part in PARTS else name
                    events.add_scalar(tag, value, epoch, walltime=ended)
            events.add_hparams(run.settings, {"test_accuracy": run.row["test_accuracy"] or 0.0}, name=".")


def _library() -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise UserError(
            "TensorBoard's files are written with the tensorboardX package, which is not installed: "
            "pip install 'stepladder[tensorboard]'"
        ) from None
    return SummaryWriter
