"""The native engine against the plain module: values, gradients, running statistics, ten training steps."""

from math import inf, nan

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from native_twin import WINDOWS, assert_agrees, batches, distance, example, networks, outcome, prepare, twin
from torch import Tensor, nn
from torch.nn import functional

from stepladder import (
    AvgPool,
    BlurPool,
    Conv,
    Excite,
    Flatten,
    GlobalAvgPool,
    LayerNorm,
    Linear,
    MaxPool,
    Network,
    PReLU,
    ReLU,
    Residual,
    ladders,
)
from stepladder.engine import native, plain
from stepladder.spec import Layer
from stepladder.streams import stream

MIXED = Network(
    [MaxPool(2), Conv(6, 5, padding=2, bias=True), Conv(6, 3, 2, groups=6, padding=1), Conv(7, norm=None), Flatten(), Linear(10)],
    input=(2, 21, 18),
)
JOINED = Network(
    [
        *(Conv(6), BlurPool(), Conv(6, padding=1), Conv(6, padding=1, activation=None), Residual(2)),
        *(GlobalAvgPool(), Linear(3, activation="relu"), Linear(6), Excite(3), Conv(10), GlobalAvgPool()),
    ],
    input=(1, 14, 13),
)


def build(network: Network, seed: int = 0) -> nn.Sequential:
    module = native.build(network, 0.0, torch.Generator())
    prepare(module, seed)
    return module


# Values and gradients in double precision


def trains(network: Network, images: int) -> bool:
    """Whether every norm has more than one value a channel."""
    return images > 1 or network.point_norm is None


@settings(max_examples=200)
@given(st.data(), networks())
def test_values_gradients_and_statistics_are_those_of_the_twin(data: st.DataObject, network: Network) -> None:
    images = data.draw(batches(network))
    assume(trains(network, images))
    x, cotangent, seed = example(network, images)
    expected = outcome(twin(network, seed, torch.float64), x.double(), cotangent)
    rough = outcome(twin(network, seed, torch.float32), x, cotangent)
    assert_agrees(outcome(build(network, seed), x, cotangent), expected, rough)


@settings(max_examples=100)
@given(st.data(), networks())
def test_running_statistics_serve_when_not_training(data: st.DataObject, network: Network) -> None:
    x, cotangent, seed = example(network, data.draw(batches(network)), training=False)
    expected = outcome(twin(network, seed, torch.float64), x.double(), cotangent, training=False)
    rough = outcome(twin(network, seed, torch.float32), x, cotangent, training=False)
    module = build(network, seed)
    assert_agrees(outcome(module, x, cotangent, training=False), expected, rough)
    with torch.no_grad():
        assert distance(module(x), expected.logits) <= 1e-5 * max(1.0, expected.logits.norm().item())
    assert all(torch.equal(buffer, build(network, seed).get_buffer(name)) for name, buffer in module.named_buffers())


def whole_numbers(module: nn.Module, seed: int) -> nn.Module:
    """The module with parameters of -1, 0 and 1."""
    for name, parameter in module.named_parameters():
        parameter.data = torch.randint(-1, 2, parameter.shape, generator=stream(seed, name)).to(parameter.dtype)
    return module


def exact(network: Network, seed: int, x: Tensor, cotangent: Tensor) -> bool:
    """Whether a network of whole numbers stays exact in single precision, in any order of its sums."""
    bound = whole_numbers(twin(network, 0, torch.float64), seed)
    for parameter in bound.parameters():
        parameter.data.abs_()
    most = outcome(bound, x.double().abs(), cotangent.abs())
    return all(bool(tensor.abs().max() < 2**24) for tensor in (most.logits, *most.gradients.values()))


@settings(max_examples=100)
@given(st.data(), networks(norms=False), st.integers(0, 9))
def test_sums_of_whole_numbers_are_exact_and_ties_are_broken_as_in_torch(data: st.DataObject, network: Network, seed: int) -> None:
    images = data.draw(batches(network))
    x = torch.randint(-2, 3, (images, *network.input), generator=stream(seed, "x")).float()
    cotangent = torch.randint(-2, 3, (images, network.classes), generator=stream(seed, "cotangent")).float()
    assume(exact(network, seed, x, cotangent))
    expected = outcome(whole_numbers(twin(network, 0, torch.float64), seed), x.double(), cotangent)
    found = outcome(whole_numbers(build(network), seed), x, cotangent)
    assert torch.equal(found.logits.double(), expected.logits)
    assert found.gradients.keys() == expected.gradients.keys()
    for name, gradient in expected.gradients.items():
        assert torch.equal(found.gradients[name].double(), gradient), name


