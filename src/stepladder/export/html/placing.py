"""How the images of a data set lie in their frames, so that what is drawn can be put the same way."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST = 10_000
"""So many images are looked at."""

CENTRED = 1.0
"""Images whose centres lie no further from their mean than this, in the median, in pixels, were put there."""


class Placing(NamedTuple):
    """Ink on black, of which the longer side of its `box` and the `centre` of all images (row, column; 0 at the upper left edge)
    are alike, in pixels: that of the ink's mass, or of its box. For MNIST: 20, (14.5, 14.5) or so, by mass (LeCun et al. 1998)."""

    box: int
    centre: tuple[float, float]
    by: Literal["mass", "box"]


def placing(images: NDArray[np.uint8]) -> Placing | None:
    """How images (n, channels, height, width) lie; None where they are not ink on black: in colour, or bright in half of their
    pixels. Ink whose place differs from image to image is put in the middle."""
    if images.shape[1] != 1:
        return None
    ink = images[:MOST, 0][images[:MOST].any((1, 2, 3))]
    if not len(ink) or 2 * np.count_nonzero(ink) >= ink.size:
        return None
    (top, bottom), (left, right) = (_ends(ink.max(axis) > 0) for axis in (2, 1))
    box = int(np.median(np.maximum(bottom - top, right - left)))
    centres: dict[Literal["mass", "box"], NDArray[np.float64]] = {
        "mass": np.stack([_balance(ink.sum(axis, dtype=np.int64)) for axis in (2, 1)], 1),
        "box": np.stack([top + bottom, left + right], 1) / 2,
    }
    spreads = {by: float(np.median(np.abs(found - np.median(found, 0)).max(1))) for by, found in centres.items()}
    by = min(spreads, key=lambda name: spreads[name])
    if spreads[by] > CENTRED:
        return Placing(box, (images.shape[2] / 2, images.shape[3] / 2), "box")
    down, along = (round(float(each), 2) for each in np.median(centres[by], 0))
    return Placing(box, (down, along), by)


def _ends(lines: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first line with ink of each image, and the one after the last."""
    return lines.argmax(1), lines.shape[1] - lines[:, ::-1].argmax(1)


def _balance(mass: NDArray[np.int64]) -> NDArray[np.float64]:
    """Where lines of such mass are balanced, each in its middle."""
    found: NDArray[np.float64] = mass @ (np.arange(mass.shape[1]) + 0.5) / mass.sum(1)
    return found
