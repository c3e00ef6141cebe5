"""Validation images, held out of the training set."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stepladder import Network, Recipe, Step, data, records
from stepladder.data import DataError, Reading, hold_out, stratified
from stepladder.job import Job, Setup
from stepladder.train import train


@st.composite
def labels_and_count(draw: st.DrawFn) -> tuple[NDArray[np.uint8], int]:
    labels = np.array(draw(st.lists(st.integers(0, 4), min_size=1, max_size=200)), np.uint8)
    return labels, draw(st.integers(1, len(labels)))


@given(labels_and_count())
def test_every_class_is_held_out_by_its_share(drawn: tuple[NDArray[np.uint8], int]) -> None:
    labels, count = drawn
    chosen = stratified(labels, count)
    assert len(np.unique(chosen)) == len(chosen) == count
    assert (np.diff(chosen) > 0).all()
    shares = np.bincount(labels) * count / len(labels)
    assert (np.abs(np.bincount(labels[chosen], minlength=len(shares)) - shares) < 1).all()


def test_the_validation_images_of_mnist_are_these() -> None:
    # Others would give every recorded choice other figures.
    mnist = data.load()
    chosen = stratified(mnist.train_labels, 10_000)
    assert chosen[:8].tolist() == [9, 13, 38, 62, 64, 89, 95, 104]
    assert np.bincount(mnist.train_labels[chosen]).tolist() == [987, 1124, 993, 1022, 973, 904, 986, 1044, 975, 992]
    assert hold_out(mnist, 10_000).digest == "b622cb5820c4349c2fc74bca5ecd9f99e048efc24f2acc0f30fdad0687b74e17"


def test_they_are_spread_over_the_whole_file() -> None:
    # Its halves were written by different people.
    chosen = stratified(data.load().train_labels, 10_000)
    assert np.histogram(chosen, bins=6, range=(0, 60_000))[0] == pytest.approx([10_000 / 6] * 6, abs=150)


def test_training_and_validation_images_share_the_training_set_and_leave_the_test_set_out(small_mnist: Path) -> None:
    whole, found = data.load(small_mnist), Setup(Path("runs"), small_mnist, reading=Reading(holdout=300)).dataset()
    assert (len(found.train_images), len(found.test_images)) == (1700, 300)
    chosen = stratified(whole.train_labels, 300)
    assert np.array_equal(found.test_images, whole.train_images[chosen])
    assert np.array_equal(found.test_labels, whole.train_labels[chosen])
    assert np.array_equal(found.train_images, np.delete(whole.train_images, chosen, axis=0))
    assert np.array_equal(found.train_labels, np.delete(whole.train_labels, chosen))
    assert found.normalisation() != whole.normalisation()


def test_a_data_set_is_held_out_once_a_process(small_mnist: Path) -> None:
    setup = Setup(Path("runs"), small_mnist, reading=Reading(holdout=300))
    assert setup.dataset() is setup.dataset()
    assert len(replace(setup, reading=Reading()).dataset().train_labels) == 2000


@pytest.mark.parametrize("count", [-1, 2000, 10_000])
def test_a_holdout_that_leaves_nothing_is_refused(small_mnist: Path, count: int) -> None:
    with pytest.raises(DataError, match=rf"^a holdout of {count:,} images, expected 1 to 1,999 of the 2,000 training images$"):
        Setup(Path("runs"), small_mnist, reading=Reading(holdout=count)).dataset()


def test_a_run_with_a_holdout_is_another_run_and_says_so(small_mnist: Path, small_network: Network, tmp_path: Path) -> None:
    step = Step("Tuned", small_network, Recipe(epochs=1, learning_rate=0.05))
    tested = Job("mine", step, 0, Setup(tmp_path, small_mnist, "torch"))
    held = replace(tested, setup=replace(tested.setup, reading=Reading(holdout=300)))
    other = replace(tested, setup=replace(tested.setup, reading=Reading(holdout=200)))
    assert len({job.fingerprint for job in (tested, held, other)}) == 3
    record = records.read(train(held))
    assert record.environment["holdout"] == 300
    assert record.data_sha256 == held.setup.dataset().digest != data.load(small_mnist).digest
    assert record.confusion
    assert np.sum(record.confusion, axis=1).tolist() == np.bincount(held.setup.dataset().test_labels).tolist()
    assert record.history[0].test_accuracy == record.history[0].test_correct / 300
