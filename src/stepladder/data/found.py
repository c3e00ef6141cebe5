"""What a reader of a format finds."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepladder.spec import UserError


class DataError(UserError):
    """Images that cannot be used: the message names the file, what was found and what was expected."""


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
