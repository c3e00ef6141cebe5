"""Parts of a data set that its source does not have: which images they take is decided by the labels and a named seed alone."""

import numpy as np
from numpy.typing import NDArray

from stepladder.data.dataset import Dataset, with_parts
from stepladder.data.found import DataError, Part

HOLDOUT_SEED = 1998
"""Of which training images are held out. (The year of MNIST.)"""
QUICK = (6_000, 2_000)
"""At most so many images train and judge where it is to be quick."""
SPLIT_SEED = 1936
"""Of which images of a source without a test part become one. (The year of Fisher's irises.)"""


def hold_out(dataset: Dataset, count: int, fold: int = 0) -> Dataset:
    """The data set in which `count` training images, chosen by `stratified`, stand in the place of the test images, and
    training is left with the others. Where the source has a validation part, they are that part's, as far as it goes.

    No two folds share an image. A validation part serves fold 0 alone: the others are of training images that fold 0 trains on.

    Raises DataError for a count that leaves nothing to train on or to judge by, and for a fold beyond those there are.
    """
    images, labels = dataset.train_images, dataset.train_labels
    apart = dataset.validation or Part(images[:0], labels[:0])
    most = len(apart.labels) + len(labels) - 1
    if not 0 < count <= most:
        of = f"the {len(labels):,} training{f' and {len(apart.labels):,} validation' if len(apart.labels) else ''} images"
        raise DataError(f"a holdout of {count:,} images, expected 1 to {most:,} of {of}")
    if fold:
        train, held = _apart(Part(images, labels), _further(labels, len(apart.labels), count, fold))
        return with_parts(dataset, train, held)
    if count <= len(apart.labels):
        chosen = stratified(apart.labels, count)
        return with_parts(dataset, Part(images, labels), Part(apart.images[chosen], apart.labels[chosen]))
    train, held = _apart(Part(images, labels), stratified(labels, count - len(apart.labels)))
    both = Part(*(np.concatenate(pair) for pair in zip(apart, held, strict=True))) if len(apart.labels) else held
    return with_parts(dataset, train, both)


def _further(labels: NDArray[np.uint8], validation: int, count: int, fold: int) -> NDArray[np.intp]:
    """The training images of a fold but the first, of a source with so many validation images; DataError where there is none."""
    left = np.arange(len(labels))
    if validation:  # which fold 0 takes first
        left = np.delete(left, stratified(labels, count - validation)) if count > validation else left
        before = 1
    else:
        before = 0
    there = before + (len(left) // count if count < len(labels) else 0)
    if not 0 < fold < there:
        numbers = f"0 to {there - 1}" if there > 1 else "0"
        raise DataError(
            f"fold is {fold}, expected {numbers}: a holdout of {count:,} images has {there} fold{'s' * (there != 1)} here"
        )
    return left[stratified(labels[left], count, fold=fold - before)]


def quick(dataset: Dataset) -> Dataset:
    """The data set with at most so many images in each part as a quick look takes, of each class its share."""
    train, test = (_few(part, most) for part, most in zip(dataset.parts, QUICK, strict=True))
    return with_parts(dataset, train, test)


def _few(part: Part, most: int) -> Part:
    if len(part.labels) <= most:
        return part
    chosen = stratified(part.labels, most)
    return Part(part.images[chosen], part.labels[chosen])


def split(part: Part, share: float) -> tuple[Part, Part]:
    """What is left for training, and the share of the images, the same of every class to within one, that is the test part.

    Raises DataError for a share that leaves one of them empty.
    """
    count = round(share * len(part.labels))
    if not 0 < count < len(part.labels):
        raise DataError(
            f"a split of {share:g} makes {count:,} of {len(part.labels):,} images the test part, expected at least 1 in each"
        )
    return _apart(part, stratified(part.labels, count, SPLIT_SEED))


def stratified(labels: NDArray[np.uint8], count: int, seed: int = HOLDOUT_SEED, fold: int = 0) -> NDArray[np.intp]:
    """The indices of `count` labels, in order, of each class its share, to within one; the same ones every time.

    Systematic sampling: the labels are shuffled, sorted by class, and taken at even distances. Those of another `fold` are each
    so many places on: the distances are of at least n // count places, so that so many folds share none.
    """
    # NumPy keeps RandomState's numbers as they are for good (NEP 19); those of its newer generators may change.
    shuffled = np.random.RandomState(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    places = (np.arange(count) * len(labels) + len(labels) // 2) // count + fold
    return np.sort(by_class[places % len(labels)])


def _apart(part: Part, chosen: NDArray[np.intp]) -> tuple[Part, Part]:
    taken = np.zeros(len(part.labels), bool)
    taken[chosen] = True
    return Part(part.images[~taken], part.labels[~taken]), Part(part.images[taken], part.labels[taken])
