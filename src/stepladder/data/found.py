"""What is asked of a source, and what a reader of a format finds there."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepladder.spec import UserError

MOST_CLASSES = 256
"""Labels are of eight bits."""
LONGEST_SIDE = 65_535


class DataError(UserError):
    """Images that cannot be used: the message names the file, what was found and what was expected."""


class Reading(NamedTuple):
    """How a source is read, by default as it is.

    - `split`: the share of the training images, the same of every class, that becomes the test part of a source without one
    - `size`: (height, width) that every image is resized to. `channels`: 1 (grey) or 3 (colour) that all are converted to
    - `holdout`: so many training images, the same share of every class, are kept back from training and take the place of the
      test images; those of a validation part first, where the source has one
    - `fold`: which of the parts that a holdout of this size may keep back, none of which share an image: 0 is the first
    - `quick`: a part of all images for a first look, the same share of every class (`split.QUICK`)
    """

    split: float = 0.0
    size: tuple[int, int] | None = None
    channels: int | None = None
    holdout: int = 0
    fold: int = 0
    quick: bool = False

    @property
    def judged(self) -> list[str]:
        """What names of folders say of the images that judge; nothing for all test images."""
        return ["holdout"] * bool(self.holdout) + [f"fold-{self.fold}"] * bool(self.fold) + ["quick"] * self.quick


AS_IS = Reading()


class Part(NamedTuple):
    """Images (n, channels, height, width) and their labels (n,), both uint8."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


class Found(NamedTuple):
    """What a source holds, whichever parts it has: what was recognised, in words ("Keras archive"); the names of the classes in
    the order of their labels, None where the source only numbers them; and what was passed over or converted, a sentence each."""

    kind: str
    train: Part
    test: Part | None = None
    validation: Part | None = None
    names: tuple[str, ...] | None = None
    remarks: tuple[str, ...] = ()
