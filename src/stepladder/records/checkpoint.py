"""A run under way: after each epoch all that is needed to go on with the same bits."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from msgspec import MsgspecError, convert
from msgspec.json import Decoder
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from stepladder.records.folder import checkpoint_file, exists, named, read, write_bytes
from stepladder.records.record import Array, Epoch, Fingerprint, RecordError

_HISTORY = Decoder(list[Epoch])


class Checkpoint(NamedTuple):
    """A run under way: its epochs so far, the torch threads it was begun with, its arrays, and which run it is."""

    history: list[Epoch]
    threads: int
    arrays: dict[str, Array]
    fingerprint: str
    seed: int


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the run's checkpoint."""
    metadata = {
        "history": json.dumps([asdict(epoch) for epoch in checkpoint.history], allow_nan=False),
        "threads": str(checkpoint.threads),
        "fingerprint": checkpoint.fingerprint,
        "seed": str(checkpoint.seed),
    }
    seal = {"sha256": _digest(metadata, checkpoint.arrays)}
    write_bytes(checkpoint_file(folder), save(checkpoint.arrays, metadata | seal))


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The run's checkpoint; None where it has none. Raises RecordError for one that is damaged or of another run."""
    path = checkpoint_file(folder)
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise ValueError("found something else than a file")
        with path.open("rb"):  # safe_open tells of a file that may not be read that it is not there
            pass
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if metadata.pop("sha256") != _digest(metadata, arrays):
            raise ValueError("its SHA-256 is not the one it was written with")
        found = Checkpoint(
            _HISTORY.decode(metadata["history"]),
            int(metadata["threads"]),
            arrays,
            convert(metadata["fingerprint"], Fingerprint),
            int(metadata["seed"]),
        )
        if [epoch.epoch for epoch in found.history] != list(range(1, len(found.history) + 1)) or not found.threads > 0:
            raise ValueError("its epochs are not each once, from 1 on, or its threads none")
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, MsgspecError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"{path}: not a readable checkpoint ({error}); delete it to train the run anew") from None
    if (found.fingerprint, found.seed) != named(folder):
        raise RecordError(
            f"{path}: it is the checkpoint of fingerprint {found.fingerprint}, seed {found.seed}, not of this run; "
            "delete it to train the run anew"
        )
    return found


def progress(folder: Path) -> list[Epoch]:
    """The epochs done so far: of the record, of the checkpoint, or none."""
    if exists(folder):
        return read(folder).history
    checkpoint = read_checkpoint(folder)
    return checkpoint.history if checkpoint else []


def _digest(metadata: Mapping[str, str], arrays: Mapping[str, Array]) -> str:
    """The SHA-256 of what a checkpoint says and of its arrays with their names, kinds and shapes."""
    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
