"""What workers send back, checked before it is put into the folder of runs."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepladder import records
from stepladder.records import Record, RecordError


class Recorded(NamedTuple):
    """What `records.write` takes."""

    record: Record
    weights: bytes
    logits: NDArray[np.float32] | None


def record(folder: Path, files: Mapping[str, bytes], labels: NDArray[np.uint8]) -> Recorded:
    """The record of the run of this folder that these files, by name, are; `labels` are those of its test images. Raises
    RecordError where anything in them contradicts anything."""
    with TemporaryDirectory(prefix="stepladder-") as place:
        arrived = Path(place) / folder.parent.name / folder.name
        for name, found in files.items():
            records.write_bytes(arrived / Path(name).name, found)
        read = records.read(arrived)
        records.verify(arrived, read, labels)
        logits = None if read.confusion is None else records.read_logits(arrived, read)
        return Recorded(read, records.read_weights(arrived, read), logits)


def check_checkpoint(folder: Path, found: bytes, epochs: int) -> None:
    """Raise RecordError unless this is a checkpoint of the run of this folder, of more than so many epochs."""
    with TemporaryDirectory(prefix="stepladder-") as place:
        arrived = Path(place) / folder.parent.name / folder.name
        records.write_bytes(records.checkpoint_file(arrived), found)
        read = records.read_checkpoint(arrived)
    if read is None or len(read.history) <= epochs:
        raise RecordError(f"{folder}: a checkpoint of {len(read.history) if read else 0} epochs, expected more than {epochs}")
