"""What is peculiar to EMNIST (Cohen, Afshar, Tapson, van Schaik, 2017): six sets, whose images lie on their side."""

import re
from string import ascii_lowercase, ascii_uppercase, digits

import numpy as np

from stepladder.data.arrays import Named, classes
from stepladder.data.found import DataError

# Of 15 letters the small form looks like the capital one; these are kept apart.
_MERGED = digits + ascii_uppercase + "abdefghnqrt"
CLASSES = {
    "balanced": _MERGED,
    "byclass": digits + ascii_uppercase + ascii_lowercase,
    "bymerge": _MERGED,
    "digits": digits,
    "letters": ascii_uppercase,
    "mnist": digits,
}
"""The classes of each set, a character each, in the order of their labels."""


REMARK = "EMNIST's images, which lie on their side, were put upright"


def which(name: str) -> str | None:
    """The set that a file of this name belongs to, by EMNIST's own names ("emnist-letters-train-images-idx3-ubyte.gz")."""
    match = re.match(rf"emnist[-_]({'|'.join(CLASSES)})(?![a-z])", name.lower())
    return match and match[1]


def upright(images: Named) -> Named:
    """Images (n, channels, height, width) with rows and columns exchanged."""
    return images._replace(values=images.values.transpose(0, 1, 3, 2))


def from_zero(labels: Named, name: str) -> Named:
    """The labels of a set counted from 0 (those of the letters start at 1); raises DataError for one that the set has not."""
    first = int(name == "letters")
    last = first + len(CLASSES[name]) - 1
    (values,), words = classes([labels])
    if words:
        raise DataError(f"{labels.where}: found {words[0]!r} as label, expected a number from {first} to {last} ({name})")
    wrong = (values < first) | (values > last)
    if wrong.any():
        at = int(wrong.argmax())
        raise DataError(f"{labels.where}: label out of range: label {at} is {values[at]}, expected {first} to {last} ({name})")
    return labels._replace(values=values - np.uint8(first))
