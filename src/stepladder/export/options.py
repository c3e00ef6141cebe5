"""How an export is to be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepladder.inference.operation import Program


class Reader(NamedTuple):
    """A network on a page: the `name` and `title` of its step, and what else is said of it."""

    name: str
    title: str
    program: Program
    facts: Mapping[str, str]


@dataclass(frozen=True)
class Options:
    """How an export is to be: the `name` that files, functions and classes of it take (a C identifier), a sentence on what it is,
    whether its weights and activations are of 8 bits, and images (n, channels, height, width) of the training set to calibrate
    those by; how the files of C lie, "plain" or as a library of "arduino". A page has several `readers`, the first of which is the
    program that is exported."""

    name: str
    what: str
    int8: bool
    training: NDArray[np.uint8]
    layout: str = "plain"
    readers: tuple[Reader, ...] = ()
