"""One run and its record."""

import hashlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training import figures, network_of

from stepladder import Affine, Conv, GlobalAvgPool, Network, Recipe, Step, StepLR, data, ladders, records
from stepladder.augment import normalise
from stepladder.data import DataError
from stepladder.engine import plain
from stepladder.job import Job, Setup
from stepladder.records import Checkpoint, Record, RecordError, Source
from stepladder.spec import to_data
from stepladder.sweep import sweep
from stepladder.train import train

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


COMPILER = """
import sys
from pathlib import Path
from torch import nn
from stepladder import Conv, GlobalAvgPool, Network, Recipe, Step
from stepladder.job import Job, Setup
from stepladder.train import train

class Own(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(676, 10))

for network in (Network([Conv(4, stride=3), Conv(10, activation=None), GlobalAvgPool()]), Own):
    train(Job("x", Step("Plain", network, Recipe(1, 100)), 0, Setup(Path(sys.argv[2]), Path(sys.argv[1]), "native")))
    print("torch._dynamo" in sys.modules)
"""


def test_neither_a_run_nor_reading_its_module_loads_torch_s_compiler(few_mnist: Path, tmp_path: Path) -> None:
    # It would cost each worker one to two seconds before its first batch.
    command = [sys.executable, "-c", COMPILER, str(few_mnist), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "False\nFalse\n"), done.stderr


def test_a_run_learns(record: Record) -> None:
    first, last = record.history[0], record.history[-1]
    assert record.status == "finished"
    assert last.test_accuracy > 0.75
    assert last.train_accuracy > first.train_accuracy
    assert last.train_loss < first.train_loss
    assert last.test_loss < first.test_loss


def test_a_record_holds_what_the_design_promises(record: Record, job: Job) -> None:
    assert (record.schema, record.ladder, record.step, record.title, record.seed) == (2, "mine", "all-concepts", "All concepts", 1)
    assert record.fingerprint == job.fingerprint == job.folder.parent.name.removeprefix("all-concepts-")
    assert (record.parameters, record.epochs) == (job.step.network.parameters, 4)
    assert record.network == to_data(job.step.network)
    assert record.recipe == to_data(RECIPE)
    dataset = data.load(job.setup.data)
    assert record.data_sha256 == dataset.digest
    assert record.data == Source("IDX files", str(job.setup.data), 0, 2000, 500)
    assert record.normalisation
    assert (record.normalisation.mean, record.normalisation.std) == tuple(map(list, dataset.normalisation()))
    assert (record.input, record.classes, record.engine) == ((1, 28, 28), list("0123456789"), "torch-1")
    assert [epoch.epoch for epoch in record.history] == [1, 2, 3, 4]
    assert [epoch.learning_rate for epoch in record.history] == pytest.approx([0.05, 0.05, 0.05, 0.005])
    for epoch in record.history:
        assert all(type(getattr(epoch, field.name)) in (int, float) for field in fields(epoch))
        assert epoch.test_accuracy == epoch.test_correct / 500
        assert (epoch.train_accuracy * 2000) == pytest.approx(round(epoch.train_accuracy * 2000), abs=1e-9)
        assert epoch.seconds > 0


