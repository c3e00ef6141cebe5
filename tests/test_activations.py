"""Activations as layers: what they mean, and that both engines do them."""

from math import inf, nan

import pytest
import torch
from native_twin import ACTIVATIONS, assert_agrees, assert_bits_alike, example, outcome, prepare, twin
from torch import Tensor, nn

from stepladder import (
    ELU,
    GELU,
    BatchNorm,
    Conv,
    Flatten,
    GlobalAvgPool,
    LeakyReLU,
    Linear,
    MaxPool,
    Network,
    PReLU,
    Residual,
    SpecError,
    Tanh,
)
from stepladder.anatomy import anatomy
from stepladder.engine import native, plain
from stepladder.spec import Layer, from_data, to_data

everywhere = pytest.mark.parametrize("layer", ACTIVATIONS, ids=str)


def network(layer: Layer) -> Network:
    """The activation first, after a convolution, before a norm, in a join, on flat features and last."""
    inside = [Conv(5, padding=1, activation=None), layer, BatchNorm(), Conv(5, padding=1), layer, Residual(2)]
    return Network([layer, *inside, MaxPool(2), Flatten(), Linear(7), layer, Linear(4), layer], input=(3, 9, 8), classes=4)


def alone(layer: Layer, x: Tensor) -> tuple[Tensor, Tensor]:
    """The layer's values in the native engine of the numbers in x, and its derivatives."""
    module = native.build(Network([layer, Flatten()], (1, 1, x.numel()), classes=x.numel()), 0.0, torch.Generator())
    leaf = x.view(1, 1, 1, -1).clone().requires_grad_()
    values = module(leaf)
    values.sum().backward()
    assert leaf.grad is not None
    return values.detach().flatten(), leaf.grad.flatten()


@everywhere
@pytest.mark.parametrize("training", [True, False])
def test_values_and_gradients_are_those_of_the_twin(layer: Layer, training: bool) -> None:
    made = network(layer)
    x, cotangent, seed = example(made, 37, training=training)
    module = native.build(made, 0.0, torch.Generator())
    prepare(module, seed)
    expected = outcome(twin(made, seed, torch.float64), x.double(), cotangent, training)
    rough = outcome(twin(made, seed, torch.float32), x, cotangent, training)
    assert_agrees(outcome(module, x, cotangent, training), expected, rough)
    if not training:
        with torch.no_grad():
            torch.testing.assert_close(module(x), expected.logits.float(), rtol=1e-5, atol=1e-5)


@everywhere
def test_values_keep_seven_digits_near_zero_and_far_from_it(layer: Layer) -> None:
    for most in (1e-4, 1.0, 20.0, 300.0):
        x = torch.linspace(-most, most, 4001)
        module = plain.build(Network([layer, Flatten()], (1, 1, 4001), classes=4001), 0.0, torch.Generator()).double()
        leaf = x.double().view(1, 1, 1, -1).requires_grad_()
        expected = module(leaf)
        expected.sum().backward()
        assert leaf.grad is not None
        values, derivatives = alone(layer, x)
        torch.testing.assert_close(values.double(), expected.detach().flatten(), rtol=5e-7, atol=1e-6 * min(1, most))
        torch.testing.assert_close(derivatives.double(), leaf.grad.flatten(), rtol=5e-7, atol=2e-6)


@everywhere
def test_kinks_and_what_is_not_finite_are_as_in_torch(layer: Layer) -> None:
    x = torch.tensor([0.0, -0.0, 3, -3, 6, -6, 1e30, -1e30, 1e-40, 100, -100, nan, -inf])
    module = plain.build(Network([layer, Flatten()], (1, 1, 13), classes=13), 0.0, torch.Generator())
    leaf = x.view(1, 1, 1, -1).clone().requires_grad_()
    expected = module(leaf)
    expected.sum().backward()
    assert leaf.grad is not None
    values, derivatives = alone(layer, x)
    torch.testing.assert_close(values, expected.detach().flatten(), equal_nan=True, rtol=1e-4, atol=1e-6)
    finite = expected.detach().flatten().isfinite()
    torch.testing.assert_close(derivatives[finite], leaf.grad.flatten()[finite], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layer", [PReLU(), PReLU(per_channel=True), GELU()], ids=str)
def test_any_number_of_threads_gives_the_same_bits(layer: Layer) -> None:
    assert_bits_alike(network(layer))


def test_prelu_begins_at_a_quarter_with_one_slope_or_one_a_channel() -> None:
    for layer, slopes in ((PReLU(), 1), (PReLU(per_channel=True), 6)):
        made = Network([Conv(6, norm=None, activation=None), layer, GlobalAvgPool(), Linear(10)])
        assert anatomy(made)[1].parameters == slopes
        module = native.build(made, 0.0, torch.Generator())
        assert torch.equal(module.get_parameter("prelu1.weight"), torch.full((slopes,), 0.25))
        assert sum(parameter.numel() for parameter in module.parameters()) == made.parameters


@everywhere
def test_they_are_read_back_and_are_followed_by_the_recipes_dropout(layer: Layer) -> None:
    made = Network([Conv(4, activation=None), layer, MaxPool(2), Conv(10, activation=None), GlobalAvgPool()])
    assert from_data(to_data(made)) == made
    assert [number for number in range(5) if made.drops_after(number)] == [2]
    assert [row.rf_out for row in anatomy(made)][:3] == [3, 3, 4]
    assert any(isinstance(module, plain.Dropout) for module in native.build(made, 0.1, torch.Generator()))


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (LeakyReLU, {"slope": 1}, "LeakyReLU(slope=1): slope is 1, expected a number from 0 to below 1"),
        (LeakyReLU, {"slope": -0.1}, "slope is -0.1, expected a number from 0 to below 1"),
        (PReLU, {"per_channel": 1}, "PReLU(per_channel=1): per_channel is 1, expected one of True, False"),
        (ELU, {"alpha": 0}, "ELU(alpha=0): alpha is 0, expected a number above 0 and below 100"),
        (ELU, {"alpha": nan}, "alpha is nan, expected a number from 0.0 to below 100"),
    ],
)
def test_what_cannot_be_is_refused(kind: type, values: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        kind(**values)
    assert message in str(refused.value)


def test_a_network_of_tanh_learns_alike_on_both_engines() -> None:
    made = Network([Conv(6, 5, norm=None, activation=None, bias=True), Tanh(), MaxPool(2), Flatten(), Linear(2)], (1, 12, 12), 2)
    labels = torch.arange(32) % 2
    x = torch.randn(32, 1, 12, 12, generator=torch.Generator().manual_seed(0)) + labels[:, None, None, None]
    seen = []
    for engine in (native, plain):
        module = engine.build(made, 0.0, torch.Generator())
        plain.initialise(module, 0)
        optimizer = torch.optim.SGD(module.parameters(), 0.1)
        losses = []
        for _ in range(10):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(module(x), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        seen.append(losses)
    assert seen[0][-1] < 0.5 * seen[0][0]
    assert seen[0] == pytest.approx(seen[1], rel=1e-4)
