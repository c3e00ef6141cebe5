import subprocess
import sys
from dataclasses import MISSING, fields
from typing import Any, get_args

import pytest
import torch
from conftest import networks
from hypothesis import given
from torch import Tensor, nn
from training import network_of

from stepladder import BlurPool, Conv, Excite, Flatten, GlobalAvgPool, Linear, MaxPool, Network, Residual, engine, ladders
from stepladder.engine import kernels, native, plain
from stepladder.spec import Layer, UserError
from stepladder.streams import stream

SKELETON = network_of(ladders.load("mnist").step("0"))
A = network_of(ladders.load("mnist").step("A1"))


def build(network: Network, dropout: float = 0.0) -> plain.Chain:
    return plain.build(network, dropout, torch.Generator())


def initialised(network: Network, seed: int) -> dict[str, Tensor]:
    module = build(network)
    plain.initialise(module, seed)
    return dict(module.named_parameters())


def names(network: Network, dropout: float = 0.0) -> list[str]:
    return [name for name, _ in build(network, dropout).named_children()]


# The plain module of a network


@given(networks())
def test_the_module_has_the_networks_shapes_and_parameters(network: Network) -> None:
    module = build(network).eval()
    assert sum(parameter.numel() for parameter in module.parameters()) == network.parameters
    assert module(torch.zeros(2, *network.input)).shape == (2, network.classes)


@given(networks())
def test_the_module_passes_through_every_shape_that_the_network_tells(network: Network) -> None:
    x = torch.zeros(2, *network.input)
    seen = {x.shape, *(after.shape for after in build(network).eval().through(x))}
    assert {(2, *shape) for shape in network.shapes()} <= seen


def test_layers_are_named_by_kind_and_number() -> None:
    assert names(Network([Conv(4), Conv(4, norm=None), MaxPool(2), Flatten(), Linear(8, activation="relu"), Linear(10)])) == [
        *("conv1", "norm1", "relu1", "conv2", "relu2", "pool1", "flatten1", "linear1", "relu3", "linear2"),
    ]  # fmt: skip


def test_a_convolution_is_followed_by_its_norm_and_relu() -> None:
    network = Network([Conv(10, kernel=2, stride=3, padding=1), GlobalAvgPool()], input=(2, 6, 5))
    module = build(network).eval()
    plain.initialise(module, seed=0)
    x = torch.randn(3, 2, 6, 5, generator=stream(0))
    norm = module.get_submodule("norm1")
    assert isinstance(norm, nn.BatchNorm2d)
    norm.running_mean, norm.running_var = torch.full((10,), 0.1), torch.full((10,), 4.0)
    convolved = nn.functional.conv2d(x, module.get_parameter("conv1.weight"), stride=3, padding=1)
    expected = ((convolved - 0.1) / (4 + norm.eps) ** 0.5).relu().mean((2, 3))
    torch.testing.assert_close(module(x), expected)


def test_max_pooling_and_linear_layers_are_torchs() -> None:
    network = Network([MaxPool(3, stride=2, padding=1), Flatten(), Linear(3, activation="relu")], input=(2, 5, 4), classes=3)
    module = build(network).eval()
    x = torch.randn(3, 2, 5, 4, generator=stream(0))
    pooled = nn.functional.max_pool2d(x, 3, stride=2, padding=1).flatten(1)
    weight, bias = module.get_parameter("linear1.weight"), module.get_parameter("linear1.bias")
    torch.testing.assert_close(module(x), (pooled @ weight.T + bias).relu())


def outcomes(network: Network, x: Tensor) -> dict[str, Tensor]:
    """What each module makes of a batch, by its name."""
    module = build(network).eval()
    plain.initialise(module, seed=0)
    return dict(zip(dict(module.named_children()), module.through(x), strict=True))


def test_a_residual_sum_adds_what_entered_the_layers_before_it() -> None:
    layers: list[Layer] = [Conv(4), Conv(4, padding=1), Conv(4, 1, activation=None), Residual(2), Conv(3), GlobalAvgPool()]
    found = outcomes(Network(layers, (1, 6, 7), classes=3), torch.randn(3, 1, 6, 7, generator=stream(0)))
    torch.testing.assert_close(found["relu3"], (found["norm3"] + found["relu1"]).relu())
    assert list(found)[6:10] == ["conv3", "norm3", "sum1", "relu3"]


def test_excitation_scales_each_channel_by_the_sigmoid_of_one_number() -> None:
    layers: list[Layer] = [Conv(4), GlobalAvgPool(), Linear(2, activation="relu"), Linear(4), Excite(3), Conv(3), GlobalAvgPool()]
    found = outcomes(Network(layers, (1, 6, 7), classes=3), torch.randn(3, 1, 6, 7, generator=stream(0)))
    shares = 1 / (1 + torch.exp(-found["linear2"]))
    for channel in range(4):
        torch.testing.assert_close(found["scale1"][:, channel], found["relu1"][:, channel] * shares[:, channel, None, None])