def test_a_record_says_where_it_was_made(record: Record) -> None:
    found = record.environment
    assert found.keys() == {
        *("python", "stepladder", "torch", "numpy", "processor", "cores", "commit", "date", "threads", "engine", "device",
          "holdout"),
    }  # fmt: skip
    assert found["torch"] == torch.__version__
    assert found["python"] == sys.version.split()[0]
    assert (found["threads"], found["engine"], found["device"], found["holdout"]) == (1, "torch", "cpu", 0)
    assert found["processor"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", found["date"])


def test_the_confusion_matrix_counts_every_test_image_by_label_and_answer(record: Record, job: Job) -> None:
    assert record.confusion
    confusion, labels = np.array(record.confusion), data.load(job.setup.data).test_labels
    assert confusion.shape == (10, 10)
    assert confusion.sum(1).tolist() == np.bincount(labels, minlength=10).tolist()
    assert confusion.trace() == record.history[-1].test_correct
    answers = records.read_logits(job.folder, record).argmax(1)
    assert confusion.sum(0).tolist() == np.bincount(answers, minlength=10).tolist()
    assert confusion[4, 9] == ((labels == 4) & (answers == 9)).sum()


def test_the_weights_are_those_of_the_record_and_give_its_logits(record: Record, job: Job) -> None:
    path = job.folder / "weights.safetensors"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == record.weights_sha256
    model = plain.build(network_of(job.step), RECIPE.dropout, torch.Generator())
    model.load_state_dict(load_file(path))
    mnist = data.load(job.setup.data)
    with torch.no_grad():
        logits = model.eval()(normalise(torch.from_numpy(mnist.test_images), *mnist.normalisation()))
    torch.testing.assert_close(logits, torch.from_numpy(records.read_logits(job.folder, record)), rtol=0, atol=1e-5)


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
    wild = replace(elsewhere(job, tmp_path), step=Step("Wild", job.step.network, replace(RECIPE, weight_decay=999.0)))
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


def checkpoint_of(job: Job, record: Record) -> Checkpoint:
    """Of the run after its third epoch, with the weights of its last."""
    weights = load_file(job.folder / "weights.safetensors")
    model = plain.build(network_of(job.step), RECIPE.dropout, torch.Generator())
    arrays = {f"model.{name}": tensor.numpy() for name, tensor in weights.items()}
    for number, parameter in enumerate(model.parameters()):
        arrays[f"optimizer.{number}.momentum_buffer"] = np.zeros(parameter.shape, np.float32)
    return Checkpoint(record.history[:3], 1, arrays, job.fingerprint, job.seed)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"threads": 5_000}, "5000 threads, expected at most 1,024"),
        ({"history": "none"}, "0 epochs, expected 1 to 4"),
        ({"history": "more"}, "6 epochs, expected 1 to 4"),
        ({"history": "accuracy"}, "epoch 1 has the test accuracy 0.123, expected "),
        ({"history": "last"}, "its last epoch has 1 right answers, its weights give "),
        ({"gone": "model.conv1.weight"}, "'model.conv1.weight' is not there, expected float32 of shape (8, 1, 3, 3)"),
        ({"gone": "optimizer.0.momentum_buffer"}, "'optimizer.0.momentum_buffer' is not there, expected float32 of shape"),
        ({"more": "optimizer.99.momentum_buffer"}, "'optimizer.99.momentum_buffer' is float64 of shape (3,), expected not there"),
        ({"more": "model.conv1.weight"}, "'model.conv1.weight' is float64 of shape (3,), expected float32 of shape (8, 1, 3, 3)"),
    ],
)
def test_a_checkpoint_that_does_not_fit_the_run_is_refused(
    job: Job, record: Record, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    """As somebody may write one, with a hash that fits: continued, it would end in other weights, or in a record that is none."""
    run, made = elsewhere(job, tmp_path), checkpoint_of(job, record)
    arrays = {name: array for name, array in made.arrays.items() if name != change.get("gone")}
    if "more" in change:
        arrays[change["more"]] = np.zeros(3)
    first, last = record.history[0], record.history[-1]
    histories = {
        "none": [],
        "more": [*record.history, replace(last, epoch=5), replace(last, epoch=6)],
        "accuracy": [replace(first, test_accuracy=0.123), *record.history[1:3]],
        "last": [*record.history[:3], replace(last, test_accuracy=1 / 500, test_correct=1)],
    }
    history = histories.get(change.get("history", ""), made.history)
    records.write_checkpoint(run.folder, made._replace(history=history, arrays=arrays, threads=change.get("threads", 1)))
    expected = f"{run.folder}.checkpoint: does not fit this run ({reason}"
    with pytest.raises(RecordError, match=f"^{re.escape(expected)}.*; delete it to train the run anew$"):
        train(run)
    assert not records.exists(run.folder)


def test_a_run_stopped_after_its_last_epoch_is_recorded_without_training(job: Job, record: Record, tmp_path: Path) -> None:
    stopped = elsewhere(job, tmp_path)
    records.write_checkpoint(stopped.folder, checkpoint_of(job, record)._replace(history=record.history))
    found = records.read(train(stopped))
    assert found.weights_sha256 == record.weights_sha256
    assert found.history == record.history  # to the second
    assert found.confusion == record.confusion


# All of MNIST


@pytest.mark.slow
def test_one_epoch_on_all_of_mnist_gives_more_than_97_percent(tmp_path: Path) -> None:
    b1 = ladders.load("mnist").with_epochs(1).step("B1")
    (epoch,) = records.read(train(Job("mnist", b1, 0, Setup(tmp_path, threads=2)))).history
    assert epoch.test_accuracy > 0.97
    assert epoch.test_correct == round(epoch.test_accuracy * 10_000)
