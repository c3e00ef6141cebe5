"""One run: the only training loop."""

import hashlib
import time
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import torch
from safetensors.numpy import save
from torch import Tensor, nn
from torch.nn import functional

from stepladder import data, records
from stepladder.augment import draw_maps
from stepladder.engine import native, plain
from stepladder.environment import environment
from stepladder.job import Job
from stepladder.records import Checkpoint, Epoch, Record
from stepladder.spec import Recipe, to_data
from stepladder.streams import stream, stream_seed

ENGINES = {"native": native, "torch": plain}


class Images(NamedTuple):
    """Grey levels (n, height, width), uint8, with labels (n,), int64, on the run's device; mean and deviation of training."""

    engine: ModuleType
    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    mean: float
    std: float

    def batch(self, grey: Tensor, chosen: Tensor, maps: Tensor | None = None) -> Tensor:
        """The chosen images as the network takes them: mapped, normalised, (chosen, 1, height, width)."""
        found: Tensor = self.engine.batch(grey, chosen, maps, self.mean, self.std)
        return found


class Diverged(ArithmeticError):
    """The loss of an epoch was not finite."""


def train(job: Job) -> Path:
    """Train one run to its end, from its checkpoint where it has one, and write its record; returns the record's folder.

    A run that is recorded already is left as it is. Raises DataError and RecordError for files that cannot be used.
    """
    dataset = data.load(job.setup.data, job.step.network.classes)
    data.check_fits(dataset, job.step.network.input)
    with records.lock(job.folder):
        if not records.exists(job.folder):
            _train(job, dataset)
    return job.folder


def _train(job: Job, dataset: data.Dataset) -> None:
    network, recipe, setup, folder = job.step.network, job.step.recipe, job.setup, job.folder
    engine = ENGINES[setup.engine]
    records.clear_leftovers(folder)
    checkpoint = records.read_checkpoint(folder)
    threads = checkpoint.threads if checkpoint else setup.threads  # another number of threads would give other bits
    engine.use_threads(threads)
    torch.use_deterministic_algorithms(True)

    arrays = (dataset.train_images, dataset.train_labels, dataset.test_images, dataset.test_labels)
    train_images, train_labels, test_images, test_labels = (torch.from_numpy(array).to(setup.device) for array in arrays)
    images = Images(engine, train_images, train_labels.long(), test_images, test_labels.long(), *dataset.normalisation())
    dropout = torch.Generator(setup.device)
    model = engine.build(network, recipe.dropout, dropout)
    plain.initialise(model, job.seed)
    model.to(setup.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum, fused=True)
    history = _restore(checkpoint, model, optimizer) if checkpoint else []

    status = "finished"
    try:
        for epoch in fit(model, optimizer, recipe, images, Streams(job.seed, dropout), len(history)):
            history.append(epoch)
            records.write_checkpoint(folder, Checkpoint(history, threads, _state(model, optimizer)))
    except Diverged:
        status = "diverged"

    weights = save({name: tensor.cpu().numpy() for name, tensor in model.state_dict().items()})
    logits = infer(model, images.test, images) if status == "finished" else None
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
        confusion=None if logits is None else _confusion(logits, images.test_labels),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        environment=environment() | {"threads": threads, "engine": setup.engine, "device": setup.device},
        network=to_data(network),
        recipe=to_data(recipe),
        data_sha256=dataset.digest,
    )
    records.write(folder, record, weights, None if logits is None else logits.cpu().numpy())


class Streams(NamedTuple):
    """The seed of a run, and the generator that its network draws dropout from."""

    seed: int
    dropout: torch.Generator


def fit(
    model: nn.Module, optimizer: torch.optim.Optimizer, recipe: Recipe, images: Images, streams: Streams, done: int = 0
) -> Iterator[Epoch]:
    """Train `model` epoch by epoch from epoch `done` (counted from 0) on, yielding each one's figures.

    Raises Diverged where a loss is not finite.
    """
    n = len(images.train)
    for epoch in range(done, recipe.epochs):
        began = time.perf_counter()
        order = torch.randperm(n, generator=stream(streams.seed, "order", epoch)).to(images.train.device)
        maps = None
        if recipe.augmentation:
            maps = draw_maps(recipe.augmentation, n, stream(streams.seed, "augmentation", epoch)).to(order.device)
        streams.dropout.manual_seed(stream_seed(streams.seed, "dropout", epoch))
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(epoch)

        model.train()
        loss_sum = torch.zeros((), dtype=torch.float64, device=order.device)
        correct = torch.zeros((), dtype=torch.int64, device=order.device)
        for chosen in order.split(recipe.batch_size):
            labels = images.train_labels[chosen]
            logits = model(images.batch(images.train, chosen, None if maps is None else maps[chosen]))
            loss = functional.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += loss.detach() * len(chosen)
            correct += (logits.detach().argmax(1) == labels).sum()
        train_loss = loss_sum.item() / n

        logits = infer(model, images.test, images)
        test_loss = functional.cross_entropy(logits, images.test_labels).item()
        test_correct = int((logits.argmax(1) == images.test_labels).sum())
        if not (isfinite(train_loss) and isfinite(test_loss)):
            raise Diverged(f"the loss is not finite in epoch {epoch + 1}")
        yield Epoch(
            epoch=epoch + 1,
            learning_rate=recipe.rate(epoch),
            train_loss=train_loss,
            train_accuracy=int(correct) / n,
            test_loss=test_loss,
            test_accuracy=test_correct / len(images.test),
            test_correct=test_correct,
            seconds=time.perf_counter() - began,
        )


@torch.inference_mode()
def infer(model: nn.Module, grey: Tensor, images: Images, batch_size: int = 1000) -> Tensor:
    """Logits (n, classes) of grey levels (n, height, width), with running statistics and without dropout."""
    model.eval()
    return torch.cat(
        [model(images.batch(grey, chosen)) for chosen in torch.arange(len(grey), device=grey.device).split(batch_size)]
    )


def _confusion(logits: Tensor, labels: Tensor) -> list[list[int]]:
    """How often each label (row) was answered as each class (column)."""
    classes = logits.shape[1]
    counts: list[list[int]] = (
        torch.bincount(labels * classes + logits.argmax(1), minlength=classes**2).view(classes, classes).tolist()
    )
    return counts


def _state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, records.Array]:
    """All tensors that decide how training goes on, by name."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in state.items()}
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def _restore(checkpoint: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Epoch]:
    """Put a checkpoint's tensors back; returns the epochs done."""
    tensors = {name: torch.from_numpy(array) for name, array in checkpoint.arrays.items()}
    model.load_state_dict({name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")})
    state = optimizer.state_dict()
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, number, key = name.split(".")
            state["state"].setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict(state)
    return list(checkpoint.history)
