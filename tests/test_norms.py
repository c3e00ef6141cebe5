"""Norms as layers: what they mean, and that both engines do them."""

import pytest
import torch
from native_twin import assert_agrees, assert_bits_alike, example, outcome, prepare, twin
from torch import nn

from stepladder import (
    BatchNorm,
    Conv,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    LayerNorm,
    Linear,
    MaxPool,
    Network,
    ReLU,
    Residual,
    SpecError,
)
from stepladder.anatomy import anatomy
from stepladder.engine import native, plain
from stepladder.engine.kernels import lower
from stepladder.spec import Layer, from_data, to_data

NORMS: list[Layer] = [GroupNorm(1), GroupNorm(2), GroupNorm(6, epsilon=0.1), LayerNorm(), LayerNorm(epsilon=0.1)]
BATCH: list[Layer] = [BatchNorm(), BatchNorm(epsilon=0.1), BatchNorm(momentum=0.4), BatchNorm(momentum=0)]


def network(layer: Layer, flat: Layer | None = None) -> Network:
    """The norm first, after a convolution, before a ReLU and another norm, in a join, on flat features and last."""
    inside = [Conv(6, padding=1, norm=None, activation=None), layer, ReLU(), Conv(6, padding=1), layer, BatchNorm(), Residual(3)]
    flat = flat or layer
    return Network([layer, *inside, MaxPool(2), layer, Flatten(), flat, Linear(12), flat], input=(6, 9, 8), classes=12)


def networks() -> list[Network]:
    return [network(layer, GroupNorm(3) if layer == NORMS[2] else layer) for layer in (*NORMS, *BATCH)]


