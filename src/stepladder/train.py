"""One run: the only training loop."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import repeat
from math import inf, isfinite
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from safetensors.numpy import save
from torch import Tensor, nn
from torch.nn import functional

from stepladder import cuda, data, networks, records, state, stepping
from stepladder.augment import draw_boxes, draw_maps, erase
from stepladder.data import DataError
from stepladder.engine import MOST_THREADS, native, plain
from stepladder.engine.native import Number
from stepladder.environment import environment
from stepladder.job import Job
from stepladder.networks import Module
from stepladder.networks.building import build
from stepladder.records import Checkpoint, Epoch, Normalisation, Record, RecordError, Status
from stepladder.spec import Network, Recipe, to_data
from stepladder.state import State
from stepladder.streams import stream, stream_seed

ENGINES = {"native": native, "torch": plain}
NOTE_SECONDS = 1.0
"""Between two notes of how far an epoch is."""


class Draws(NamedTuple):
    """What is done to each of n training images: its map (n, 2, 3) and the box (n, 4) that is erased, where the recipe has them."""

    maps: Tensor | None = None
    boxes: Tensor | None = None

    def split(self, order: Tensor, size: int) -> "Iterator[Draws]":
        """Those of so many images at a time, in the order of their indices; without end where there are none."""
        return map(Draws, *(repeat(None) if drawn is None else drawn[order].split(size) for drawn in self))


class Images(NamedTuple):
    """Levels (n, channels, height, width), uint8, with labels (n,), int64, on the run's device; mean and deviation of each
    channel in training."""

    engine: ModuleType
    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def on_gpu(self) -> bool:
        """Whether they lie on a GPU."""
        return self.train.is_cuda

    def scalars(self, values: list[float]) -> Sequence[Number]:
        """Numbers as a step takes them: a GPU's lie there, as it goes on without waiting for those of the next batch."""
        return torch.tensor(values, device=self.train.device).unbind() if self.on_gpu else values

    def batch(self, levels: Tensor, chosen: Tensor, draws: Draws | None = None) -> Tensor:
        """The chosen images as the network takes them, each by its own draws: mapped, normalised, erased, as (chosen, channels,
        height, width)."""
        maps, boxes = draws or (None, None)
        batch: Tensor = self.engine.batch(levels, chosen, maps, self.mean, self.std)
        return batch if boxes is None else erase(batch, boxes)


class Diverged(ArithmeticError):
    """The loss of an epoch was not finite."""


def train(job: Job, dataset: data.Dataset | None = None, seconds: float | None = None) -> Path:
    """Train one run to its end, from its checkpoint where it has one, and write its record; returns the record's folder.

    `dataset` are its images, where they are not to be read from where its setup says. After so many `seconds` it ends with the
    epoch under way, and leaves a checkpoint in place of a record; it then raises records.Held where another process has the run,
    which is waited for else. A run that is recorded already is left as it is. Raises DataError and RecordError for files that
    cannot be used.
    """
    until = inf if seconds is None else time.monotonic() + seconds
    dataset = dataset or job.setup.dataset(job.step.network.classes)
    data.check_fits(dataset, job.step.network.input)
    if records.fingerprint(job.step, dataset.digest, job.setup.identity(job.step)) != job.fingerprint:
        raise DataError(f"{job.setup.data}: the images have changed since this run was asked for")
    with records.lock(job.folder, wait=seconds is None):
        folder = job.folder  # only now: another ladder may have begun this run under another name
        if not records.exists(folder):
            on_gpu = job.setup.device == "cuda"
            with torch.random.fork_rng(["cuda"] if on_gpu else []), cuda.ready() if on_gpu else nullcontext():
                _train(job, dataset, folder, until)
    return folder


