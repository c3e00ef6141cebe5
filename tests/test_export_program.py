"""A network as a program for inference."""

import numpy as np
import pytest
import torch
from conftest import networks
from hypothesis import given, settings

from stepladder import (
    ELU,
    GELU,
    AvgPool,
    BatchNorm,
    BlurPool,
    Branch,
    Conv,
    Dropout,
    Dropout2d,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    HardSwish,
    LayerNorm,
    LeakyReLU,
    Linear,
    MaxPool,
    Multiply,
    Network,
    PReLU,
    ReLU,
    ReLU6,
    Residual,
    Sigmoid,
    SiLU,
    Tanh,
)  # fmt: skip
from stepladder.engine import plain
from stepladder.inference.program import Program, program, run, tensors
from stepladder.spec import Layer

MEAN, STD = (0.1, 0.2, 0.3, 0.4), (0.5, 0.4, 0.3, 0.2)


def trained(network: Network) -> torch.nn.Module:
    """A plain module with random weights and running statistics."""
    generator = torch.Generator().manual_seed(0)
    module = plain.build(network, 0.0, torch.Generator())
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) - 0.4)
    for name, tensor in module.named_buffers():
        if name.endswith("running_var"):
            tensor.abs_().add_(0.5)
    return module.eval()


def exported(network: Network, module: torch.nn.Module) -> Program:
    state = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    channels = network.input[0]
    return program(network, state, [str(number) for number in range(network.classes)], MEAN[:channels], STD[:channels])


def check(network: Network, images: int = 3) -> Program:
    """That the program of a network computes what its plain module does; returns it."""
    module = trained(network)
    made = exported(network, module)
    levels = np.random.default_rng(0).integers(0, 256, (images, *network.input), np.uint8)
    mean, std = (torch.tensor(each[: network.input[0]])[:, None, None] for each in (MEAN, STD))
    with torch.no_grad():
        expected = module((torch.from_numpy(levels).float() / 255 - mean) / std).numpy()
    np.testing.assert_allclose(run(made, levels), expected, rtol=1e-4, atol=1e-4 * max(1, np.abs(expected).max()))
    assert all(own < number for number, operation in enumerate(made.operations) for own in operation.inputs)
    return made


def kinds(made: Program) -> list[tuple[str, str | None]]:
    return [(operation.kind, operation.function) for operation in made.operations]


@given(networks())
@settings(max_examples=60)
def test_a_program_computes_what_the_plain_module_does(network: Network) -> None:
    check(network)


@given(networks())
@settings(max_examples=60)
def test_tensors_are_named_as_in_the_plain_module_and_in_its_order(network: Network) -> None:
    assert tensors(network) == list(plain.build(network, 0.0, torch.Generator()).state_dict())


ACTIVATIONS = [ReLU(), LeakyReLU(0.2), PReLU(), PReLU(per_channel=True), ReLU6(), ELU(0.7), SiLU(), HardSwish(), GELU(), Tanh(),
               Sigmoid()]  # fmt: skip
OTHERS = [BatchNorm(0.01), GroupNorm(2), LayerNorm(0.1), BlurPool(5, 3), AvgPool(3, 2, 1), Dropout(0.5), Dropout2d(0.5)]


@pytest.mark.parametrize("layer", [*ACTIVATIONS, *OTHERS], ids=str)
def test_every_layer_is_covered_on_maps_after_a_convolution_after_a_function_and_between_flat_features(layer: Layer) -> None:
    bare = {"norm": None, "activation": None}
    first: list[Layer] = [Conv(4, **bare), layer, Tanh(), layer, Conv(6, padding=1, **bare), layer]  # type: ignore[arg-type]
    flat = [layer] if "Pool" not in str(layer) else []
    network = Network([*first, Flatten(), *flat, Linear(6), *flat, Tanh(), *flat, Linear(10)], input=(2, 17, 15))
    check(network)
    check(Network([layer, Flatten(), Linear(10)], input=(2, 7, 7)))
    assert tensors(network) == list(plain.build(network, 0.0, torch.Generator()).state_dict())


def test_a_norm_and_a_function_become_part_of_the_convolution_before_them() -> None:
    made = check(Network([Conv(8, norm=None), BatchNorm(), Conv(6), MaxPool(), Conv(10, 1, activation=None), GlobalAvgPool()]))
    assert kinds(made) == [("conv", "relu"), ("conv", "relu"), ("max_pool", None), ("conv", None), ("mean", None)]


def test_a_norm_after_a_function_goes_into_what_follows_unless_that_pads() -> None:
    norm: list[Layer] = [BatchNorm()]
    inside = check(Network([Conv(8, norm=None), *norm, Conv(6, norm=None, groups=2), *norm, Flatten(), Linear(10)]))
    assert kinds(inside) == [("conv", "relu"), ("conv", "relu"), ("linear", None)]
    padded = check(Network([Conv(8, norm=None), *norm, Conv(10, padding=1, norm=None, activation=None), GlobalAvgPool()]))
    assert kinds(padded) == [("conv", "relu"), ("affine", None), ("conv", None), ("mean", None)]


def test_what_two_take_is_not_folded_into_one_of_them() -> None:
    bare = Conv(8, padding=1, norm=None, activation=None)
    made = check(Network([bare, BatchNorm(), Residual(1, None), Conv(10, 1, activation=None), GlobalAvgPool()]))
    assert kinds(made)[:3] == [("conv", None), ("affine", None), ("add", None)]


def test_branches_and_what_they_leave_behind_are_gone() -> None:
    made = check(Network([Conv(8), Conv(4), Branch(1), Dropout(0.5), Conv(10, 1, activation=None), GlobalAvgPool()]))
    assert kinds(made) == [("conv", "relu"), ("conv", None), ("mean", None)]
    assert made.operations[1].inputs == (0,)


def test_a_join_names_its_source_first() -> None:
    made = check(Network([Conv(8), GlobalAvgPool(), Linear(8), Sigmoid(), Multiply(3), Conv(10, 1), GlobalAvgPool()]))
    assert [operation.inputs for operation in made.operations if operation.kind == "multiply"] == [(0, 2)]


def test_a_network_without_operations_gives_the_normalised_levels() -> None:
    assert kinds(check(Network([Flatten()], input=(1, 2, 5)))) == [("affine", None)]


def test_a_branch_back_to_the_image_gives_the_normalised_levels() -> None:
    assert kinds(check(Network([Conv(3, padding=1), Branch(1), Flatten()], input=(1, 2, 5)))) == [("affine", None)]