@pytest.mark.parametrize("made", networks(), ids=lambda made: str(made.layers[0]))
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("images", [9, 37])
def test_values_gradients_and_statistics_are_those_of_the_twin(made: Network, training: bool, images: int) -> None:
    x, cotangent, seed = example(made, images, training=training)
    module = native.build(made, 0.0, torch.Generator())
    prepare(module, seed)
    expected = outcome(twin(made, seed, torch.float64), x.double(), cotangent, training)
    rough = outcome(twin(made, seed, torch.float32), x, cotangent, training)
    assert_agrees(outcome(module, x, cotangent, training), expected, rough)
    if not training:
        with torch.no_grad():
            torch.testing.assert_close(module(x), expected.logits.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", [GroupNorm(2), LayerNorm()], ids=str)
def test_a_large_mean_beside_a_small_deviation_keeps_its_digits(layer: Layer) -> None:
    """The variance is of what is left of the mean: squares of the numbers themselves would have none."""
    made = Network([layer, Flatten()], (4, 20, 20), classes=1600)
    x = 1000 + torch.randn(3, 4, 20, 20, generator=torch.Generator().manual_seed(0))
    module = native.build(made, 0.0, torch.Generator())
    expected = twin(made, 0, torch.float64)
    expected.load_state_dict(module.state_dict())
    assert (module(x) - expected(x.double())).abs().max() < 1e-3


@pytest.mark.parametrize("layer", NORMS[:4], ids=str)
def test_an_image_is_normed_alike_in_any_batch_and_in_evaluation(layer: Layer) -> None:
    module = native.build(Network([Conv(6), layer, GlobalAvgPool()], (1, 6, 7), classes=6), 0.0, torch.Generator()).eval()
    x = torch.randn(37, 1, 6, 7, generator=torch.Generator().manual_seed(0))
    logits = module(x)
    assert torch.equal(module(x[:9]), logits[:9])
    with torch.no_grad():
        assert torch.equal(module(x), logits)


@pytest.mark.parametrize("layer", [GroupNorm(2), LayerNorm()], ids=str)
def test_any_number_of_threads_gives_the_same_bits(layer: Layer) -> None:
    assert_bits_alike(network(layer))


def test_parameters_of_each_are_those_of_torch() -> None:
    layers: list[Layer] = [
        Conv(6, norm=None),
        GroupNorm(2),
        LayerNorm(),
        BatchNorm(),
        Flatten(),
        LayerNorm(),
        GroupNorm(4),
        Linear(10),
    ]
    made, flat = Network(layers), 6 * 26 * 26
    parameters = [54, 12, 2 * flat, 12, 0, 2 * flat, 2 * flat, 10 * flat + 10]
    assert [row.parameters for row in anatomy(made)] == parameters
    assert {row.rf_out for row in anatomy(made)[:7]} == {3}
    module = plain.build(made, 0.0, torch.Generator())
    assert sum(parameter.numel() for parameter in module.parameters()) == sum(parameters) == made.parameters
    assert from_data(to_data(made)) == made


def test_a_batch_norms_numbers_are_torchs_unless_said_and_then_leave_its_data() -> None:
    assert to_data(BatchNorm()) == {"type": "BatchNorm"}
    assert from_data({"type": "BatchNorm"}) == BatchNorm()
    assert to_data(BatchNorm(1e-3, 0)) == {"type": "BatchNorm", "epsilon": 1e-3, "momentum": 0}
    assert from_data(to_data(BatchNorm(1e-3, 0))) == BatchNorm(1e-3, 0)
    norm = plain.build(Network([BatchNorm(1e-3, 0.2), GlobalAvgPool()], (2, 3, 3), classes=2), 0.0, torch.Generator())[0]
    assert isinstance(norm, nn.BatchNorm2d)
    assert (norm.eps, norm.momentum) == (1e-3, 0.2)


@pytest.mark.parametrize("layer", [BatchNorm(), GroupNorm(2), LayerNorm()], ids=str)
def test_the_recipes_dropout_follows_a_norm_behind_an_activation(layer: Layer) -> None:
    made = Network([Conv(4, norm=None), layer, MaxPool(2), layer, Conv(10, activation=None), GlobalAvgPool()])
    assert [number for number in range(6) if made.drops_after(number)] == [3]


def test_only_a_batch_norm_needs_more_than_one_image() -> None:
    made: list[Layer] = [Conv(10, kernel=28, norm=None), GroupNorm(5), LayerNorm(), Flatten()]
    assert Network(made).point_norm is None
    assert Network([*made, BatchNorm()]).point_norm == BatchNorm()


def test_relu_and_dropout_are_done_to_the_output_of_a_norm_and_a_batch_norm_apart() -> None:
    made = Network([Conv(4, norm=None), GroupNorm(2), ReLU(), Dropout(0.1), LayerNorm(), BatchNorm(), GlobalAvgPool(), Linear(10)])
    kernels = lower(made)
    assert [kernel.operation for kernel in kernels[:4]] == ["convolution", "group_norm", "group_norm", "average_pool"]
    assert (kernels[1].relu, kernels[1].dropout, kernels[3].norm) == (True, 0.1, True)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [Conv(4), GroupNorm(3)],
            "layer 2, GroupNorm(groups=3, epsilon=1e-05): 3 groups do not divide the 4 channels of its input, 4 x",
        ),
        (
            [Conv(4), GlobalAvgPool(), GroupNorm(4)],
            "each group is one number of its input, 4, expected several: one has no deviation",
        ),
        ([Conv(1), GlobalAvgPool(), LayerNorm()], "LayerNorm(epsilon=1e-05): its input is one number, expected several"),
    ],
)
def test_a_group_of_one_or_of_a_part_is_refused(layers: list[Layer], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        Network([*layers, Linear(10)])
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (BatchNorm, {"epsilon": 0}, "epsilon is 0, expected a number above 0 and below 1"),
        (BatchNorm, {"momentum": 1}, "BatchNorm(epsilon=1e-05, momentum=1): momentum is 1, expected a number from 0 to below 1"),
        (GroupNorm, {"groups": 0}, "GroupNorm(groups=0, epsilon=1e-05): groups is 0, expected a whole number of at least 1"),
        (LayerNorm, {"epsilon": None}, "LayerNorm(epsilon=None): epsilon is None, expected a number"),
    ],
)
def test_what_cannot_be_is_refused(kind: type, values: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        kind(**values)
    assert message in str(refused.value)
