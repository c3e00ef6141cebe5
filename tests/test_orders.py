"""Norm, ReLU and dropout on their own, in whatever order: what the layers mean, and that both engines do it."""

import numpy as np
import pytest
import torch
from native_twin import Masked, assert_agrees, outcome, prepare, twin
from test_native_dropout import in_steps, kept
from torch import nn

from stepladder import BatchNorm, Conv, Dropout, Flatten, GlobalAvgPool, Linear, MaxPool, Network, ReLU, Residual, SpecError
from stepladder.anatomy import anatomy
from stepladder.engine import native, plain
from stepladder.engine.kernels import lower
from stepladder.spec import Layer, from_data, to_data
from stepladder.streams import stream

HEAD: list[Layer] = [Conv(10, 1, norm=None, activation=None), GlobalAvgPool()]


def bare(channels: int, kernel: int = 3, padding: int = 0) -> Conv:
    """A convolution and nothing else."""
    return Conv(channels, kernel, padding=padding, norm=None, activation=None)


def names(network: Network, dropout: float = 0.0) -> list[str]:
    return [name.rstrip("0123456789") for name, _ in plain.build(network, dropout, torch.Generator()).named_children()]


def test_the_commonest_order_is_convolution_relu_norm_dropout() -> None:
    network = Network([Conv(8, norm=None, bias=True), BatchNorm(), MaxPool(2), Conv(8, norm=None), BatchNorm(), *HEAD])
    block = ["conv", "relu", "norm"]
    assert names(network, 0.1) == [*block, "pool", "dropout", *block, "dropout", "conv", "average", "flatten"]


@pytest.mark.parametrize(
    ("layers", "after"),
    [
        ([Conv(4)], [0]),
        ([Conv(4), MaxPool(2)], [1]),
        ([Conv(4), MaxPool(2), MaxPool(2)], [1]),
        ([Conv(4, activation=None), MaxPool(2)], []),
        ([Conv(4, activation=None), MaxPool(2), ReLU()], [2]),
        ([bare(4), ReLU(), BatchNorm(), MaxPool(2)], [3]),
        ([Conv(4, norm=None), BatchNorm(), bare(4), BatchNorm()], [1]),
        ([Conv(1, padding=1), Residual(1, activation=None), ReLU()], [0]),
        ([BatchNorm(), ReLU(), Conv(4)], [2]),
    ],
)
def test_the_recipes_dropout_follows_the_last_layer_of_each_activated_block(layers: list[Layer], after: list[int]) -> None:
    network = Network([*layers, *HEAD])
    assert [number for number in range(len(layers)) if network.drops_after(number)] == after


def test_the_same_block_said_in_one_layer_or_in_three_is_the_same_computation() -> None:
    one = Network([Conv(6), *HEAD])
    three = Network([bare(6), BatchNorm(), ReLU(), *HEAD])
    assert lower(one, 0.1) == lower(three, 0.1)
    assert one.parameters == three.parameters
    assert list(plain.build(one, 0.1, torch.Generator()).state_dict()) == list(
        plain.build(three, 0.1, torch.Generator()).state_dict()
    )


def test_what_a_kernel_cannot_do_to_its_output_has_one_of_its_own() -> None:
    network = Network([Conv(6, norm=None), BatchNorm(), *HEAD])
    assert [(kernel.operation, kernel.norm, kernel.relu) for kernel in lower(network)] == [
        ("convolution", False, True), ("average_pool", True, False), ("convolution", False, False), ("average_pool", False, False),
    ]  # fmt: skip


def test_what_enters_a_join_is_not_merged_away() -> None:
    network = Network([Conv(6, padding=1, activation=None), ReLU(), bare(6, padding=1), Residual(2), *HEAD], input=(6, 8, 8))
    kernels = lower(network)
    assert [kernel.operation for kernel in kernels][:4] == ["convolution", "average_pool", "convolution", "add"]
    assert (kernels[0].relu, kernels[1].relu, kernels[3].source) == (False, True, 1)


@pytest.mark.parametrize("channels", [4, 5])
def test_a_channel_that_is_dead_before_a_norm_and_dropout_still_gets_the_gradient_of_its_shift(channels: int) -> None:
    """Its normed activations are exactly 0, and so is what is dropped."""
    network = Network([Conv(channels, norm=None, bias=True), BatchNorm(), Flatten(), Linear(3)], input=(1, 6, 5), classes=3)
    images, share = 20, 0.25
    key = int(torch.randint(2**62, (), generator=torch.Generator().manual_seed(7)))
    stage = next(place for place, kernel in enumerate(lower(network, share), start=1) if kernel.dropout)
    mask = Masked(kept(key, stage, (images, channels * 4 * 3), in_steps(share)), in_steps(share))
    x, cotangent = torch.randn(images, 1, 6, 5, generator=stream(0)), torch.randn(images, 3, generator=stream(1))

    def dead(module: nn.Module) -> nn.Module:
        module.get_parameter("conv1.bias").data[1] = -1e4
        module.get_parameter("norm1.bias").data[1] = 0
        return module

    module = native.build(network, share, torch.Generator().manual_seed(7))
    prepare(module, 0)
    dead(module)
    exact, rough = dead(twin(network, 0, torch.float64, [mask])), dead(twin(network, 0, torch.float32, [mask]))
    expected = outcome(exact, x.double(), cotangent)
    assert_agrees(found := outcome(module, x, cotangent), expected, outcome(rough, x, cotangent))
    assert found.gradients["norm1.bias"][1] != 0
    assert found.gradients["norm1.bias"][1].item() == pytest.approx(expected.gradients["norm1.bias"][1].item(), rel=1e-4)


