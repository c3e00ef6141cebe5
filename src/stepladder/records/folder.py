"""Where runs lie on disk, and what is done there: written whole, found again, read and checked, cleared of leftovers."""

import hashlib
import os
import re
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from stepladder.records.record import Record, RecordError, accuracy_fault, decode, encode

FOLDER = re.compile(r".+-([0-9a-f]{12})")
"""What the folder of a step is called."""
LARGEST = 1 << 26
"""No run.json is so long (in bytes): it would be something else."""


def run_folder(runs: Path, step: str, fingerprint: str, seed: int) -> Path:
    """Where the record of one run is, or will be: where the fingerprint has a folder already, whatever its step is called there,
    else in a new one under the id of its `step`."""
    there = [parent / str(seed) for parent in _step_folders(runs, fingerprint)] or [runs / f"{step}-{fingerprint}" / str(seed)]
    done = [folder for folder in there if exists(folder)]
    begun = [folder for folder in there if checkpoint_file(folder).exists()]
    return (done or begun or there)[0]


def recorded(runs: Path, fingerprint: str) -> dict[int, Path]:
    """The folders of all recorded runs of a fingerprint by seed, in order; of copies, the first."""
    return {seed: folders[0] for seed, folders in copies(runs, fingerprint).items()}


def copies(runs: Path, fingerprint: str) -> dict[int, list[Path]]:
    """As `recorded`, but all of a run's folders: several where it was copied under another name of its step."""
    found: dict[int, list[Path]] = {}
    for parent in _step_folders(runs, fingerprint):
        for folder in copies_in(parent):
            found.setdefault(int(folder.name), []).append(folder)
    return dict(sorted(found.items()))


def copies_in(parent: Path) -> list[Path]:
    """The folders of the recorded runs in the folder of a step, by seed."""
    return sorted((folder for folder in parent.iterdir() if _seed(folder.name) and exists(folder)), key=lambda each: int(each.name))


def broken(runs: Path, fingerprint: str) -> list[str]:
    """What stands where a run of this fingerprint belongs and is none, a sentence each."""
    found = []
    for parent in _step_folders(runs, fingerprint):
        for path in sorted(parent.iterdir()):
            if path.name.isdecimal() and not exists(path) and not _empty(path):
                found.append(f"{path}: found no run.json in it, expected a run")
    return found


def exists(folder: Path) -> bool:
    """Whether this run is finished (or has diverged) and recorded, or may not be looked at: then `read` tells so."""
    try:
        return stat.S_ISREG((folder / "run.json").stat().st_mode)
    except PermissionError:
        return True
    except OSError:
        return False


def write(folder: Path, record: Record, weights: bytes, logits: NDArray[np.float32] | None) -> None:
    """Write a record, then drop the run's checkpoint. A record that another process finished first is kept."""
    temporary = folder.with_name(f"{folder.name}.tmp-{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    answered = None if logits is None else save({"logits": logits})
    try:
        _write(temporary / "weights.safetensors", weights)
        if answered is not None:
            _write(temporary / "logits.safetensors", answered)
        logits_sha256 = None if answered is None else hashlib.sha256(answered).hexdigest()
        _write(temporary / "run.json", encode(replace(record, logits_sha256=logits_sha256)))
        temporary.rename(folder)
    except (OSError, ValueError):
        shutil.rmtree(temporary)
        if not exists(folder):
            if folder.exists():
                raise RecordError(f"{folder}: found no run.json in it; delete it to make room for the run") from None
            raise
    checkpoint_file(folder).unlink(missing_ok=True)


def read(folder: Path) -> Record:
    """The record in this folder; raises RecordError where it is none, contradicts itself, or is not the one that the folder
    names."""
    path = folder / "run.json"
    try:
        if path.stat().st_size > LARGEST:
            raise RecordError(f"{path}: found {path.stat().st_size:,} bytes, expected a record of at most {LARGEST:,}")
        record = decode(path.read_bytes())
    except FileNotFoundError:
        raise RecordError(f"{path}: file not found") from None
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from None
    except RecordError:
        raise
    except ValueError as error:
        raise RecordError(f"{path}: {error}") from None
    if (record.fingerprint, record.seed) != named(folder):
        raise RecordError(
            f"{path}: it is the record of fingerprint {record.fingerprint}, seed {record.seed}; "
            f"expected those of its folder, {folder.parent.name}/{folder.name}"
        )
    return record


def read_logits(folder: Path, record: Record) -> NDArray[np.float32]:
    """The logits (images, classes) of all test images after the last epoch; raises RecordError where they are not those that
    the record was made with."""
    path = folder / "logits.safetensors"
    raw = _read(path, record.logits_sha256)
    try:
        logits: NDArray[np.float32] = load(raw)["logits"]
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"{path}: expected a safetensors file with 'logits', found: {error}") from None
    sides = len(record.confusion or [])
    expected = (int(np.sum(record.confusion or 0)), sides)
    if logits.shape != expected or logits.dtype != np.float32:
        raise RecordError(f"{path}: found logits of shape {logits.shape} and {logits.dtype}, expected {expected} and float32")
    if not np.isfinite(logits).all():
        raise RecordError(f"{path}: found logits that are not finite numbers")
    return logits