def _train(job: Job, dataset: data.Dataset, folder: Path, until: float) -> None:
    network, recipe, setup = job.step.network, job.step.recipe, job.setup
    trainer = networks.trainer(network, setup.engine).engine
    engine = ENGINES[trainer]
    records.clear_leftovers(folder)
    checkpoint = records.read_checkpoint(folder)
    threads = checkpoint.threads if checkpoint else setup.threads  # another number of threads would give other bits
    if threads > MOST_THREADS:
        raise _unfit(folder, f"{threads} threads, expected at most {MOST_THREADS:,}")
    engine.use_threads(threads)
    torch.set_deterministic_debug_mode("error")  # as use_deterministic_algorithms, which takes a second to import the compiler

    images = _images(dataset, engine, setup.device)
    dropout = _dropout(network, setup.device)
    model = build(network, engine, recipe.dropout, dropout, job.seed).to(setup.device)
    run = state.begin(model, recipe)
    history = _continue(run, checkpoint, recipe, images, folder) if checkpoint else []

    status: Status = "finished"
    try:
        for epoch in fit(run, recipe, images, Streams(job.seed, dropout), len(history), folder):
            history.append(epoch)
            records.write_checkpoint(folder, Checkpoint(history, threads, state.arrays(run), job.fingerprint, job.seed))
            if time.monotonic() >= until and len(history) < recipe.epochs:
                return
    except Diverged:
        status = "diverged"

    weights = save({name: tensor.cpu().numpy() for name, tensor in run.result.state_dict().items()})
    logits = infer(run.result, images.test, images) if status == "finished" else None
    confusion = None if logits is None else _confusion(logits, images.test_labels)
    if confusion and (right := sum(row[label] for label, row in enumerate(confusion))) != history[-1].test_correct:
        raise _unfit(folder, f"its last epoch has {history[-1].test_correct} right answers, its weights give {right}")
    record = Record(
        schema=records.SCHEMA,
        ladder=job.ladder,
        step=job.step.id,
        title=job.step.title,
        seed=job.seed,
        fingerprint=job.fingerprint,
        status=status,
        parameters=network.parameters,
        epochs=recipe.epochs,
        history=history,
        confusion=confusion,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        environment=_made_on(setup.device)
        | {"threads": threads, "engine": trainer, "device": setup.device, "holdout": setup.reading.holdout},
        network=to_data(network),
        recipe=to_data(recipe),
        data_sha256=dataset.digest,
        engine=setup.identity(job.step),
        input=network.input,
        classes=list(dataset.classes),
        normalisation=Normalisation(list(images.mean), list(images.std)),
        data=job.setup.source(dataset),
    )
    records.write(folder, record, weights, None if logits is None else logits.cpu().numpy())
    records.forget(folder)


def _made_on(device: str) -> dict[str, Any]:
    """Where a run was made; of a GPU its name stands beside that of the processor."""
    found = environment()
    return found if device == "cpu" else found | {"processor": f"{found['processor']} with {torch.cuda.get_device_name()}"}


def _dropout(network: Network | Module, device: str) -> torch.Generator:
    """What dropout is drawn from: a generator of the run's own; torch's global one for a module whose forward is its own."""
    if networks.layers(network):
        return torch.Generator(device)
    return torch.default_generator if device == "cpu" else torch.cuda.default_generators[torch.cuda.current_device()]


def _continue(run: State, checkpoint: Checkpoint, recipe: Recipe, images: Images, folder: Path) -> list[Epoch]:
    """Put a run back to where its checkpoint was written; returns its epochs so far."""
    done = len(checkpoint.history)
    if not 0 < done <= recipe.epochs:
        raise _unfit(folder, f"{done} epochs, expected 1 to {recipe.epochs}")
    if fault := records.accuracy_fault(checkpoint.history, len(images.test)):
        raise _unfit(folder, fault)
    try:
        state.restore(run, checkpoint.arrays)
    except ValueError as error:
        raise _unfit(folder, str(error)) from None
    return list(checkpoint.history)


def _unfit(folder: Path, reason: str) -> RecordError:
    return RecordError(f"{folder}.checkpoint: does not fit this run ({reason}); delete it to train the run anew")


def _images(dataset: data.Dataset, engine: ModuleType, device: str) -> Images:
    arrays = (dataset.train_images, dataset.train_labels, dataset.test_images, dataset.test_labels)
    train_images, train_labels, test_images, test_labels = (torch.from_numpy(array).to(device) for array in arrays)
    return Images(engine, train_images, train_labels.long(), test_images, test_labels.long(), *dataset.normalisation())


class Streams(NamedTuple):
    """The seed of a run, and the generator that its network draws dropout from."""

    seed: int
    dropout: torch.Generator


