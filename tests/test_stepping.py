"""A step of training in compiled code, beside torch's own loss, optimizers and averages."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stepladder import EMA, AdamW, Conv, Dropout, GlobalAvgPool, Network, Recipe, Residual, networks, state, stepping
from stepladder.engine import native, plain
from stepladder.networks.building import build
from stepladder.state import State

NETWORK = Network(
    [Conv(6, stride=3), Conv(6, padding=1), Residual(1), Conv(10, stride=2, norm=None, activation=None), GlobalAvgPool()]
)
LARGE = Network([Conv(40, stride=3), Conv(96), Conv(10, activation=None), GlobalAvgPool()])
"""Of more numbers than one thread updates at a time."""


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    native.use_threads(2)
    yield
    native._own_threads = None


def begun(network: Network, recipe: Recipe) -> State:
    model = native.build(network, recipe.dropout, torch.Generator())
    plain.initialise(model, seed=0)
    return state.begin(model, recipe)


def trained(run: State, recipe: Recipe, batches: int = 4, update: native.Update | None = None) -> tuple[Tensor, dict[str, Any]]:
    """What each batch of random images gives, and the state after them."""
    draws = torch.Generator().manual_seed(5)
    update, figures = update or stepping.updater(run, recipe), []
    for batch in range(batches):
        x, labels = torch.randn(20, 1, 28, 28, generator=draws), torch.randint(10, (20,), generator=draws)
        weight = recipe.averaging.weight(batch) if recipe.averaging else 0
        figures.append(update(x, labels, recipe.rate(batch, batches), weight))
    return torch.stack(figures).double(), state.arrays(run)


def by_torch(run: State, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> native.Update:
    with monkeypatch.context() as patch:
        patch.setattr(native, "runs", lambda *_: False)
        return stepping.updater(run, recipe)


RECIPES = {
    "SGD": Recipe(learning_rate=0.02, momentum=0),
    "momentum": Recipe(learning_rate=0.02),
    "Nesterov": Recipe(learning_rate=0.02, nesterov=True),
    "weight decay": Recipe(learning_rate=0.02, weight_decay=0.05),
    "AdamW": Recipe(learning_rate=0.001, optimizer=AdamW(), weight_decay=0.1),
    "AdamW of other moments": Recipe(learning_rate=0.001, optimizer=AdamW(beta1=0.7, beta2=0.9, epsilon=1e-3)),
    "label smoothing": Recipe(learning_rate=0.02, label_smoothing=0.2),
    "average": Recipe(learning_rate=0.02, averaging=EMA(0.6)),
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_step_is_torchs(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = begun(NETWORK, recipe)
    expected, arrays = trained(twin, recipe, update=by_torch(twin, recipe, monkeypatch))
    figures, found = trained(begun(NETWORK, recipe), recipe)
    torch.testing.assert_close(figures[:, 0], expected[:, 0], rtol=1e-5, atol=0)
    assert torch.equal(figures[:, 1], expected[:, 1])
    assert found.keys() == arrays.keys()
    unlike = begun(NETWORK, recipe)
    for name, array in found.items():
        assert array.dtype == arrays[name].dtype
        # AdamW divides by the root of what may be almost nothing: where a gradient is rounding, its step is as large as any.
        torch.testing.assert_close(array, arrays[name], rtol=1e-3, atol=2e-3 if recipe.optimizer else 1e-5, msg=name)
    assert any((state.arrays(unlike)[name] != array).any() for name, array in found.items() if name.startswith("model."))


def test_threads_do_not_change_the_bits() -> None:
    recipe = Recipe(learning_rate=0.001, optimizer=AdamW(), averaging=EMA(0.9))
    found = []
    for threads in (1, 2, 3):
        native.use_threads(threads)
        found.append(trained(begun(LARGE, recipe), recipe, batches=2)[1])
    assert LARGE.parameters > 2 * 2**14
    assert all((one[name] == found[0][name]).all() for one in found[1:] for name in one)


def test_dropout_is_drawn_as_in_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    network, recipe = Network([Conv(6, stride=3), Dropout(0.5), Conv(10), GlobalAvgPool()]), Recipe(learning_rate=0.02)
    twin = begun(network, recipe)
    expected, _ = trained(twin, recipe, update=by_torch(twin, recipe, monkeypatch))
    figures, _ = trained(begun(network, recipe), recipe)
    torch.testing.assert_close(figures, expected, rtol=1e-5, atol=0)


class Plain(nn.Module):
    """A module of layers, with a buffer that none of them knows."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 4, 3, stride=3), nn.Conv2d(4, 10, 3, stride=2)
        self.register_buffer("unused", torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(self.first(x).relu()).mean((2, 3))
        return found


def test_a_module_of_layers_is_trained_in_its_own_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(learning_rate=0.05, averaging=EMA(0.6))
    runs = [state.begin(build(networks.read(Plain), native, 0, torch.Generator(), seed=0), recipe) for _ in range(2)]
    assert native.runs(runs[0].model, state.averaged(runs[0]))
    expected, arrays = trained(runs[1], recipe, update=by_torch(runs[1], recipe, monkeypatch))
    figures, found = trained(runs[0], recipe)
    torch.testing.assert_close(figures, expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(found, arrays, rtol=1e-3, atol=1e-5)
    assert "model.first.weight" in found


class Tied(nn.Module):
    """A module that uses one convolution twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice, self.last = nn.Conv2d(1, 4, 3, stride=3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 10, 1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(self.twice(self.twice(self.first(x).relu()).relu()).relu()).mean((2, 3))
        return found


def test_the_gradients_of_a_layer_that_is_used_twice_are_added_up() -> None:
    recipe, states = Recipe(learning_rate=0.05, weight_decay=0.1), []
    for engine in (native, plain):
        module = networks.read(Tied)
        run = state.begin(build(module, engine, 0, torch.Generator(), seed=0), recipe)
        assert not native.runs(run.model, [])
        states.append(trained(run, recipe)[1])
    assert networks.trainer(module, "native").engine == "native"
    torch.testing.assert_close(states[0], states[1], rtol=1e-3, atol=1e-5)


def test_an_average_of_numbers_that_compiled_code_does_not_take_is_torchs() -> None:
    recipe = Recipe(averaging=EMA(0.6))
    model = begun(NETWORK, recipe).model
    model.register_buffer("wide", torch.ones(3, dtype=torch.float64))
    run = state.begin(model, recipe)
    assert not native.runs(model, state.averaged(run))
    before = model.state_dict()["conv1.weight"].clone()
    trained(run, recipe)
    assert not torch.equal(model.state_dict()["conv1.weight"], before)


def test_a_label_that_no_class_has_is_an_error() -> None:
    run = begun(NETWORK, Recipe())
    update = stepping.updater(run, Recipe())
    with pytest.raises(IndexError, match=r"labels\[1\] is 10, expected one of 10 classes"):
        update(torch.randn(2, 1, 28, 28), torch.tensor([0, 10]), 0.1, 0)
    with pytest.raises(ValueError, match="labels: found shape"):
        update(torch.randn(2, 1, 28, 28), torch.tensor([0]), 0.1, 0)
    with pytest.raises(TypeError, match=r"labels: found torch\.int32"):
        update(torch.randn(2, 1, 28, 28), torch.tensor([0, 1], dtype=torch.int32), 0.1, 0)


def test_a_backward_after_a_step_finds_nothing_to_go_on() -> None:
    run, recipe = begun(NETWORK, Recipe()), replace(Recipe(), learning_rate=0.1)
    logits = run.model(torch.randn(2, 1, 28, 28))
    stepping.updater(run, recipe)(torch.randn(2, 1, 28, 28), torch.tensor([0, 1]), 0.1, 0)
    with pytest.raises(RuntimeError, match="are gone"):
        logits.sum().backward()
