"""The folder of runs: what a run leaves on disk, whole or not at all.

`<runs>/<step>-<fingerprint>/<seed>/` holds `run.json`, `weights.safetensors` and `logits.safetensors`. Beside it, while
the run is under way, `<seed>.checkpoint` (a safetensors file). Everything is written under a temporary name, then renamed.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from stepladder.spec import Step, UserError, to_data

SCHEMA = 1
Array = NDArray[Any]


class RecordError(UserError):
    """A record that cannot be read: the message names the file, what was found and what was expected."""


@dataclass(frozen=True)
class Epoch:
    """One epoch of a run. Accuracies are fractions; losses are means over images; training figures are as seen while
    training, with augmentation, dropout and label smoothing; test figures are those of the averaged weights where the
    recipe has an average, and those of the validation images in a run with a holdout. `learning_rate` is that of the
    epoch's last batch."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    test_correct: int
    seconds: float


@dataclass(frozen=True)
class Record:
    """What `run.json` holds. `status` is `finished` or `diverged` (then the history ends before the epoch whose loss
    was not finite, and there is no confusion matrix). Rows of `confusion` are labels, columns answers."""

    schema: int
    ladder: str
    step: str
    title: str
    seed: int
    fingerprint: str
    status: str
    parameters: int
    epochs: int
    history: list[Epoch]
    confusion: list[list[int]] | None
    weights_sha256: str
    environment: dict[str, Any]
    network: dict[str, Any]
    recipe: dict[str, Any]
    data_sha256: str


class Checkpoint(NamedTuple):
    """A run under way: its epochs so far, the torch threads it was begun with, and its arrays."""

    history: list[Epoch]
    threads: int
    arrays: dict[str, Array]


def fingerprint(step: Step, data_digest: str, engine: str) -> str:
    """12 hex digits of the SHA-256 over all that decides a step's numbers, but the seed."""
    decides = {"network": to_data(step.network), "recipe": to_data(step.recipe), "data": data_digest, "engine": engine}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]


def run_folder(runs: Path, step: Step, fingerprint: str, seed: int) -> Path:
    """Where the record of one run is, or will be."""
    return runs / f"{step.id}-{fingerprint}" / str(seed)


def exists(folder: Path) -> bool:
    """Whether this run is finished (or has diverged) and recorded."""
    return (folder / "run.json").is_file()


def write(folder: Path, record: Record, weights: bytes, logits: NDArray[np.float32] | None) -> None:
    """Write a record, then drop the run's checkpoint. A record that another process finished first is kept."""
    temporary = folder.with_name(f"{folder.name}.tmp-{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    _write_bytes(temporary / "weights.safetensors", weights)
    if logits is not None:
        _write_bytes(temporary / "logits.safetensors", save({"logits": logits}))
    _write_bytes(temporary / "run.json", _text(asdict(record)).encode())
    try:
        temporary.rename(folder)
    except OSError:
        shutil.rmtree(temporary)
        if not exists(folder):
            raise
    _checkpoint_file(folder).unlink(missing_ok=True)


def read(folder: Path) -> Record:
    """The record in this folder; raises RecordError where it is not one of this schema."""
    path = folder / "run.json"
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        raise RecordError(f"{path}: file not found") from None
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: not a readable JSON file: {error}") from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise RecordError(f"{path}: found schema {found!r}, expected {SCHEMA}")
    missing = [field.name for field in fields(Record) if field.name not in data]
    if missing:
        raise RecordError(f"{path}: {', '.join(missing)} missing, expected all of schema {SCHEMA}")
    known = {field.name: data[field.name] for field in fields(Record)}
    try:
        return Record(**known | {"history": [Epoch(**epoch) for epoch in data["history"]]})
    except TypeError as error:
        raise RecordError(f"{path}: malformed history: {error}") from None


def read_logits(folder: Path) -> NDArray[np.float32]:
    """The logits (images, classes) of all test images after the last epoch."""
    path = folder / "logits.safetensors"
    try:
        logits: NDArray[np.float32] = load_file(path)["logits"]
    except (OSError, SafetensorError, KeyError) as error:
        raise RecordError(f"{path}: expected a safetensors file with 'logits', found: {error}") from None
    return logits


def seeds(runs: Path, step: Step, fingerprint: str) -> Iterator[int]:
    """The seeds with a record for this step, in order."""
    parent = run_folder(runs, step, fingerprint, 0).parent
    found = [folder for folder in parent.iterdir() if folder.name.isdecimal() and exists(folder)] if parent.is_dir() else []
    yield from sorted(int(folder.name) for folder in found)


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the run's checkpoint."""
    metadata = {
        "history": json.dumps([asdict(epoch) for epoch in checkpoint.history]),
        "threads": str(checkpoint.threads),
    }
    path = _checkpoint_file(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    _write_bytes(temporary, save(checkpoint.arrays, metadata))
    temporary.replace(path)


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The run's checkpoint; None where it has none."""
    path = _checkpoint_file(folder)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        return Checkpoint([Epoch(**epoch) for epoch in json.loads(metadata["history"])], int(metadata["threads"]), arrays)
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{path}: not a readable checkpoint ({error}); delete it to train the run anew") from None


def progress(folder: Path) -> list[Epoch]:
    """The epochs done so far: of the record, of the checkpoint, or none."""
    if exists(folder):
        return read(folder).history
    checkpoint = read_checkpoint(folder)
    return checkpoint.history if checkpoint else []


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold this run, so that no other process trains it or writes it; waits for one that does. Freed when a process dies."""
    path = folder.parent.parent / ".locks" / f"{folder.parent.name}-{folder.name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield


def clear_leftovers(folder: Path) -> None:
    """Remove what killed processes left half-written beside this run."""
    for path in folder.parent.glob(f"{folder.name}.*tmp-*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _text(record: dict[str, Any]) -> str:
    """JSON with a line for each field, each epoch and each row of the confusion matrix, for people who open it."""

    def value(name: str, found: Any) -> str:
        if name in ("history", "confusion") and found:
            return "[\n  " + ",\n  ".join(json.dumps(item, allow_nan=False) for item in found) + "\n ]"
        return json.dumps(found, allow_nan=False)

    return "{\n" + ",\n".join(f' "{name}": {value(name, found)}' for name, found in record.items()) + "\n}\n"


def _checkpoint_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.checkpoint")


def _write_bytes(path: Path, data: bytes) -> None:
    """Write and flush to the disk, so that the renaming that follows never outruns the bytes."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
