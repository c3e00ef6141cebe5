"""New images answered by a recorded run, made ready as its record says."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepladder.data import DataError, folders, table
from stepladder.data.pictures import converted
from stepladder.lab.run import Run, check_complete
from stepladder.spec import UserError


class Answer(NamedTuple):
    """The class that an image is taken for, and with which probability (softmax)."""

    image: str
    answer: str
    probability: float


def answer(run: Run, paths: Sequence[str | Path], *, resize: bool = False) -> list[Answer]:
    """What a run makes of images: pictures, folders of them, and CSV files of pixels, of which each row is an image. They are
    converted to grey or colour, and resized where those that it was trained on were, or where that is asked for.

    Raises DataError for what cannot be read or is of another size, RecordError where the record cannot be used.
    """
    if isinstance(paths, str | Path):
        raise UserError(f"paths is {str(paths)!r}, expected several paths, as in [{str(paths)!r}]")
    check_complete(run)
    assert run.record.classes
    names, images = _read(run, paths, resize)
    shares = run.probabilities(images)
    return [
        Answer(name, run.record.classes[label], float(share[label]))
        for name, label, share in zip(names, shares.argmax(1).tolist(), shares, strict=True)
    ]


def write(answers: Sequence[Answer], path: str | Path) -> None:
    """Answers as Kaggle takes them: ImageId,Label; raises OSError."""
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["ImageId", "Label"])
        rows.writerows((found.image, found.answer) for found in answers)


def _read(run: Run, paths: Sequence[str | Path], resize: bool) -> tuple[list[str], NDArray[np.uint8]]:
    source, shape = run.record.data, run.record.input
    assert source
    assert shape
    size = (shape[1], shape[2]) if resize or source.size else None
    names, images = list[str](), list[NDArray[np.uint8]]()
    for path in map(Path, paths):
        if path.suffix.lower() == ".csv":
            found = converted(table.read_unlabelled(path), size, shape[0])
            named = [str(len(names) + row) for row in range(1, len(found) + 1)]
        else:
            named, found = folders.read_unlabelled(path, size, shape[0])
        if found.shape[1:] != shape:
            sizes = [" x ".join(map(str, sides)) for sides in (found.shape[2:], shape[1:])]
            raise DataError(
                f"{path}: found images of {sizes[0]}, expected {sizes[1]}, as the run was trained on (resize=True, --resize)"
            )
        names += named
        images.append(found)
    return names, np.concatenate(images)