@pytest.mark.parametrize("engine", [native, plain])
def test_a_dropout_layer_drops_its_share_in_training_alone(engine: object) -> None:
    network = Network([Conv(10, 1, norm=None), Dropout(0.3), Flatten()], input=(1, 4, 5), classes=200)
    module = engine.build(network, 0.0, torch.Generator().manual_seed(0))  # type: ignore[attr-defined]
    module.get_parameter("conv1.weight").data.fill_(1)
    x = torch.ones(500, 1, 4, 5)
    dropped = module.train()(x)
    assert (dropped == 0).double().mean().item() == pytest.approx(0.3, abs=0.01)
    assert dropped.max().item() == pytest.approx(1 / 0.7, rel=1e-4)
    with torch.no_grad():
        assert torch.equal(module.eval()(x), torch.ones(500, 200))


def test_two_dropouts_in_a_row_both_drop() -> None:
    network = Network([Conv(10, 1, norm=None), Dropout(0.5), Flatten()], input=(1, 4, 5), classes=200)
    module = native.build(network, 0.5, torch.Generator().manual_seed(0))
    module.get_parameter("conv1.weight").data.fill_(1)
    dropped = module.train()(torch.ones(500, 1, 4, 5))
    assert (dropped == 0).double().mean().item() == pytest.approx(0.75, abs=0.01)


def test_parameters_are_found_where_the_recipe_and_a_layer_drop_at_one_place() -> None:
    network = Network([Conv(6), Dropout(0.5), Conv(5), *HEAD])
    module, expected = native.build(network, 0.5, stream(0)), plain.build(network, 0.5, stream(0))
    expected.load_state_dict(module.state_dict())
    x = torch.randn(9, 1, 28, 28, generator=stream(1))
    torch.testing.assert_close(module.eval()(x), expected.eval()(x))


def test_layers_alone_have_rows_of_their_own_and_leave_the_field_as_it_is() -> None:
    network = Network([BatchNorm(), Conv(6, norm=None), BatchNorm(), Dropout(0.1), ReLU(), Flatten(), BatchNorm(), Linear(10)])
    rows = anatomy(network)
    assert [(row.operation, row.parameters, row.rf_out) for row in rows] == [
        ("batch norm", 2, 1), ("conv", 54, 3), ("batch norm", 12, 3), ("dropout", 0, 3), ("relu", 0, 3),
        ("flatten", 0, 3), ("batch norm", 2 * 6 * 26 * 26, 3), ("linear", 10 * 6 * 26 * 26 + 10, 28),
    ]  # fmt: skip
    assert network.parameters == sum(row.parameters for row in rows)
    assert from_data(to_data(network)) == network


def test_a_norm_of_single_values_is_known() -> None:
    network = Network([Conv(10, norm=None), GlobalAvgPool(), BatchNorm()])
    assert network.point_norm == BatchNorm()


@pytest.mark.parametrize("share", [1, -0.1, True, "0.1", float("nan")])
def test_a_share_that_cannot_be_dropped_is_refused(share: object) -> None:
    with pytest.raises(SpecError, match="share is"):
        Dropout(share)  # type: ignore[arg-type]


def test_training_learns_with_the_commonest_order() -> None:
    """Ten steps on noise of two classes, alike on both engines."""
    layers: list[Layer] = [
        Conv(8, norm=None),
        BatchNorm(),
        MaxPool(2),
        Conv(8, norm=None),
        BatchNorm(),
        bare(2, 1),
        GlobalAvgPool(),
    ]
    network = Network(layers, input=(1, 12, 12), classes=2)
    labels = torch.arange(32) % 2
    x = torch.randn(32, 1, 12, 12, generator=stream(0)) + labels[:, None, None, None]
    losses = []
    for engine in (native, plain):
        module = engine.build(network, 0.0, torch.Generator())
        plain.initialise(module, 0)
        optimizer = torch.optim.SGD(module.parameters(), 0.05)
        seen = []
        for _ in range(10):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(module(x), labels)
            loss.backward()
            optimizer.step()
            seen.append(loss.item())
        losses.append(seen)
    assert losses[0][-1] < 0.7 * losses[0][0]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
