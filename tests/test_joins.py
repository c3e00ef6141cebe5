"""Layers of two inputs: well-known blocks against modules written by hand, and what a list of layers can say with them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from native_twin import assert_agrees, outcome, prepare, threads, twin
from test_native_dropout import masks
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from stepladder import (
    AvgPool,
    BatchNorm,
    Branch,
    Concat,
    Conv,
    Excite,
    Flatten,
    GlobalAvgPool,
    Linear,
    MaxPool,
    Multiply,
    Network,
    ReLU,
    Residual,
)
from stepladder.anatomy import anatomy
from stepladder.engine import native, plain
from stepladder.spec import Layer, from_data, to_data
from stepladder.streams import stream

HEAD: list[Layer] = [Conv(5, 1, norm=None, activation=None), GlobalAvgPool()]
Forward = Callable[[Any, Tensor], Tensor]


def bare(channels: int, kernel: int = 3) -> Conv:
    return Conv(channels, kernel, padding=kernel // 2, norm=None, activation=None)


def network(*layers: Layer, image: tuple[int, int, int] = (3, 8, 6)) -> Network:
    return Network([*layers, *HEAD], image, classes=5)


# The blocks, and how they are written by hand with the same modules

PROJECTION = network(
    *(Conv(4, padding=1), Conv(8, stride=2, padding=1), Conv(8, padding=1, activation=None)),
    *(Branch(2), Conv(8, 1, stride=2, activation=None), Residual(2)),
)


def projected(m: Any, x: Tensor) -> Tensor:
    x = F.relu(m.norm1(m.conv1(x)))
    long = m.norm3(m.conv3(F.relu(m.norm2(m.conv2(x)))))
    return F.relu(long + m.norm4(m.conv4(x)))


INCEPTION = network(
    *(Conv(6, padding=1), Conv(4, 1), Branch(1), Conv(3, 1), Conv(5, padding=1), Concat(3)),
    *(Branch(5), Conv(2, 1), Conv(3, 5, padding=2), Concat(3)),
)


def incepted(m: Any, x: Tensor) -> Tensor:
    x = F.relu(m.norm1(m.conv1(x)))
    one = F.relu(m.norm2(m.conv2(x)))
    three = F.relu(m.norm4(m.conv4(F.relu(m.norm3(m.conv3(x))))))
    five = F.relu(m.norm6(m.conv6(F.relu(m.norm5(m.conv5(x))))))
    return torch.cat([one, three, five], 1)


DENSER: list[Layer] = [BatchNorm(), ReLU(), bare(3), Concat(3)]
DENSE = network(bare(6), *DENSER, *DENSER, *DENSER, BatchNorm(), ReLU())


def dense(m: Any, x: Tensor) -> Tensor:
    x = m.conv1(x)
    for norm, conv in ((m.norm1, m.conv2), (m.norm2, m.conv3), (m.norm3, m.conv4)):
        x = torch.cat([x, conv(F.relu(norm(x)))], 1)
    return F.relu(m.norm4(x))


# As in a U-net (Ronneberger et al. 2015), but of one resolution: the innermost skip is joined first.
NESTED = network(
    *(Conv(3, padding=1), Conv(4, padding=1), Conv(5, padding=1), Conv(4, padding=1), Concat(2)),
    *(Conv(3, padding=1), Concat(5), Conv(4, padding=1)),
)


def nested(m: Any, x: Tensor) -> Tensor:
    outer = F.relu(m.norm1(m.conv1(x)))
    inner = F.relu(m.norm2(m.conv2(outer)))
    deepest = F.relu(m.norm4(m.conv4(F.relu(m.norm3(m.conv3(inner))))))
    x = F.relu(m.norm5(m.conv5(torch.cat([inner, deepest], 1))))
    return F.relu(m.norm6(m.conv6(torch.cat([outer, x], 1))))


BLOCKS: dict[str, tuple[Network, Forward, str]] = {  # with the convolution that follows
    "projection": (PROJECTION, projected, "conv5"),
    "inception": (INCEPTION, incepted, "conv7"),
    "dense": (DENSE, dense, "conv5"),
    "nested": (NESTED, nested, "conv7"),
}


class Written(nn.Module):
    """The modules of a network, called by hand."""

    def __init__(self, network: Network, block: Forward, last: str) -> None:
        super().__init__()
        self.block, self.last = block, last
        for name, child in twin(network, 0, torch.float64).named_children():
            self.add_module(name, child)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.get_submodule(self.last)(self.block(self, x)).mean((2, 3))
        return found


def built(network: Network, count: int = 1) -> nn.Sequential:
    with threads(count):
        module = native.build(network, 0.0, torch.Generator())
    prepare(module, 0)
    return module


def given(network: Network, images: int = 21) -> tuple[Tensor, Tensor]:
    """A batch and the gradient that enters at the logits."""
    return (
        torch.randn(images, *network.input, generator=stream(1, "x")),
        torch.randn(images, network.classes, generator=stream(1, "cotangent")),
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_is_what_is_written_by_hand(name: str, training: bool) -> None:
    network, *_ = BLOCKS[name]
    x, cotangent = given(network)
    expected = outcome(Written(*BLOCKS[name]), x.double(), cotangent, training)
    rough = outcome(twin(network, 0, torch.float32), x, cotangent, training)
    assert_agrees(outcome(built(network), x, cotangent, training), expected, rough)
    exact = outcome(twin(network, 0, torch.float64), x.double(), cotangent, training)
    torch.testing.assert_close(exact.logits, expected.logits)
    torch.testing.assert_close(exact.gradients, expected.gradients)


@pytest.mark.parametrize("name", BLOCKS)
def test_an_evaluation_gives_the_logits_of_a_pass_with_running_statistics(name: str) -> None:
    network, *_ = BLOCKS[name]
    x, _ = given(network)
    module = built(network).eval()
    with torch.no_grad():
        torch.testing.assert_close(module(x).double(), Written(*BLOCKS[name]).eval()(x.double()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", BLOCKS)
def test_three_threads_give_the_bits_of_one(name: str) -> None:
    network, *_ = BLOCKS[name]
    one, three = (outcome(built(network, count), *given(network, 70)) for count in (1, 3))
    assert torch.equal(one.logits, three.logits)
    assert all(torch.equal(gradient, three.gradients[name]) for name, gradient in one.gradients.items())


# What else can be joined

ODD: dict[str, tuple[list[Layer], tuple[int, int, int]]] = {
    "flat features": (
        [Flatten(), Linear(6), Linear(6), Residual(1), Linear(4), Concat(2), BatchNorm(), Multiply(1), Linear(5)],
        (3, 4, 5),
    ),
    "the input": ([Conv(3, padding=1), Residual(1), Concat(2), bare(3), Multiply(4), Branch(5), Concat(1), *HEAD], (3, 7, 5)),
    "one source often": ([Conv(4), bare(4), Residual(1), bare(4), Residual(3), Concat(4), bare(4), Multiply(6), *HEAD], (2, 7, 9)),
    "join after join": ([Conv(4), bare(4), Residual(1), Residual(2, None), Multiply(1), Concat(1), Concat(2), *HEAD], (2, 7, 9)),
    "a sum at the end": ([GlobalAvgPool(), Linear(5), Linear(5), Residual(1)], (6, 3, 3)),
    "a bare sum at the end": ([GlobalAvgPool(), Linear(5), Linear(5), Residual(1, None)], (6, 3, 3)),
    "a concatenation at the end": ([GlobalAvgPool(), Linear(3), Linear(2), Concat(1)], (6, 3, 3)),
    "a product at the end": ([GlobalAvgPool(), Linear(5), Linear(5), Multiply(1)], (6, 3, 3)),
    "a branch at the end": ([GlobalAvgPool(), Linear(5), Linear(5), Branch(1)], (6, 3, 3)),
    "a branch before everything": ([Flatten(), Branch(1), *HEAD], (3, 4, 5)),
    "a branch to the input": ([Conv(4), Branch(1), Conv(3, 5, padding=1), Concat(2), *HEAD], (3, 8, 6)),
    "a branch, then a relu": ([Conv(4, activation=None), Conv(3), Branch(1), ReLU(), bare(4), Residual(1), *HEAD], (3, 8, 6)),
    "a branch to a branch": ([Conv(4), bare(3), Branch(1), bare(2), Branch(1), bare(5), Concat(2), Concat(4), *HEAD], (3, 6, 6)),
    "a dead end": ([Conv(4), Conv(6), MaxPool(2), Branch(2), Conv(3), *HEAD], (3, 10, 9)),
    "a dead end at the input": ([Conv(4), Branch(1), Conv(3), *HEAD], (3, 10, 9)),
    "before and after flattening": ([Conv(4, activation=None), Flatten(), ReLU(), Excite(2), *HEAD], (4, 3, 3)),
    "a source that is flattened": ([Conv(4), Flatten(), Linear(4), Multiply(2), Branch(3), Concat(1), *HEAD], (2, 6, 6)),
    "one number a channel": ([Conv(4), AvgPool(4), Conv(4, 1, activation=None), Excite(2), *HEAD], (2, 6, 6)),
    "a linear gate": ([Conv(4), AvgPool(4), bare(4, 1), Multiply(2), GlobalAvgPool(), Linear(4), Multiply(2), *HEAD], (2, 6, 6)),
    "a product of numbers with themselves": ([Flatten(), Multiply(1), *HEAD], (4, 1, 1)),
}  # fmt: skip


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ODD)
def test_what_is_joined_is_the_same_on_both_engines(name: str, training: bool) -> None:
    layers, image = ODD[name]
    network = Network(layers, image, classes=5)
    x, cotangent = given(network)
    expected = outcome(twin(network, 0, torch.float64), x.double(), cotangent, training)
    rough = outcome(twin(network, 0, torch.float32), x, cotangent, training)
    module = built(network)
    assert_agrees(outcome(module, x, cotangent, training), expected, rough)
    with torch.no_grad():
        logits, exact = module.eval()(x).double(), twin(network, 0, torch.float64).eval()
        # After a training pass the running statistics have moved, alike.
        exact.load_state_dict(module.state_dict())
        torch.testing.assert_close(logits, exact(x.double()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("join", [Residual(1), Concat(1), Multiply(1), Branch(1)])
def test_what_is_dropped_enters_a_join_as_it_goes_on(join: Layer) -> None:
    network = Network([Conv(4, padding=1), Conv(4, padding=1), join, *HEAD], (2, 7, 6), classes=5)
    drawn = masks(network, 21, 0.3, seed=5)
    assert len(drawn) == 2
    x, cotangent = given(network)
    module = native.build(network, 0.3, torch.Generator().manual_seed(5))
    prepare(module, 0)
    expected, rough = (outcome(twin(network, 0, dtype, drawn), x.to(dtype), cotangent) for dtype in (torch.float64, torch.float32))
    assert_agrees(outcome(module, x, cotangent), expected, rough)


@pytest.mark.parametrize("engine", [native, plain])
def test_a_dead_end_trains_and_its_weights_stay(engine: Any) -> None:
    layers, image = ODD["a dead end"]
    module = engine.build(Network(layers, image, classes=5), 0.0, torch.Generator())
    plain.initialise(module, 0)
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)
    module(given(Network(layers, image, classes=5))[0]).square().sum().backward()
    optimizer.step()
    stayed = {name for name, parameter in module.named_parameters() if torch.equal(parameter, before[name])}
    assert stayed == {"conv2.weight", "norm2.weight", "norm2.bias"}


# As values


def test_shapes_parameters_and_multiplications_of_joins() -> None:
    found = Network([Conv(4), Conv(6, 1), Concat(1), Branch(1), bare(6, 1), Multiply(1), *HEAD], (1, 6, 7), classes=5)
    assert found.shapes()[1:7] == [(4, 4, 5), (6, 4, 5), (10, 4, 5), (6, 4, 5), (6, 4, 5), (6, 4, 5)]
    rows = anatomy(found)
    assert [(row.operation, row.input, row.output, row.parameters, row.macs) for row in rows[2:4]] == [
        ("cat", (6, 4, 5), (10, 4, 5), 0, 0),
        ("branch", (6, 4, 5), (6, 4, 5), 0, 0),
    ]
    assert (rows[5].operation, rows[5].parameters, rows[5].macs) == ("mul", 0, 0)


def test_a_branch_sees_what_its_source_sees_and_a_concatenation_what_both_do() -> None:
    rows = anatomy(INCEPTION)
    fields = [(row.operation, row.rf_in, row.rf_out) for row in rows[2:10]]
    assert fields == [
        *(("branch", 3, 3), ("conv", 3, 3), ("conv", 3, 5), ("cat", 5, 5)),
        *(("branch", 3, 3), ("conv", 3, 3), ("conv", 3, 7), ("cat", 5, 7)),
    ]


def test_a_branch_has_the_jump_of_its_source() -> None:
    assert [(row.operation, row.jump_in, row.jump_out) for row in anatomy(PROJECTION)[1:6]] == [
        *(("conv", 1, 2), ("conv", 2, 2), ("branch", 1, 1), ("conv", 1, 2), ("add", 2, 2)),
    ]  # fmt: skip


def test_a_join_whose_positions_do_not_match_shows_the_larger_jump_and_the_widest_field() -> None:
    layers: list[Layer] = [Conv(4, 4), Branch(1), Conv(4, stride=2, padding=1), Residual(2)]
    row = anatomy(Network([*layers, *HEAD], (1, 7, 7), classes=5))[3]
    assert (row.jump_out, row.rf_out) == (2, 4)


@pytest.mark.parametrize("name", ODD)
def test_every_join_is_read_back_and_counted(name: str) -> None:
    layers, image = ODD[name]
    network = Network(layers, image, classes=5)
    assert from_data(to_data(network)) == network
    assert sum(row.parameters for row in anatomy(network)) == network.parameters
