"""The images a ladder is climbed on: a file for each format they come in, and one value that all of them become."""

from stepladder.data.dataset import Dataset, check_fits, with_classes
from stepladder.data.found import AS_IS, DataError, Found, Part, Reading
from stepladder.data.recognise import read
from stepladder.data.source import EMBEDDED, MNIST_DIGEST, keep, load
from stepladder.data.split import hold_out, stratified

__all__ = [
    "AS_IS",
    "EMBEDDED",
    "MNIST_DIGEST",
    "DataError",
    "Dataset",
    "Found",
    "Part",
    "Reading",
    "check_fits",
    "hold_out",
    "keep",
    "load",
    "read",
    "stratified",
    "with_classes",
]
