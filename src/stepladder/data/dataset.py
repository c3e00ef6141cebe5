"""The images a ladder is climbed on, as one value."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stepladder.data.found import DataError, Part

CHUNK = 1 << 22
"""So many levels are counted at a time."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images (n, channels, height, width) and labels (n,), all uint8, for training and for judging; the SHA-256 of what they
    hold; the names of the classes in the order of their labels, which are no more than numbers where the source is `numbered`;
    what the source is ("mnist" is the embedded one), and what was passed over or converted, a sentence each.

    With a holdout, the test images are training images that were kept back. `validation` is what the source has set apart itself
    and neither trains nor judges.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]
    digest: str
    classes: tuple[str, ...]
    kind: str
    numbered: bool = False
    validation: Part | None = None
    remarks: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[Part, Part]:
        """What trains and what judges."""
        return Part(self.train_images, self.train_labels), Part(self.test_images, self.test_labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of every image."""
        _, channels, height, width = self.train_images.shape
        return channels, height, width

    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The mean and the standard deviation of each channel's training pixels, as fractions of 255; raises DataError for a
        channel in which all are the same."""
        counts = histogram(self.train_images)
        values = np.arange(256) / 255
        for number, channel in enumerate(counts):
            if np.count_nonzero(channel) < 2:
                which, levels = ("", "grey level") if len(counts) == 1 else (f" of channel {number + 1}", "level")
                raise DataError(f"every training pixel{which} is {channel.argmax()}, expected images with more than one {levels}")
        means = [float(channel @ values / channel.sum()) for channel in counts]
        squares = (float(channel @ (values - mean) ** 2 / channel.sum()) for channel, mean in zip(counts, means, strict=True))
        return tuple(means), tuple(float(np.sqrt(square)) for square in squares)

    def __str__(self) -> str:
        sides = " x ".join(map(str, self.shape))
        validation = f", {len(self.validation.labels):,} validation" if self.validation else ""
        return (
            f"{self.kind}: {len(self.train_labels):,} training{validation} and {len(self.test_labels):,} test images of {sides}, "
            f"{len(self.classes)} classes"
        )


def histogram(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How often each channel has each level: (channels, 256)."""
    counts = np.zeros((images.shape[1], 256), np.int64)
    for some in np.array_split(images, 1 + images.size // CHUNK):
        for channel, found in enumerate(counts):
            found += np.bincount(some[:, channel].ravel(), minlength=256)
    return counts


def hashed(train: Part, test: Part) -> str:
    """The SHA-256 of shapes and contents; grey images as (n, height, width)."""
    digest = hashlib.sha256()
    for images, labels in (train, test):
        n, channels, *sides = images.shape
        for array in (images.reshape(n, *sides) if channels == 1 else images, labels):
            digest.update(repr(array.shape).encode())
            digest.update(array.data)
    return digest.hexdigest()


def with_parts(dataset: Dataset, train: Part, test: Part) -> Dataset:
    """The data set with other images in the place of its own, and without those that were set apart."""
    return replace(
        dataset,
        train_images=train.images,
        train_labels=train.labels,
        test_images=test.images,
        test_labels=test.labels,
        digest=hashed(train, test),
        validation=None,
    )


def with_classes(dataset: Dataset, count: int) -> Dataset:
    """The data set for a network that tells so many classes apart: classes that are only numbered may be fewer.

    Raises DataError where the network's are others than the data's.
    """
    names = dataset.classes
    if len(names) == count:
        return dataset
    if dataset.numbered and len(names) < count:
        return replace(dataset, classes=tuple(map(str, range(count))))
    if not dataset.numbered:
        listed = ", ".join(names if len(names) < 6 else [*names[:3], "...", names[-1]])
        raise DataError(f"the images have {len(names)} classes ({listed}), the network tells {count} apart: classes={len(names)}")
    for part, labels in (("training", dataset.train_labels), ("test", dataset.test_labels)):
        if len(beyond := np.flatnonzero(labels >= count)):
            raise DataError(
                f"label out of range: label {beyond[0]} of the {part} images is {labels[beyond[0]]}, "
                f"expected 0 to {count - 1} ({count} classes of the network)"
            )
    return dataset


def check_fits(dataset: Dataset, shape: tuple[int, int, int]) -> None:
    """Raise DataError unless the images are what a network of this input shape takes."""
    if dataset.shape != shape:
        found, expected = (" x ".join(map(str, sides)) for sides in (dataset.shape, shape))
        raise DataError(f"the images are {found}, the network expects {expected}")