def read_weights(folder: Path, record: Record) -> bytes:
    """The safetensors file of the weights; raises RecordError where its SHA-256 is not the record's."""
    return _read(folder / "weights.safetensors", record.weights_sha256)


def verify(folder: Path, record: Record, labels: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """What a record's run answered to the test images of these labels, (images,); None for one that diverged.

    Everything the run left is held against everything else: RecordError says what contradicts what.
    """
    path = folder / "run.json"
    read_weights(folder, record)
    if fault := accuracy_fault(record.history, len(labels)):
        raise RecordError(f"{path}: {fault}")
    if record.confusion is None:
        if (folder / "logits.safetensors").exists():
            raise RecordError(f"{path}: it has diverged, with logits beside it")
        return None
    answers: NDArray[np.uint8] = read_logits(folder, record).argmax(axis=1).astype(np.uint8)
    classes = len(record.confusion)
    if len(labels) and labels.max() >= classes:
        raise RecordError(f"{path}: its confusion matrix has {classes} classes, expected at least {labels.max() + 1}")
    if len(answers) != len(labels):
        raise RecordError(f"{path}: its confusion matrix counts {len(answers)} images, expected {len(labels)} test images")
    counts = np.bincount(classes * labels.astype(np.intp) + answers, minlength=classes**2).reshape(classes, classes)
    if counts.tolist() != record.confusion:
        raise RecordError(f"{path}: its confusion matrix is not that of the answers in {folder / 'logits.safetensors'}")
    return answers


def clear_leftovers(folder: Path) -> None:
    """Remove what killed processes left half-written beside this run."""
    for path in folder.parent.glob(f"{folder.name}.*tmp-*"):
        _remove(path)


def tidy(runs: Path, fingerprint: str) -> None:
    """Remove what killed processes left of runs of this fingerprint that are recorded: checkpoints, temporary files, locks."""
    for parent in _step_folders(runs, fingerprint):
        for path in list(parent.iterdir()):
            seed, _, left = path.name.partition(".")
            if not (_seed(seed) and exists(parent / seed)):
                continue
            if left == "checkpoint":
                path.unlink(missing_ok=True)
            elif "tmp-" in left:
                _remove(path)
        for path in runs.glob(f".{fingerprint}-*.lock"):
            seed = path.name.removeprefix(f".{fingerprint}-").removesuffix(".lock")
            if _seed(seed) and exists(parent / seed):
                path.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _seed(name: str) -> bool:
    """Whether a folder's name is a seed, as it is written."""
    return name.isdecimal() and str(int(name)) == name


def named(folder: Path) -> tuple[str, int]:
    """The fingerprint and the seed that a run's folder stands for; ('', -1) for another folder."""
    found = FOLDER.fullmatch(folder.parent.name)
    return (found[1], int(folder.name)) if found and folder.name.isdecimal() else ("", -1)


def checkpoint_file(folder: Path) -> Path:
    """Where the checkpoint of this run is, or will be."""
    return folder.with_name(f"{folder.name}.checkpoint")


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        _write(temporary, data)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _empty(path: Path) -> bool:
    """Whether this is a folder that is known to have nothing in it: a record may take its place."""
    try:
        return path.is_dir() and not any(path.iterdir())
    except PermissionError:
        return False


def _step_folders(runs: Path, fingerprint: str) -> list[Path]:
    try:  # not by glob, for which a folder that may not be read is an empty one
        return sorted(folder for folder in runs.iterdir() if folder.name.endswith(f"-{fingerprint}") and folder.is_dir())
    except FileNotFoundError:
        return []


def _read(path: Path, sha256: str | None) -> bytes:
    """A file's bytes, checked against their hash where there is one."""
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise RecordError(f"{path}: found something else than a file")
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise RecordError(f"{path}: file not found") from None
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from None
    if sha256 is not None and (found := hashlib.sha256(raw).hexdigest()) != sha256:
        raise RecordError(f"{path}: damaged: its SHA-256 is {found}, expected {sha256} of run.json")
    return raw


def _write(path: Path, data: bytes) -> None:
    """Write and flush to the disk, so that the renaming that follows never outruns the bytes."""
    try:
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:  # a full disk does not say of which file
        raise OSError(error.errno, error.strerror, str(path)) from None
