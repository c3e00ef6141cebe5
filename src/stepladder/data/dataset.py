"""The images a ladder is climbed on: the embedded MNIST, or four IDX files in a folder."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stepladder.data.found import DataError
from stepladder.data.idx import read_idx

EMBEDDED = Path(__file__).parents[1] / "mnist"
MNIST_DIGEST = "25c98f992c005963b7428e1f38418b233c9b286cc403519287eb8063f0bcfe07"

HOLDOUT_SEED = 1998
"""Which training images are held out is decided by this and the labels alone. (The year of MNIST.)"""

_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images (n, height, width) and labels (n,), all uint8, the SHA-256 of what they hold, the names of the classes in the order of
    their labels, and what the source is ("mnist" is the embedded one). With a holdout, the test images are training images that
    were kept back (for validation)."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]
    digest: str
    classes: tuple[str, ...]
    kind: str

    def normalisation(self) -> tuple[float, float]:
        """Mean and standard deviation of all training pixels, as fractions of 255; raises DataError where all are the same."""
        counts = np.zeros(256, np.int64)
        for images in np.array_split(self.train_images, max(1, len(self.train_images) // 4096)):
            counts += np.bincount(images.ravel(), minlength=256)
        values = np.arange(256) / 255
        if np.count_nonzero(counts) < 2:
            raise DataError(f"every training pixel is {counts.argmax()}, expected images with more than one grey level")
        mean = float(counts @ values / counts.sum())
        return mean, float(np.sqrt(counts @ (values - mean) ** 2 / counts.sum()))


@cache
def load(folder: Path | None = None, classes: int = 10) -> Dataset:
    """The embedded MNIST, or the four IDX files (plain or .gz, MNIST's names) of a folder; loaded once a process.

    Raises DataError for a file that is missing, malformed, does not fit the others, or holds a label of `classes` or more.
    """
    found = _read(folder or EMBEDDED, classes, "mnist" if folder is None else "idx")
    if folder is None and found.digest != MNIST_DIGEST:
        raise DataError(f"{EMBEDDED}: the embedded MNIST is damaged: its SHA-256 is {found.digest}, expected {MNIST_DIGEST}")
    return found


@cache
def hold_out(dataset: Dataset, count: int) -> Dataset:
    """The data set in which `count` training images, chosen by `stratified`, stand in the place of the test images, and
    training is left with the others; made once a process.

    Raises DataError for a count that leaves nothing to train on or to judge by.
    """
    images, labels = dataset.train_images, dataset.train_labels
    if not 0 < count < len(images):
        raise DataError(f"a holdout of {count:,} images, expected 1 to {len(images) - 1:,} of the {len(images):,} training images")
    held = np.zeros(len(images), bool)
    held[stratified(labels, count)] = True
    return _dataset((images[~held], labels[~held], images[held], labels[held]), dataset.classes, dataset.kind)


def stratified(labels: NDArray[np.uint8], count: int) -> NDArray[np.intp]:
    """The indices of `count` labels, in order, of each class its share, to within one; the same ones every time.

    Systematic sampling: the labels are shuffled, sorted by class, and taken at even distances.
    """
    # NumPy keeps RandomState's numbers as they are for good (NEP 19); those of its newer generators may change.
    shuffled = np.random.RandomState(HOLDOUT_SEED).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return np.sort(by_class[(np.arange(count) * len(labels) + len(labels) // 2) // count])


def _read(folder: Path, classes: int, kind: str) -> Dataset:
    paths = [_find(folder, name) for name in _NAMES]
    arrays = [read_idx(path, dimensions=3 if "idx3" in path.name else 1) for path in paths]
    for images, labels, part in ((0, 1, "training"), (2, 3, "test")):
        if len(arrays[images]) != len(arrays[labels]):
            raise DataError(
                f"{paths[labels]}: found {len(arrays[labels])} labels, expected {len(arrays[images])}, "
                f"one for each {part} image in {paths[images].name}"
            )
        if not len(arrays[images]):
            raise DataError(f"{paths[images]}: found no {part} images, expected at least one")
        if (largest := int(arrays[labels].max())) >= classes:
            raise DataError(
                f"{paths[labels]}: label out of range: label {arrays[labels].argmax()} is {largest}, "
                f"expected 0 to {classes - 1} ({classes} classes)"
            )
    if arrays[0].shape[1:] != arrays[2].shape[1:]:
        sizes = [" x ".join(map(str, arrays[k].shape[1:])) for k in (2, 0)]
        raise DataError(f"{paths[2]}: its images are {sizes[0]}, expected {sizes[1]} as in {paths[0].name}")
    return _dataset(arrays, tuple(map(str, range(classes))), kind)


def _dataset(arrays: Sequence[NDArray[np.uint8]], classes: tuple[str, ...], kind: str) -> Dataset:
    """The data set of training images, their labels, test images and theirs."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(array.data)
    train_images, train_labels, test_images, test_labels = arrays
    return Dataset(train_images, train_labels, test_images, test_labels, digest.hexdigest(), classes, kind)


def _find(folder: Path, name: str) -> Path:
    try:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder, expected one with {', '.join(_NAMES)} (plain or .gz)")
        for path in (folder / name, folder / f"{name}.gz"):
            if path.exists():
                return path
    except OSError as error:  # a folder that may not be entered, or a name that is too long
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from None
    raise DataError(f"{folder / name}: file not found, expected it plain or as {name}.gz")


def check_fits(dataset: Dataset, shape: tuple[int, int, int]) -> None:
    """Raise DataError unless the images are what a network of this input shape takes."""
    found = (1, *dataset.train_images.shape[1:])
    if found != shape:
        raise DataError(f"the images are {' x '.join(map(str, found))}, the network expects {' x '.join(map(str, shape))}")
