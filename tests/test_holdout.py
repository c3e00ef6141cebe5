"""Validation images, held out of the training set."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import stepladder
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stepladder import Budget, Lab, Ladder, Network, Recipe, Step, UserError, data, records
from stepladder.data import DataError, Part, Reading, hold_out, store, stratified
from stepladder.data.dataset import Dataset
from stepladder.job import Job, Setup
from stepladder.steps.source import source
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


# Folds


@given(labels_and_count())
def test_folds_share_no_image_and_each_has_its_share_of_every_class(drawn: tuple[NDArray[np.uint8], int]) -> None:
    labels, count = drawn
    folds = [stratified(labels, count, fold=fold) for fold in range(len(labels) // count)]
    assert len(np.unique(np.concatenate(folds))) == len(folds) * count
    shares = np.bincount(labels) * count / len(labels)
    for chosen in folds:
        assert (np.abs(np.bincount(labels[chosen], minlength=len(shares)) - shares) < 1).all()


def test_the_six_folds_of_mnist_are_all_of_its_training_images() -> None:
    mnist = data.load()
    folds = [hold_out(mnist, 10_000, fold) for fold in range(6)]
    assert folds[0].digest == hold_out(mnist, 10_000).digest
    assert folds[1].digest == "ebf993ce3e5d7e38b7da3d03b5565d44effaaf34c05adee9118d312f3234ee31"
    assert len({fold.digest for fold in folds}) == 6
    assert {len(fold.train_labels) for fold in folds} == {50_000}
    images = np.concatenate([fold.test_images for fold in folds])
    assert sorted(map(hash, map(bytes, images))) == sorted(map(hash, map(bytes, mnist.train_images)))


def with_validation(train: int, validation: int) -> Dataset:
    """Images that are all different, of which so many train and so many are set apart."""
    numbers = np.arange(train + validation, dtype=np.uint8)
    images, labels = numbers.reshape(-1, 1, 1, 1), numbers % 2
    test = Part(images[:1], labels[:1])
    apart = Part(images[train:], labels[train:])
    return Dataset(images[:train], labels[:train], *test, "", ("even", "odd"), "numbers", validation=apart)


@pytest.mark.parametrize(("count", "folds"), [(10, 5), (20, 3), (30, 2), (45, 1)])
def test_a_validation_part_serves_the_first_fold_alone(count: int, folds: int) -> None:
    whole = with_validation(train=40, validation=20)
    found = [hold_out(whole, count, fold) for fold in range(folds)]
    held = [image for each in found for image in each.test_images.ravel().tolist()]
    assert len(set(held)) == len(held) == count * folds
    assert set(range(40, 60)) & set(held) == set(range(40, 60)) & set(found[0].test_images.ravel().tolist())
    for each in found[1:]:
        assert sorted([*each.train_images.ravel().tolist(), *each.test_images.ravel().tolist()]) == list(range(40))
    with pytest.raises(DataError, match=rf"^fold is {folds}, expected 0.*: a holdout of {count} images has {folds} fold"):
        hold_out(whole, count, folds)


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        (Reading(holdout=300, fold=6), r"^fold is 6, expected 0 to 5: a holdout of 300 images has 6 folds here$"),
        (Reading(holdout=1500, fold=1), r"^fold is 1, expected 0: a holdout of 1,500 images has 1 fold here$"),
        (Reading(fold=1), r"^fold is 1, expected a holdout to go with it"),
    ],
)
def test_a_fold_that_is_not_there_is_refused(small_mnist: Path, reading: Reading, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Setup(Path("runs"), small_mnist, reading=reading).dataset()


def test_the_first_fold_is_kept_where_it_was_before_there_were_folds(small_mnist: Path) -> None:
    entries = {store.entry(small_mnist, Reading(holdout=300, fold=fold), Path("kept")).name.split("-")[0] for fold in range(3)}
    assert len(entries) == 3
    as_it_was = store._short([str(small_mnist.resolve()), [0.0, None, None, 300]])
    assert as_it_was in entries


@pytest.mark.usefixtures("in_process")
def test_a_run_of_another_fold_is_another_run_and_all_that_is_made_of_it_says_so(
    small_mnist: Path, small_network: Network, tmp_path: Path
) -> None:
    lab = Lab(tmp_path / "runs", data=small_mnist, engine="torch", holdout=300, fold=1)
    ladder = Ladder("folds", Budget(10_000, 15, 0.9), [Step("Plain", small_network, Recipe(epochs=1))])
    first = replace(lab, fold=0)
    assert lab.setup.fingerprint(ladder.steps[0]) != first.setup.fingerprint(ladder.steps[0])
    result = lab.run(ladder, progress=False)
    run = result["plain"].run(0)
    assert run.record.data
    assert (run.record.data.holdout, run.record.data.fold, run.record.data.test) == (300, 1, 300)
    labels = data.load(small_mnist).train_labels
    assert np.array_equal(lab.images().test_labels, labels[stratified(labels, 300, fold=1)])
    assert run.record.confusion
    assert np.sum(run.record.confusion, axis=1).tolist() == np.bincount(lab.images().test_labels).tolist()
    answers = run.probabilities(lab.images().test_images).argmax(1)
    assert np.sum(answers == lab.images().test_labels) == run.history[-1].test_correct

    (tmp_path / "folds.py").write_text(source(ladder))
    options = ("--data", str(small_mnist), "--engine", "torch", "--holdout", "300")
    reported = stepladder("report", "folds.py", *options, "--fold", "1", folder=tmp_path)
    assert reported.returncode == 0, reported.stderr
    for name in ("report.md", "report.html"):
        text = (tmp_path / "runs" / "folds-holdout-fold-1" / name).read_text(encoding="utf-8")
        assert "300 training images kept back (fold 1): the test set was not read" in text
    hint = first.result(ladder).hint
    assert hint is not None
    assert hint.endswith("but 1 run with --fold 1")

    card = lab.export("plain", "torch", ladder=ladder).card
    assert card["answers"]["equal"] == card["answers"]["images"] == 300
    text = (tmp_path / "runs" / "folds-plain-torch-holdout-fold-1" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "of 300 validation images (fold 1)" in text


def test_a_record_says_its_fold_only_where_it_is_not_the_first(small_mnist: Path, small_network: Network, tmp_path: Path) -> None:
    step = Step("Tuned", small_network, Recipe(epochs=1))
    for fold in (0, 1):
        job = Job("mine", step, 0, Setup(tmp_path, small_mnist, "torch", reading=Reading(holdout=300, fold=fold)))
        folder = train(job)
        assert ('"fold": 1' in (folder / "run.json").read_text()) == bool(fold)
        record = records.read(folder)
        assert record.data
        assert record.data.fold == fold


def test_a_fold_is_a_whole_number(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^fold is -1, expected a whole number of at least 0$"):
        Lab(tmp_path, holdout=300, fold=-1)
