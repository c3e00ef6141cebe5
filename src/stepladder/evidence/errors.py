"""Which test images are answered wrong, and how well each class is answered."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SUSPECTS = frozenset({947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729})
"""Test images of MNIST whose labels people hold wrong (Northcutt, Athalye and Mueller 2021; cleanlab/label-errors)."""


@dataclass(frozen=True)
class Missed:
    """A test image that `missed_by` seeds answered wrong; `answers` counts what they said, most frequent first; `suspect`
    where the label itself is held wrong."""

    index: int
    label: int
    missed_by: int
    answers: dict[int, int]
    suspect: bool = False


@dataclass(frozen=True)
class Exchanged:
    """The test images, by index, on which most seeds of a step and most of its parent's differ: `fixed` are those that most of the
    parent's seeds answered wrong and most of the step's right, `broken` the reverse."""

    fixed: tuple[int, ...]
    broken: tuple[int, ...]


def missed(answers: Sequence[NDArray[np.uint8]], labels: NDArray[np.uint8], suspects: Collection[int] = ()) -> list[Missed]:
    """The images that at least one seed answered wrong, most often missed first, then by index.

    `answers` has one array (images,) for each seed.
    """
    if not len(answers):
        return []
    table = np.stack(answers)
    wrong = table != labels
    by = wrong.sum(axis=0)
    order = sorted(np.flatnonzero(by).tolist(), key=lambda index: (-by[index], index))
    said = {index: Counter(table[wrong[:, index], index].tolist()).most_common() for index in order}
    return [Missed(index, int(labels[index]), int(by[index]), dict(said[index]), index in suspects) for index in order]


def exchanged(images: Sequence[Missed], seeds: int, before: Sequence[Missed], seeds_before: int) -> Exchanged:
    """What a step of so many finished seeds, which missed these `images`, fixed and broke of its parent, which missed those
    `before`. An image that exactly half of the seeds missed is neither."""
    now, then = (
        {image.index: image.missed_by / of for image in of_step} for of_step, of in ((images, seeds), (before, seeds_before))
    )
    fixed = [index for index, share in then.items() if share > 0.5 and now.get(index, 0.0) < 0.5]
    broken = [index for index, share in now.items() if share > 0.5 and then.get(index, 0.0) < 0.5]
    return Exchanged(tuple(sorted(fixed)), tuple(sorted(broken)))


def per_class(confusion: Sequence[Sequence[int]]) -> tuple[float | None, ...]:
    """The share of each label's images answered right, from a confusion matrix (rows are labels, columns answers); None
    for a label that no image has."""
    return tuple(row[label] / total if (total := sum(row)) else None for label, row in enumerate(confusion))