def test_blurring_is_a_binomial_filter_of_each_channel() -> None:
    image = torch.zeros(1, 2, 5, 5)
    image[0, 1, 2, 2] = 16
    found = outcomes(Network([BlurPool(stride=1), GlobalAvgPool()], (2, 5, 5), classes=2), image)["blur1"]
    assert found[0, 1].tolist() == [[0, 0, 0, 0, 0], [0, 1, 2, 1, 0], [0, 2, 4, 2, 0], [0, 1, 2, 1, 0], [0, 0, 0, 0, 0]]
    assert not found[0, 0].any()
    every_second = outcomes(Network([BlurPool(), GlobalAvgPool()], (2, 5, 5), classes=2), image)["blur1"]
    assert torch.equal(every_second, found[:, :, ::2, ::2])


def test_a_fixed_filter_is_no_part_of_the_weights() -> None:
    assert not build(Network([BlurPool(), GlobalAvgPool()], (2, 5, 5), classes=2)).state_dict()


# Initial weights


def test_steps_share_the_weights_of_layers_that_agree() -> None:
    skeleton, a = initialised(SKELETON, seed=7), initialised(A, seed=7)
    same = {name for name in skeleton.keys() & a.keys() if skeleton[name].shape == a[name].shape}
    assert {f"conv{number}.weight" for number in range(1, 6)} <= same
    assert "conv6.weight" not in same
    for name in same:
        assert torch.equal(skeleton[name], a[name])


def test_dropout_leaves_the_initial_weights_as_they_are() -> None:
    module = build(A, dropout=0.1)
    plain.initialise(module, seed=7)
    without = initialised(A, seed=7)
    assert module.state_dict().keys() == build(A).state_dict().keys()
    assert all(torch.equal(parameter, without[name]) for name, parameter in module.named_parameters())


def test_seeds_and_layers_have_weights_of_their_own() -> None:
    network = Network([Conv(5, kernel=1), Conv(5, kernel=1), Conv(5, kernel=1), GlobalAvgPool()], (5, 3, 3), classes=5)
    drawn = [initialised(network, seed)[f"conv{number}.weight"] for seed in (0, 1) for number in (1, 2, 3)]
    assert not any(torch.isin(drawn[i], drawn[j]).any() for i in range(6) for j in range(i))


def test_initial_weights_do_not_depend_on_the_global_stream() -> None:
    torch.manual_seed(1)
    first = initialised(A, seed=0)
    torch.manual_seed(2)
    second = initialised(A, seed=0)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_initial_weights_fill_their_bounds() -> None:
    network = Network([Conv(64, bias=True), Conv(64, groups=64), Flatten(), Linear(10)], input=(3, 9, 9))
    fan_in = {"conv1": 3 * 9, "conv2": 9, "linear1": 64 * 5 * 5}
    for name, parameter in initialised(network, seed=0).items():
        layer, _, kind = name.partition(".")
        if layer.startswith("norm"):
            assert parameter.tolist() == [1.0 if kind == "weight" else 0.0] * 64
            continue
        bound = fan_in[layer] ** -0.5
        assert parameter.abs().max() <= bound
        assert parameter.abs().max() > 0.8 * bound
        if parameter.numel() > 500:
            assert parameter.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)  # of a uniform distribution
            assert parameter.mean().abs() < 0.1 * bound


# Dropout


def dropped(share: float, seed: int = 0, n: int = 100_000) -> Tensor:
    return plain.Dropout(share, torch.Generator().manual_seed(seed)).forward(torch.ones(n))


@pytest.mark.parametrize("share", [0.043, 0.5, 0.9])
def test_dropout_drops_its_share_and_scales_the_rest(share: float) -> None:
    found = dropped(share)
    assert (found == 0).double().mean().item() == pytest.approx(share, abs=0.006)  # about 4 standard errors at 0.5
    assert found.unique().tolist() == pytest.approx([0, 1 / (1 - share)])
    assert found.mean().item() == pytest.approx(1, abs=0.04)


def test_dropout_scales_gradients_as_it_scales_activations() -> None:
    layer, x = plain.Dropout(0.5, torch.Generator().manual_seed(0)), torch.ones(100, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())


def test_dropout_is_the_identity_when_not_training_and_draws_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    layer, x = plain.Dropout(0.5, generator).eval(), torch.ones(10)
    assert torch.equal(layer(x), x)
    assert torch.equal(generator.get_state(), before)


def test_dropout_draws_from_its_generator_alone() -> None:
    torch.manual_seed(1)
    first = dropped(0.3, seed=5)
    torch.manual_seed(2)
    assert torch.equal(dropped(0.3, seed=5), first)
    assert not torch.equal(dropped(0.3, seed=6), first)


def test_dropout_drops_anew_in_every_batch() -> None:
    layer = plain.Dropout(0.5, torch.Generator().manual_seed(0))
    assert not torch.equal(layer(torch.ones(100)), layer(torch.ones(100)))


