"""What workers send back, checked and put into the folder of runs."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from stepladder import records
from stepladder.records import RecordError


def record(folder: Path, files: Mapping[str, bytes], labels: NDArray[np.uint8]) -> None:
    """Write a run's record of these files, by name, whole or not at all; `labels` are those of its test images. Raises RecordError
    where anything in them contradicts anything."""
    with TemporaryDirectory(prefix="stepladder-") as place:
        arrived = Path(place) / folder.parent.name / folder.name
        for name, found in files.items():
            records.write_bytes(arrived / Path(name).name, found)
        read = records.read(arrived)
        records.verify(arrived, read, labels)
        logits = None if read.confusion is None else records.read_logits(arrived, read)
        records.write(folder, read, records.read_weights(arrived, read), logits)


def checkpoint(folder: Path, found: bytes, epochs: int) -> None:
    """Replace a run's checkpoint by one of more than so many epochs; raises RecordError, and leaves the one there was, where it is
    damaged, of another run, or of no more epochs."""
    with TemporaryDirectory(prefix="stepladder-") as place:
        arrived = Path(place) / folder.parent.name / folder.name
        records.write_bytes(records.checkpoint_file(arrived), found)
        read = records.read_checkpoint(arrived)
    if read is None or len(read.history) <= epochs:
        raise RecordError(f"{folder}: a checkpoint of {len(read.history) if read else 0} epochs, expected more than {epochs}")
    records.write_bytes(records.checkpoint_file(folder), found)
