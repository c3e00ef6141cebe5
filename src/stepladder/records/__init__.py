"""The folder of runs: what a run leaves on disk, whole or not at all, and checked against itself when it is read.

`<runs>/<step>-<fingerprint>/<seed>/` holds `run.json`, `weights.safetensors` and `logits.safetensors`. Beside it, while the run is
under way, `<seed>.checkpoint` and a note of how far its epoch is. A run is found by its fingerprint alone: the step's id in the
folder's name is for people, so that a step or a ladder can be renamed, and two ladders share what is the same.
"""

from stepladder.records.checkpoint import Checkpoint, progress, read_checkpoint, write_checkpoint
from stepladder.records.exports import Exports, exports
from stepladder.records.folder import (
    broken,
    checkpoint_file,
    clear_leftovers,
    copies,
    copies_in,
    exists,
    read,
    read_logits,
    read_weights,
    recorded,
    run_folder,
    tidy,
    verify,
    write,
    write_bytes,
)
from stepladder.records.locks import Held, alone, lock, lock_file, no_locks
from stepladder.records.record import (
    SCHEMA,
    Array,
    Epoch,
    Normalisation,
    Record,
    RecordError,
    Source,
    Status,
    accuracy_fault,
    fingerprint,
    lacks,
)
from stepladder.records.under_way import forget, note, noted

__all__ = [
    "SCHEMA", "Array", "Checkpoint", "Epoch", "Exports", "Held", "Normalisation", "Record", "RecordError", "Source", "Status",
    "accuracy_fault", "alone", "broken", "checkpoint_file", "clear_leftovers", "copies", "copies_in", "exists", "exports",
    "fingerprint", "forget", "lacks", "lock", "lock_file", "no_locks", "note", "noted", "progress", "read", "read_checkpoint",
    "read_logits", "read_weights", "recorded", "run_folder", "tidy", "verify", "write", "write_bytes", "write_checkpoint",
]  # fmt: skip