def test_dropout_follows_each_activated_convolution_after_its_pooling_and_never_the_answer() -> None:
    assert names(A, dropout=0.043) == [
        *("conv1", "norm1", "relu1", "dropout1"),
        *("conv2", "norm2", "relu2", "pool1", "dropout2"),
        *("conv3", "norm3", "relu3", "dropout3"),
        *("conv4", "norm4", "relu4", "dropout4"),
        *("conv5", "norm5", "relu5", "dropout5"),
        *("conv6", "norm6", "average1", "flatten1"),
    ]


def test_dropout_follows_no_pooling_of_anything_else() -> None:
    network = Network([MaxPool(2), Conv(4, activation=None), MaxPool(2), Conv(4), GlobalAvgPool(), Linear(10)])
    assert names(network, dropout=0.1) == [
        *("pool1", "conv1", "norm1", "pool2"),
        *("conv2", "norm2", "relu1", "dropout1", "average1", "flatten1", "linear1"),
    ]


def test_there_is_no_dropout_layer_without_dropout() -> None:
    assert not any(isinstance(module, plain.Dropout) for module in build(A).modules())


# What an engine can do


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("jax", "cpu"), "unknown engine 'jax': expected native or torch"),
        ((None, "cpu"), "unknown engine None: expected native or torch"),
        (("torch", "tpu"), "unknown device 'tpu': expected cpu or cuda"),
        (("torch", ["cpu"]), "unknown device ['cpu']: expected cpu or cuda"),
        (("native", "cuda"), 'the native engine runs on cpu, not on cuda: choose engine="torch"'),
        (("native", "cpu", 0), "threads is 0, expected a whole number from 1 to 1,024"),
        (("native", "cpu", 100_000), "threads is 100000, expected a whole number from 1 to 1,024"),
        (("torch", "cpu", True), "threads is True, expected a whole number from 1 to 1,024"),
        (("torch", "cpu", "two"), "threads is 'two', expected a whole number from 1 to 1,024"),
    ],
)
def test_an_engine_that_cannot_run_here_is_refused(asked: tuple[Any, ...], message: str) -> None:
    with pytest.raises(UserError) as refused:
        engine.check(*asked)
    assert str(refused.value) == message


def test_engines_run_on_the_cpu_with_up_to_1024_threads() -> None:
    for name in engine.NUMERICS:
        engine.check(name, "cpu")
        engine.check(name, "cpu", 1_024)


def test_a_gpu_that_is_not_there_is_refused_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match=r'^torch .* finds no GPU here: choose device="cpu"$'):
        engine.check("torch", "cuda")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    engine.check("torch", "cuda")


TORCH_FREE = """
import sys
from stepladder import Conv, GlobalAvgPool, Network, engine
engine.check("native", "cpu", 4)
conv = Conv(10)
object.__setattr__(conv, "norm", "layer")
print(engine.refusal(Network([conv, GlobalAvgPool()]), "native"), "torch" in sys.modules)
"""


def test_what_an_engine_can_do_is_told_without_torch() -> None:
    found = subprocess.run([sys.executable, "-c", TORCH_FREE], capture_output=True, text=True)
    assert found.stderr == ""
    assert found.stdout.startswith("layer 1, Conv(channels=10, kernel=3, ")
    knows = "batch norm and no norm, ReLU and no activation"
    assert found.stdout.endswith(f': the native engine knows {knows}; engine="torch" can train it False\n')


@given(networks())
def test_every_network_of_the_language_can_be_built_on_every_engine(network: Network) -> None:
    for name, build in (("torch", plain.build), ("native", native.build)):
        assert engine.refusal(network, name) is None
        build(network, 0.1, torch.Generator())


def test_every_layer_that_can_be_has_a_torch_module() -> None:
    options = {"norm": ("batch", None), "activation": ("relu", None), "bias": (True, False)}
    for kind in get_args(Layer):
        required = {field.name: 4 for field in fields(kind) if field.default is MISSING}
        for name in {field.name for field in fields(kind)} & options.keys():
            for choice in options[name]:
                layer = kind(**required, **{name: choice})
                assert plain._modules(layer, (4,) if kind is Linear else (4, 9, 9))


class Other(Conv):
    """A convolution with a norm that no engine has met."""

    def __init__(self) -> None:
        super().__init__(10)
        object.__setattr__(self, "norm", "layer")


def test_a_kind_or_norm_that_an_engine_has_not_met_is_never_taken_for_another() -> None:
    for layer, reason in ((object(), "other kinds of layers"), (Other(), "batch norm and no norm, ReLU and no activation")):
        assert kernels._limits(layer) == reason  # type: ignore[arg-type]
        with pytest.raises(UserError, match="no torch module is known for it"):
            plain._modules(layer, (1, 28, 28))  # type: ignore[arg-type]


# What an engine is called in a fingerprint


def test_an_engine_is_identified_by_name_numerics_and_device() -> None:
    assert engine.identity("torch", "cpu") == f"torch-{engine.NUMERICS['torch']}"
    assert engine.identity("torch", "cuda") == f"torch-{engine.ON_GPU}-cuda"
