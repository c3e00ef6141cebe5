"""How an export is to be."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Options:
    """How an export is to be: the `name` that files, functions and classes of it take (a C identifier), a sentence on what it is,
    whether its weights and activations are of 8 bits, and images (n, channels, height, width) of the training set to calibrate
    those by; and how the files of C lie, "plain" or as a library of "arduino"."""

    name: str
    what: str
    int8: bool
    training: NDArray[np.uint8]
    layout: str = "plain"
