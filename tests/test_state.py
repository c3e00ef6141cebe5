"""Optimizers and averages beside torch's own, and what of them a checkpoint holds."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from training import loop_images, state_of

from stepladder import EMA, AdamW, Conv, GlobalAvgPool, Network, Recipe, Step, records, state
from stepladder.augment import normalise
from stepladder.engine import plain
from stepladder.job import Job, Setup
from stepladder.state import State
from stepladder.train import Images, Streams, fit, train

CODE = """
import sys, torch
from stepladder import EMA, AdamW, Affine, Conv, Erasing, GlobalAvgPool, Network, Recipe, state
from stepladder.engine import native, plain
from stepladder.train import Images, Streams, fit
levels, labels = torch.randint(0, 256, (8, 1, 9, 9), dtype=torch.uint8), torch.arange(8)
for optimizer in (None, AdamW()):
    for engine in (native, plain):
        recipe = Recipe(
            epochs=2, batch_size=4, optimizer=optimizer, learning_rate=0.01, dropout=0.1,
            augmentation=Affine(rotate=5), erasing=Erasing(), averaging=EMA(0.9),
        )
        generator = torch.Generator()
        run = state.begin(engine.build(Network([Conv(10), GlobalAvgPool()], input=(1, 9, 9)), 0.1, generator), recipe)
        for epoch in fit(run, recipe, Images(engine, levels, labels, levels, labels, (0.5,), (0.3,)), Streams(0, generator)):
            state.restore(run, state.arrays(run))