def test_a_bias_before_a_norm_has_no_gradient_and_moves_the_running_mean() -> None:
    network = Network([Conv(5, bias=True), GlobalAvgPool()], input=(2, 6, 5), classes=5)
    module, without, x = build(network), build(network), torch.randn(9, 2, 6, 5, generator=stream(0))
    without.get_parameter("conv1.bias").data.zero_()
    module(x).sum().backward()
    without(x).sum().backward()
    bias = module.get_parameter("conv1.bias")
    assert bias.grad is not None
    assert torch.equal(bias.grad, torch.zeros(5))
    moved = module.get_buffer("norm1.running_mean") - without.get_buffer("norm1.running_mean")
    torch.testing.assert_close(moved, 0.1 * bias.detach())


@pytest.mark.parametrize(
    "first",
    [MaxPool(2), AvgPool(3, 2, 1), ReLU(), PReLU(), LayerNorm(), BlurPool(), Conv(3)],
    ids=lambda layer: type(layer).__name__,
)
def test_a_pass_leaves_nothing_behind_for_the_next_whatever_its_first_layer(first: Layer) -> None:
    network = Network([first, Conv(4), Flatten(), Linear(5)], input=(1, 12, 12), classes=5)
    module, x = build(network), torch.randn(9, 1, 12, 12, generator=stream(0))
    found = []
    for _ in range(3):
        prepare(module, 0)
        module.zero_grad()
        module(x).square().sum().backward()  # no gradient of x is asked for
        statistics = [tensor.clone() for tensor in module.buffers() if tensor.is_floating_point()]
        found.append([*statistics, *(parameter.grad for parameter in module.parameters() if parameter.grad is not None)])
    for again in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], again, strict=True))


# Kinks and what is not finite


@pytest.mark.parametrize("side", [1, 2, 3])
def test_the_gradient_of_equal_maxima_goes_to_the_first(side: int) -> None:
    network = Network([MaxPool(side), Flatten()], input=(1, 6, 12), classes=72 // side**2)
    x = torch.zeros(3, 1, 6, 12, requires_grad=True)
    native.build(network, 0.0, torch.Generator())(x).sum().backward()
    expected = torch.zeros(6, 12)
    expected[::side, ::side] = 1
    assert x.grad is not None
    assert torch.equal(x.grad, expected.expand(3, 1, 6, 12))


@pytest.mark.parametrize("value", [nan, inf, -inf])
@pytest.mark.parametrize(("pool", "side"), [(MaxPool(2), 4), (MaxPool(3), 9), (MaxPool(3, 2, 1), 4)], ids=["2", "3", "overlapping"])
def test_what_is_not_finite_passes_through_pooling_and_relu_as_in_torch(pool: MaxPool, side: int, value: float) -> None:
    """Otherwise a network that diverged would look fine."""
    network = Network([pool, Conv(2, 1, norm=None), pool, Flatten()], (1, side, side), classes=2)
    x = torch.randn(side**2, 1, side, side, generator=stream(0)).flatten(1)
    x[range(side**2), range(side**2)] = value  # at another place in every image
    x = x.view(side**2, 1, side, side)
    module, plain_module = build(network), twin(network, 0, torch.float32)
    expected = plain_module(x)
    torch.testing.assert_close(module(x), expected, equal_nan=True)
    with torch.no_grad():
        torch.testing.assert_close(module.eval()(x), expected, equal_nan=True)


def test_a_norm_makes_nothing_finite_of_what_is_not() -> None:
    network = Network([Conv(2, 3, padding=1), MaxPool(2), Conv(2, 1), GlobalAvgPool()], (1, 4, 6), classes=2)
    x = torch.ones(9, 1, 4, 6)
    x[4, 0, 2, 3] = nan
    module = build(network)
    loss = functional.cross_entropy(module(x), torch.zeros(9, dtype=torch.int64))
    loss.backward()
    assert loss.isnan()
    assert all(gradient.grad is not None and gradient.grad.isnan().any() for gradient in module.parameters())
    assert module.get_buffer("norm1.running_mean").isnan().all()


# Training


def losses(module: nn.Module, network: Network, images: int = 32) -> Tensor:
    """Of ten steps of stochastic gradient descent with momentum on drawn batches."""
    optimizer = torch.optim.SGD(module.parameters(), lr=0.02, momentum=0.9)
    found = []
    for step in range(10):
        x = torch.randn(images, *network.input, generator=stream(step, "x"))
        labels = torch.randint(network.classes, (images,), generator=stream(step, "labels"))
        loss = functional.cross_entropy(module(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.detach())
    return torch.stack(found)


@pytest.mark.parametrize(
    "network",
    [MIXED, JOINED, WINDOWS, *(ladders.load("mnist").step(name).network for name in ("A1", "B1"))],
    ids=["mixed", "joined", "windows", "A", "B"],
)
def test_ten_training_steps_end_where_the_plain_module_ends(network: Network) -> None:
    module, expected = build(network), plain.build(network, 0.0, torch.Generator())
    prepare(expected, 0)
    assert distance(losses(module, network), losses(expected, network)) < 1e-4
    for tensor, other in zip(module.state_dict().values(), expected.state_dict().values(), strict=True):
        assert distance(tensor, other) <= 1e-4 * max(1.0, other.double().norm().item())