def fit(run: State, recipe: Recipe, images: Images, streams: Streams, done: int = 0, folder: Path | None = None) -> Iterator[Epoch]:
    """Train epoch by epoch from epoch `done` (counted from 0) on, yielding each one's figures; every second it is noted beside the
    run's folder, if it has one, how far its epoch is.

    Raises Diverged where a loss is not finite.
    """
    n = len(images.train)
    size, batches = recipe.batch_size, -(-n // recipe.batch_size)
    update = _updater(run, recipe, images, streams)
    for epoch in range(done, recipe.epochs):
        began = told = time.perf_counter()
        order = torch.randperm(n, generator=stream(streams.seed, "order", epoch)).to(images.train.device)
        # What can be is made ready for a whole epoch: between two batches, whose numbers fill the cache, each call costs far more.
        draws = _draw(recipe, images, streams.seed, epoch).split(order, size)
        chosen = zip(order.split(size), images.train_labels[order].split(size), draws, strict=False)
        numbers = range(epoch * batches, (epoch + 1) * batches)
        rates = [recipe.rate(number, batches) for number in numbers]
        weights = [recipe.averaging.weight(number) if recipe.averaging else 0.0 for number in numbers]
        scalars = zip(images.scalars(rates), images.scalars(weights), strict=True)
        streams.dropout.manual_seed(stream_seed(streams.seed, "dropout", epoch))

        run.model.train()
        figures = []
        for (indices, labels, drawn), (rate, weight) in zip(chosen, scalars, strict=True):
            figures.append(update(indices, labels, *drawn, rate, weight))
            if folder and (now := time.perf_counter()) - told >= NOTE_SECONDS:
                records.note(folder, epoch + 1, len(figures) / batches)
                told = now
        train_loss, train_correct = torch.stack(figures).double().sum(0).tolist()

        logits = infer(run.result, images.test, images)
        test_loss = functional.cross_entropy(logits, images.test_labels).item()
        test_correct = int((logits.argmax(1) == images.test_labels).sum())
        if not (isfinite(train_loss) and isfinite(test_loss)):
            raise Diverged(f"the loss is not finite in epoch {epoch + 1}")
        yield Epoch(
            epoch=epoch + 1,
            learning_rate=rates[-1],
            train_loss=train_loss / n,
            train_accuracy=train_correct / n,
            test_loss=test_loss,
            test_accuracy=test_correct / len(images.test),
            test_correct=test_correct,
            seconds=time.perf_counter() - began,
        )


def _updater(run: State, recipe: Recipe, images: Images, streams: Streams) -> Callable[..., Tensor]:
    """What trains a run on the images at some indices, with their labels, maps and boxes, at a rate and with a weight in the
    average."""
    update = stepping.updater(run, recipe)

    def work(indices: Tensor, labels: Tensor, maps: Tensor | None, boxes: Tensor | None, rate: Number, weight: Number) -> Tensor:
        return update(images.batch(images.train, indices, Draws(maps, boxes)), labels, rate, weight)

    return cuda.played_back(work, partial(cuda.graph, streams.dropout)) if images.on_gpu and plain.runs(run.model) else work


def _draw(recipe: Recipe, images: Images, seed: int, epoch: int) -> Draws:
    """An epoch's maps and boxes, each from a stream of its own."""
    n, _, *size = images.train.shape
    maps = boxes = None
    if recipe.augmentation:
        maps = draw_maps(recipe.augmentation, n, stream(seed, "augmentation", epoch)).to(images.train.device)
    if recipe.erasing:
        boxes = draw_boxes(recipe.erasing, n, (size[0], size[1]), stream(seed, "erasing", epoch)).to(images.train.device)
    return Draws(maps, boxes)


@torch.inference_mode()
def infer(model: nn.Module, levels: Tensor, images: Images, batch_size: int = 1000) -> Tensor:
    """Logits (n, classes) of levels (n, channels, height, width), with running statistics and without dropout."""
    model.eval()
    return torch.cat(
        [model(images.batch(levels, chosen)) for chosen in torch.arange(len(levels), device=levels.device).split(batch_size)]
    )


def _confusion(logits: Tensor, labels: Tensor) -> list[list[int]]:
    """How often each label (row) was answered as each class (column)."""
    classes = logits.shape[1]
    counts: list[list[int]] = (
        torch.bincount(labels * classes + logits.argmax(1), minlength=classes**2).view(classes, classes).tolist()
    )
    return counts