print("torch._dynamo" in sys.modules)
"""


def test_a_process_that_trains_does_not_load_torch_s_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


NETWORK = Network([Conv(6, stride=3), Conv(10, stride=2, activation=None), GlobalAvgPool()])
RECIPE = Recipe(epochs=2, batch_size=50, learning_rate=0.02)


@pytest.fixture(scope="module")
def images(small_mnist: Path) -> Images:
    return loop_images(small_mnist)


def run(begun: State, recipe: Recipe, images: Images) -> State:
    assert len(list(fit(begun, recipe, images, Streams(0, torch.Generator())))) == recipe.epochs
    return begun


def floats(model: nn.Module) -> list[Tensor]:
    return [tensor.clone() for tensor in model.state_dict().values() if tensor.is_floating_point()]


# Optimizers


@pytest.mark.parametrize(
    ("values", "make"),
    [
        ({"momentum": 0.0}, lambda weights: SGD(weights, 0.02)),
        ({}, lambda weights: SGD(weights, 0.02, momentum=0.9)),
        ({"nesterov": True}, lambda weights: SGD(weights, 0.02, momentum=0.9, nesterov=True)),
        ({"weight_decay": 0.05}, lambda weights: SGD(weights, 0.02, momentum=0.9, weight_decay=0.05)),
        ({"optimizer": AdamW()}, lambda weights: torch.optim.AdamW(weights, 0.02, weight_decay=0)),
        (
            {"optimizer": AdamW(0.8, 0.99, 1e-4), "weight_decay": 0.1},
            lambda weights: torch.optim.AdamW(weights, 0.02, (0.8, 0.99), 1e-4, 0.1),
        ),
    ],
)
def test_an_optimizer_is_torchs(images: Images, values: dict[str, object], make: Callable[[list[Tensor]], Optimizer]) -> None:
    recipe = replace(RECIPE, **values)  # type: ignore[arg-type]
    found = run(state_of(NETWORK, recipe), recipe, images)
    model = state_of(NETWORK, recipe).model
    expected = run(State(model, make(list(model.parameters()))), recipe, images)
    torch.testing.assert_close(floats(found.model), floats(expected.model), rtol=1e-4, atol=1e-5)


def test_each_concept_of_the_optimizer_changes_the_weights(images: Images) -> None:
    adam = replace(RECIPE, optimizer=AdamW())
    recipes = [RECIPE, replace(RECIPE, nesterov=True), replace(RECIPE, weight_decay=0.05), replace(RECIPE, label_smoothing=0.1)]
    recipes += [adam, replace(adam, weight_decay=0.05)]
    found = [floats(run(state_of(NETWORK, recipe), recipe, images).model)[0] for recipe in recipes]
    assert len({tuple(weights.flatten().tolist()) for weights in found}) == len(recipes)


# Averages


def test_the_average_is_torchs_without_the_initial_weights(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = replace(RECIPE, averaging=EMA(0.8))
    begun = state_of(NETWORK, recipe)
    initial = floats(begun.model)
    twin = AveragedModel(begun.model, multi_avg_fn=get_ema_multi_avg_fn(0.8), use_buffers=True)
    twin.update_parameters(begun.model)  # the first time it copies
    step = state.step

    def with_twin(optimizer: Optimizer) -> None:
        step(optimizer)
        twin.update_parameters(begun.model)

    monkeypatch.setattr(state, "step", with_twin)
    run(begun, recipe, images)
    left = 0.8**10  # of the initial weights, after ten batches
    expected = [(found - left * first) / (1 - left) for found, first in zip(floats(twin.module), initial, strict=True)]
    torch.testing.assert_close(floats(begun.result), expected, rtol=1e-4, atol=1e-6)


def test_weights_of_an_average_add_up_to_one_and_fall_by_the_decay() -> None:
    shares: list[float] = []
    for batch in range(50):
        weight = EMA(0.9).weight(batch)
        shares = [share * (1 - weight) for share in shares] + [weight]
        assert sum(shares) == pytest.approx(1)
        assert [old / new for old, new in pairwise(shares)] == pytest.approx([0.9] * batch)


def test_an_average_does_not_change_how_training_goes(images: Images) -> None:
    averaged = replace(RECIPE, averaging=EMA(0.9))
    found, expected = (run(state_of(NETWORK, recipe), recipe, images) for recipe in (averaged, RECIPE))
    assert all(torch.equal(a, b) for a, b in zip(floats(found.model), floats(expected.model), strict=True))
    assert not torch.equal(floats(found.result)[0], floats(expected.result)[0])
    assert expected.result is expected.model


def test_test_figures_are_those_of_the_average(images: Images) -> None:
    recipe = replace(RECIPE, epochs=1, averaging=EMA(0.5))
    begun = state_of(NETWORK, recipe)
    (epoch,) = fit(begun, recipe, images, Streams(0, torch.Generator()))
    assert begun.average is not None
    losses = []
    with torch.no_grad():
        for model in (begun.average.eval(), begun.model.eval()):
            logits = model(normalise(images.test, images.mean, images.std))
            losses.append(nn.functional.cross_entropy(logits, images.test_labels).item())
    assert losses[0] == pytest.approx(epoch.test_loss, rel=1e-5)
    assert losses[1] != pytest.approx(epoch.test_loss, rel=1e-3)


@pytest.mark.parametrize("engine", ["torch", "native"])
def test_the_average_is_what_is_stored(small_mnist: Path, small_network: Network, tmp_path: Path, engine: str) -> None:
    recipe = Recipe(epochs=2, batch_size=100, learning_rate=0.05, averaging=EMA(0.9), dropout=0.05)
    job = Job("mine", Step("Average", small_network, recipe), 0, Setup(tmp_path, small_mnist, engine))
    folder = train(job)
    weights, dataset = load_file(folder / "weights.safetensors"), job.setup.dataset()
    assert weights["norm1.num_batches_tracked"] == 40
    model = plain.build(small_network, 0.05, torch.Generator())
    model.load_state_dict(weights)
    with torch.no_grad():
        logits = model.eval()(normalise(torch.from_numpy(dataset.test_images), *dataset.normalisation()))
    torch.testing.assert_close(logits, torch.from_numpy(records.read_logits(folder, records.read(folder))), rtol=0, atol=1e-4)
    correct = int((logits.argmax(1) == torch.from_numpy(dataset.test_labels)).sum())
    assert abs(records.read(folder).history[-1].test_correct - correct) <= 1
    unaveraged = Job("mine", Step("Plain", small_network, replace(recipe, averaging=None)), 0, job.setup)
    assert not torch.equal(load_file(train(unaveraged) / "weights.safetensors")["conv1.weight"], weights["conv1.weight"])


# Arrays


def test_arrays_put_back_are_the_same_state(images: Images) -> None:
    recipe = replace(RECIPE, optimizer=AdamW(), averaging=EMA(0.9))
    found = state.arrays(run(state_of(NETWORK, recipe), recipe, images))
    assert {name.partition(".")[0] for name in found} == {"model", "average", "optimizer"}
    fresh = state_of(NETWORK, recipe)
    state.restore(fresh, found)
    again = state.arrays(fresh)
    assert again.keys() == found.keys()
    assert all((again[name] == found[name]).all() and again[name].dtype == found[name].dtype for name in found)


def test_a_recipe_without_an_average_has_the_arrays_it_always_had(images: Images) -> None:
    found = state.arrays(run(state_of(NETWORK, RECIPE), RECIPE, images))
    model = {f"model.{name}" for name in state_of(NETWORK, RECIPE).model.state_dict()}
    parameters = len(list(state_of(NETWORK, RECIPE).model.parameters()))
    assert found.keys() == model | {f"optimizer.{number}.momentum_buffer" for number in range(parameters)}
