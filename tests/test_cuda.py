"""What training on a GPU needs of its own. Without one, what records a batch is stood in for by what does the work once more."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor, nn
from training import figures, loop_images, network_of

from stepladder import EMA, AdamW, Affine, Conv, Erasing, GlobalAvgPool, Network, OneCycle, Recipe, Step, cuda, records, state
from stepladder.engine import plain
from stepladder.job import Job, Setup
from stepladder.records import Epoch
from stepladder.train import Images, Streams, fit, train

NETWORK = Network([Conv(4, stride=3), Conv(6), Conv(10, stride=2, norm=None, activation=None), GlobalAvgPool()])
STEPS = {
    "SGD": Step(
        "SGD",
        network=NETWORK,
        recipe=Recipe(2, 32, schedule=OneCycle(0.05), dropout=0.2, augmentation=Affine(rotate=15), erasing=Erasing(0.5)),
    ),
    "AdamW": Step("AdamW", network=NETWORK, recipe=Recipe(2, 32, 0.002, optimizer=AdamW(), weight_decay=0.1, averaging=EMA(0.9))),
}
BATCHES = 2 * 8
"""Of 250 images in 2 epochs; the last of each has fewer."""
by_step = pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here")


def recorder(counts: list[str]) -> Callable[..., tuple[Callable[[], object], Tensor]]:
    """Stands in for `cuda.graph`: does the work again, on what lies in its places by then."""

    def record(_: torch.Generator, work: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
        counts.append("recorded")
        result = torch.zeros(2)

        def play() -> None:
            counts.append("played")
            result.copy_(work())

        return play, result

    return record


def trained(step: Step, images: Images) -> tuple[list[Epoch], dict[str, list[float]]]:
    """The epochs, and all that they leave."""
    dropout = torch.Generator()
    model = plain.build(network_of(step), step.recipe.dropout, dropout)
    plain.initialise(model, seed=0)
    run = state.begin(model, step.recipe)
    epochs = [replace(epoch, seconds=0) for epoch in fit(run, step.recipe, images, Streams(0, dropout))]
    return epochs, {name: array.tolist() for name, array in state.arrays(run).items()}


# Played back


@by_step
def test_a_run_whose_batches_are_played_back_has_the_same_bits(
    step: Step, small_mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, counts = loop_images(small_mnist), list[str]()
    monkeypatch.setattr(Images, "on_gpu", True)
    monkeypatch.setattr(cuda, "graph", recorder(counts))
    with monkeypatch.context() as patch:
        patch.setattr(cuda, "EAGER", BATCHES)
        expected = trained(step, images)
    assert not counts
    assert trained(step, images) == expected
    assert counts == ["recorded"] + ["played"] * (BATCHES - cuda.EAGER - 2)  # none of the two last ones, which are smaller


def test_a_model_that_is_not_known_is_not_recorded(small_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Images, "on_gpu", True)
    monkeypatch.setattr(cuda, "graph", Mock(side_effect=AssertionError))
    run = state.begin(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), recipe := Recipe(1, 32))
    assert len(list(fit(run, recipe, loop_images(small_mnist), Streams(0, torch.Generator())))) == 1


def test_what_is_played_back_takes_the_tensors_given_and_gives_results_of_its_own() -> None:
    counts = list[str]()
    work = cuda.played_back(lambda a, none, b: torch.stack([a.sum(), b]), partial(recorder(counts), torch.Generator()))
    found = [work(torch.full((3,), float(i)), None, torch.tensor(10.0 + i)) for i in range(6)]
    assert [it.tolist() for it in found] == [[3 * i, 10 + i] for i in range(6)]
    assert work(torch.ones(2), None, torch.tensor(1.0)).tolist() == [2, 1]  # of another shape
    assert work(torch.ones(3), torch.ones(1), torch.tensor(1.0)).tolist() == [3, 1]  # of one tensor more
    assert work(torch.ones(3), None, torch.tensor(1.0)).tolist() == [3, 1]
    assert counts == ["recorded"] + ["played"] * 4


# On the way to a GPU


def test_cublas_is_told_to_give_the_same_bits_and_convolutions_to_be_of_full_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Stream", lambda: None)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    for before, after in ((None, ":4096:8"), (":16:8", ":16:8")):
        monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
        if before:
            monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", before)
        with cuda.ready():
            assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == after
            assert not torch.backends.cudnn.allow_tf32


# On a GPU


@pytest.fixture
def job(small_mnist: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Job:
    return Job("mine", request.param, 0, Setup(tmp_path, small_mnist, "torch", "cuda"))


on_gpu = pytest.mark.parametrize("job", STEPS.values(), ids=STEPS, indirect=True)


@needs_gpu
@on_gpu
def test_a_run_on_a_gpu_has_the_same_bits_whether_played_back_or_not(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    played = records.read(train(job))
    monkeypatch.setattr(cuda, "EAGER", 10**9)
    eager = records.read(train(replace(job, setup=replace(job.setup, runs=job.setup.runs / "eager"))))
    assert figures(played) == figures(eager)
    assert played.weights_sha256 == eager.weights_sha256


@needs_gpu
@on_gpu
def test_a_run_on_a_gpu_goes_on_from_its_checkpoint_with_the_same_bits(job: Job) -> None:
    whole = records.read(train(job))
    parts = replace(job, setup=replace(job.setup, runs=job.setup.runs / "parts"))
    while not records.exists(parts.folder):
        train(parts, seconds=0)
    assert records.read(parts.folder).weights_sha256 == whole.weights_sha256


@needs_gpu
@on_gpu
def test_a_run_on_a_gpu_ends_near_one_on_the_cpu(job: Job) -> None:
    found, expected = (
        records.read(train(replace(job, setup=replace(job.setup, runs=job.setup.runs / device, device=device))))
        for device in ("cuda", "cpu")
    )
    assert found.history[-1].train_loss == pytest.approx(expected.history[-1].train_loss, rel=0.2)
