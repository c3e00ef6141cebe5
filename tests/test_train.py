import hashlib
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from stepladder import Affine, Conv, GlobalAvgPool, Network, Recipe, Step, StepLR, data, ladders, records
from stepladder.augment import draw_maps, normalise, resample
from stepladder.engine import plain
from stepladder.idx import DataError
from stepladder.job import Job, Setup
from stepladder.records import Record
from stepladder.spec import to_data
from stepladder.streams import stream
from stepladder.sweep import sweep
from stepladder.train import Diverged, Images, Streams, fit, infer, train

RECIPE = Recipe(epochs=4, batch_size=100, learning_rate=0.05, dropout=0.02, augmentation=Affine(rotate=10), schedule=StepLR(3))


@pytest.fixture(scope="module")
def job(small_mnist: Path, small_network: Network, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A run that is trained once for all tests of its record."""
    job = Job(
        "mine", Step("All concepts", small_network, RECIPE), 1, Setup(tmp_path_factory.mktemp("runs"), small_mnist, engine="torch")
    )
    assert train(job) == job.folder
    return job


@pytest.fixture(scope="module")
def record(job: Job) -> Record:
    return records.read(job.folder)


def elsewhere(job: Job, runs: Path, seed: int | None = None) -> Job:
    """The same run (or another seed's) in another folder."""
    return replace(job, setup=replace(job.setup, runs=runs), seed=job.seed if seed is None else seed)


def figures(record: Record) -> list[dict[str, float]]:
    """The history without what no two runs share."""
    return [asdict(epoch) | {"seconds": 0} for epoch in record.history]


# A run and its record


def test_a_run_learns(record: Record) -> None:
    first, last = record.history[0], record.history[-1]
    assert record.status == "finished"
    assert last.test_accuracy > 0.75
    assert last.train_accuracy > first.train_accuracy
    assert last.train_loss < first.train_loss
    assert last.test_loss < first.test_loss


def test_a_record_holds_what_the_design_promises(record: Record, job: Job) -> None:
    assert (record.schema, record.ladder, record.step, record.title, record.seed) == (1, "mine", "all-concepts", "All concepts", 1)
    assert record.fingerprint == job.fingerprint == job.folder.parent.name.removeprefix("all-concepts-")
    assert (record.parameters, record.epochs) == (job.step.network.parameters, 4)
    assert record.network == to_data(job.step.network)
    assert record.recipe == to_data(RECIPE)
    assert record.data_sha256 == data.load(job.setup.data).digest
    assert [epoch.epoch for epoch in record.history] == [1, 2, 3, 4]
    assert [epoch.learning_rate for epoch in record.history] == pytest.approx([0.05, 0.05, 0.05, 0.005])
    for epoch in record.history:
        assert all(type(getattr(epoch, field.name)) is field.type for field in fields(epoch))
        assert epoch.test_accuracy == epoch.test_correct / 500
        assert (epoch.train_accuracy * 2000) == pytest.approx(round(epoch.train_accuracy * 2000), abs=1e-9)
        assert epoch.seconds > 0


def test_a_record_says_where_it_was_made(record: Record) -> None:
    found = record.environment
    assert found.keys() == {
        *("python", "stepladder", "torch", "numpy", "processor", "cores", "commit", "date", "threads", "engine", "device"),
    }  # fmt: skip
    assert found["torch"] == torch.__version__
    assert found["python"] == sys.version.split()[0]
    assert (found["threads"], found["engine"], found["device"]) == (1, "torch", "cpu")
    assert found["processor"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", found["date"])


def test_the_confusion_matrix_counts_every_test_image_by_label_and_answer(record: Record, job: Job) -> None:
    assert record.confusion
    confusion, labels = np.array(record.confusion), data.load(job.setup.data).test_labels
    assert confusion.shape == (10, 10)
    assert confusion.sum(1).tolist() == np.bincount(labels, minlength=10).tolist()
    assert confusion.trace() == record.history[-1].test_correct
    answers = records.read_logits(job.folder).argmax(1)
    assert confusion.sum(0).tolist() == np.bincount(answers, minlength=10).tolist()
    assert confusion[4, 9] == ((labels == 4) & (answers == 9)).sum()


def test_the_weights_are_those_of_the_record_and_give_its_logits(record: Record, job: Job) -> None:
    path = job.folder / "weights.safetensors"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == record.weights_sha256
    model = plain.build(job.step.network, RECIPE.dropout, torch.Generator())
    model.load_state_dict(load_file(path))
    mnist = data.load(job.setup.data)
    with torch.no_grad():
        logits = model.eval()(normalise(torch.from_numpy(mnist.test_images), *mnist.normalisation()))
    torch.testing.assert_close(logits, torch.from_numpy(records.read_logits(job.folder)), rtol=0, atol=1e-5)


def test_a_run_leaves_its_record_and_nothing_else(job: Job) -> None:
    assert {path.name for path in job.folder.parent.iterdir()} == {"1"}
    assert {path.name for path in job.folder.iterdir()} == {"run.json", "weights.safetensors", "logits.safetensors"}


def test_a_run_repeated_has_the_same_bits(record: Record, job: Job, tmp_path: Path) -> None:
    torch.manual_seed(99)  # the global stream is nobody's
    again = elsewhere(job, tmp_path)
    repeated = records.read(train(again))
    assert repeated.weights_sha256 == record.weights_sha256
    assert figures(repeated) == figures(record)
    assert (again.folder / "logits.safetensors").read_bytes() == (job.folder / "logits.safetensors").read_bytes()


def test_another_seed_is_another_run(record: Record, job: Job, tmp_path: Path) -> None:
    other = records.read(train(elsewhere(job, tmp_path, seed=2)))
    assert other.fingerprint == record.fingerprint
    assert other.weights_sha256 != record.weights_sha256


def test_a_recorded_run_is_not_trained_again(record: Record, job: Job) -> None:
    before = (job.folder / "run.json").stat()
    assert train(job) == job.folder
    assert (job.folder / "run.json").stat() == before


def test_images_that_do_not_fit_the_network_are_refused(job: Job) -> None:
    network = Network([Conv(10), GlobalAvgPool()], input=(1, 32, 32))
    with pytest.raises(DataError, match=r"^the images are 1 x 28 x 28, the network expects 1 x 32 x 32$"):
        train(replace(job, step=Step("Large", network)))


def test_a_diverging_run_is_recorded_and_the_others_go_on(job: Job, tmp_path: Path) -> None:
    wild = replace(elsewhere(job, tmp_path), step=Step("Wild", job.step.network, replace(RECIPE, learning_rate=1e30)))
    tame = replace(wild, step=Step("Tame", job.step.network, replace(RECIPE, epochs=1)))
    with ThreadPoolExecutor(1) as one:
        *_, last = sweep([wild, tame], one)
    assert [(run.job, run.status) for run in last.recorded] == [(wild, "diverged"), (tame, "finished")]
    assert last.failures == []
    found = records.read(wild.folder)
    assert (found.status, found.history, found.confusion) == ("diverged", [], None)
    weights = (wild.folder / "weights.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == found.weights_sha256
    assert {path.name for path in wild.folder.parent.iterdir()} == {"1"}


# Interrupted and continued


@pytest.mark.parametrize(("engine", "epochs"), [("torch", 4), ("native", 12)])
def test_a_run_killed_in_the_middle_of_an_epoch_and_continued_has_the_same_bits(
    job: Job, tmp_path: Path, engine: str, epochs: int
) -> None:
    a = ladders.load("mnist").step("A1").network  # its epochs last long enough to be hit in the middle
    whole = elsewhere(job, tmp_path / "whole")
    whole = replace(whole, step=Step("Killed", a, replace(RECIPE, epochs=epochs)), setup=replace(whole.setup, engine=engine))
    expected = records.read(train(whole))

    killed = elsewhere(whole, tmp_path / "killed")
    pickled = tmp_path / "job"
    pickled.write_bytes(pickle.dumps(killed))
    code = """
import pathlib, pickle, sys
from stepladder.train import train
train(pickle.loads(pathlib.Path(sys.argv[1]).read_bytes()))
"""
    process = subprocess.Popen([sys.executable, "-c", code, pickled])
    try:
        deadline = time.monotonic() + 120
        while not (done := records.progress(killed.folder)):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.4 * done[0].seconds)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    assert not records.exists(killed.folder)
    assert 1 <= len(records.progress(killed.folder)) < epochs
    half_written = killed.folder.with_name("1.checkpoint.tmp-4194305")  # as a kill while writing leaves
    half_written.write_bytes(b"half")

    # It was begun with one thread, and so it is continued: another number would give other bits.
    found = records.read(train(replace(killed, setup=replace(killed.setup, threads=2))))
    assert found.weights_sha256 == expected.weights_sha256
    assert figures(found) == figures(expected)
    assert found.confusion == expected.confusion
    assert found.environment["threads"] == 1
    assert [path.name for path in killed.folder.parent.iterdir()] == ["1"]


def test_a_run_stopped_after_its_last_epoch_is_recorded_without_training(job: Job, record: Record, tmp_path: Path) -> None:
    stopped = elsewhere(job, tmp_path)
    weights = load_file(job.folder / "weights.safetensors")
    arrays = {f"model.{name}": tensor.numpy() for name, tensor in weights.items()}
    records.write_checkpoint(stopped.folder, records.Checkpoint(record.history, 1, arrays))
    found = records.read(train(stopped))
    assert found.weights_sha256 == record.weights_sha256
    assert found.history == record.history  # to the second
    assert found.confusion == record.confusion


# The loop


class Watched(nn.Module):
    """Keeps the training batches that pass through it."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.batches.append(x.clone())
        return x


@pytest.fixture(scope="module")
def images(small_mnist: Path) -> Images:
    mnist = data.load(small_mnist)
    mean, std = mnist.normalisation()
    return Images(
        engine=plain,
        train=torch.from_numpy(mnist.train_images[:250]),
        train_labels=torch.from_numpy(mnist.train_labels[:250]).long(),
        test=torch.from_numpy(mnist.test_images[:60]),
        test_labels=torch.from_numpy(mnist.test_labels[:60]).long(),
        mean=mean,
        std=std,
    )


def batches(images: Images, seed: int = 0, epochs: int = 2, done: int = 0, dropout: float = 0.0, **recipe: object) -> list[Tensor]:
    """The training batches that a linear model sees."""
    generator, watched = torch.Generator(), Watched()
    model = nn.Sequential(watched, nn.Flatten(), plain.Dropout(dropout, generator), nn.Linear(784, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    values = replace(Recipe(epochs=epochs, batch_size=100), **recipe)  # type: ignore[arg-type]
    assert len(list(fit(model, optimizer, values, images, Streams(seed, generator), done))) == epochs - done
    return watched.batches


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_every_epoch_shows_every_image_once_in_an_order_of_its_own(images: Images) -> None:
    found = batches(images)
    assert [len(batch) for batch in found] == [100, 100, 50] * 2
    whole = normalise(images.train, images.mean, images.std).flatten(1)
    orders = []
    for epoch in (found[:3], found[3:]):
        shown = torch.cat(epoch).flatten(1)
        order = [int((whole == image).all(1).nonzero()[0]) for image in shown]
        assert sorted(order) == list(range(250))
        orders.append(order)
    assert orders[0] != orders[1]
    assert list(range(250)) not in orders


def test_dropout_does_not_change_the_order_of_images(images: Images) -> None:
    assert same(batches(images, dropout=0.5), batches(images, dropout=0.0))


def test_dropout_does_not_change_the_augmentation(images: Images) -> None:
    rotation = Affine(rotate=15)
    assert same(batches(images, dropout=0.5, augmentation=rotation), batches(images, augmentation=rotation))


def test_augmentation_does_not_change_the_order_of_images(images: Images) -> None:
    # A shift of a thousandth of a pixel hardly changes an image, but draws as much as any other.
    plain_batches, shifted = batches(images), batches(images, augmentation=Affine(shift=0.001))
    assert not same(plain_batches, shifted)
    torch.testing.assert_close(shifted, plain_batches, rtol=0, atol=0.02)


def test_order_and_augmentation_come_from_their_named_streams(images: Images) -> None:
    # Other names would give every recorded run other bits under the same fingerprint.
    rotation = Affine(rotate=15)
    found = batches(images, seed=5, augmentation=rotation)
    for epoch, shown in enumerate((found[:3], found[3:])):
        order = torch.randperm(250, generator=stream(5, "order", epoch))
        maps = draw_maps(rotation, 250, stream(5, "augmentation", epoch))
        expected = normalise(resample(images.train, maps), images.mean, images.std)[order]
        torch.testing.assert_close(torch.cat(shown), expected, rtol=0, atol=1e-5)


def test_every_epoch_draws_its_augmentation_anew(images: Images) -> None:
    one = images._replace(train=images.train[:1].repeat(250, 1, 1))
    found = batches(one, augmentation=Affine(rotate=30))
    assert len(torch.cat(found).flatten(1).unique(dim=0)) > 490  # nearly all of 500 images differ


def test_the_order_is_the_seeds(images: Images) -> None:
    assert same(batches(images, seed=3), batches(images, seed=3))
    assert not same(batches(images, seed=3), batches(images, seed=4))


def test_an_epoch_does_not_depend_on_the_ones_before_it(images: Images) -> None:
    recipe = {"dropout": 0.5, "augmentation": Affine(rotate=15)}
    assert same(batches(images, done=1, **recipe), batches(images, **recipe)[3:])  # type: ignore[arg-type]


def test_another_batch_size_keeps_the_order(images: Images) -> None:
    assert torch.equal(torch.cat(batches(images, batch_size=30)), torch.cat(batches(images)))


def model_of(network: Network) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = plain.build(network, 0.0, torch.Generator())
    plain.initialise(model, seed=0)
    return model, torch.optim.SGD(model.parameters(), lr=0.0)


def test_figures_are_means_over_images_also_with_a_smaller_last_batch(images: Images) -> None:
    network = Network([Conv(10, kernel=5, stride=4, norm=None, activation=None), GlobalAvgPool()])
    model, optimizer = model_of(network)
    recipe = Recipe(epochs=1, batch_size=100, learning_rate=0.0)  # so that the model stays as it is
    (epoch,) = fit(model, optimizer, recipe, images, Streams(0, torch.Generator()))
    for grey, labels, loss, accuracy in (
        (images.train, images.train_labels, epoch.train_loss, epoch.train_accuracy),
        (images.test, images.test_labels, epoch.test_loss, epoch.test_accuracy),
    ):
        logits = infer(model, grey, images, batch_size=7)
        assert loss == pytest.approx(nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
        assert accuracy == pytest.approx((logits.argmax(1) == labels).double().mean().item(), abs=1e-12)
    assert epoch.test_correct == round(epoch.test_accuracy * 60)


def test_measuring_changes_nothing(images: Images) -> None:
    model, _ = model_of(Network([Conv(10), GlobalAvgPool()]))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = infer(model, images.test, images)
    assert torch.equal(infer(model, images.test, images), first)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_loss_that_is_not_finite_ends_the_run_with_its_epoch(images: Images) -> None:
    model, optimizer = model_of(Network([Conv(10, norm=None), GlobalAvgPool()]))

    def spoiled() -> Iterator[int]:
        for epoch in fit(model, optimizer, Recipe(epochs=3), images, Streams(0, torch.Generator())):
            yield epoch.epoch
            with torch.no_grad():
                next(model.parameters()).fill_(torch.inf)

    epochs = spoiled()
    assert next(epochs) == 1
    with pytest.raises(Diverged, match=r"^the loss is not finite in epoch 2$"):
        next(epochs)


# All of MNIST


@pytest.mark.slow
def test_one_epoch_on_all_of_mnist_gives_more_than_97_percent(tmp_path: Path) -> None:
    b1 = ladders.load("mnist").with_epochs(1).step("B1")
    (epoch,) = records.read(train(Job("mnist", b1, 0, Setup(tmp_path, threads=2)))).history
    assert epoch.test_accuracy > 0.97
    assert epoch.test_correct == round(epoch.test_accuracy * 10_000)
