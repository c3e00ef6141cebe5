"""The images a ladder is climbed on: a file for each format they come in, and one value that all of them become."""

from stepladder.data.dataset import EMBEDDED, MNIST_DIGEST, Dataset, check_fits, hold_out, load, stratified
from stepladder.data.found import DataError

__all__ = ["EMBEDDED", "MNIST_DIGEST", "DataError", "Dataset", "check_fits", "hold_out", "load", "stratified"]
