import re

import pytest
import torch
from conftest import networks
from hypothesis import assume, example, given
from torch import Tensor

from stepladder import AvgPool, Conv, Flatten, GlobalAvgPool, Linear, MaxPool, Network
from stepladder.anatomy import Jump, Row, Size, Then, anatomy, then, to_data
from stepladder.engine import plain
from stepladder.ladders import mnist
from stepladder.spec import Join
from stepladder.spec.layers import forks

NETWORK_A = """
operation            in  kernel  padding  stride  out  jump in  jump out  RF in  RF out
conv                 28       3        0       1   26        1         1      1       3
conv                 26       3        0       1   24        1         1      3       5
maxpool              24       2        0       2   12        1         2      5       6
conv                 12       3        0       1   10        2         2      6      10
conv                 10       3        0       1    8        2         2     10      14
conv                  8       3        0       1    6        2         2     14      18
conv                  6       3        0       1    4        2         2     18      22
global average pool   4       4        0       1    1        2         2     22      28
"""
NETWORK_B = """
operation            in  kernel  padding  stride  out  jump in  jump out  RF in  RF out
conv                 28       3        1       1   28        1         1      1       3
conv                 28       3        1       1   28        1         1      3       5
maxpool              28       2        0       2   14        1         2      5       6
conv                 14       3        0       1   12        2         2      6      10
conv                 12       3        0       1   10        2         2     10      14
conv                 10       3        0       1    8        2         2     14      18
conv                  8       3        0       1    6        2         2     18      22
conv                  6       3        0       1    4        2         2     22      26
global average pool   4       4        0       1    1        2         2     26      32
"""


def table(text: str) -> list[list[str]]:
    return [re.split(" {2,}", line.strip()) for line in text.strip().splitlines()[1:]]


def columns(row: Row) -> list[str]:
    output = row.output[1] if len(row.output) == 3 else 1
    numbers = (row.kernel, row.padding, row.stride, output, row.jump_in, row.jump_out, row.rf_in, row.rf_out)
    return [row.operation, *map(str, (row.input[1], *numbers))]


@pytest.mark.parametrize(("network", "golden"), [(mnist.a, NETWORK_A), (mnist.b, NETWORK_B)], ids=["A", "B"])
def test_the_seeds_receptive_field_tables(network: Network, golden: str) -> None:
    assert [columns(row) for row in anatomy(network)] == table(golden)


@pytest.mark.parametrize(("network", "total"), [(mnist.skeleton, 9_902), (mnist.a, 9_060), (mnist.b, 7_826)])
def test_the_seeds_parameters_are_the_sum_of_the_rows_and_those_of_torch(network: Network, total: int) -> None:
    module = plain.build(network, 0.0, torch.Generator())
    assert sum(row.parameters for row in anatomy(network)) == total
    assert sum(parameter.numel() for parameter in module.parameters()) == total


def test_parameters_and_macs_by_hand() -> None:
    network = Network(
        [
            Conv(4, stride=2, padding=1, groups=2, bias=True),
            MaxPool(2, stride=1),
            Conv(3, kernel=2, norm=None),
            Flatten(),
            Linear(10),
        ],
        input=(2, 5, 5),
    )
    rows = anatomy(network)
    assert [row.output for row in rows] == [(4, 3, 3), (4, 2, 2), (3, 1, 1), (3,), (10,)]
    # a filter of the first sees 1 of 2 channels; it has a bias, and a scale and a shift from its norm
    assert [row.parameters for row in rows] == [4 * 9 + 4 + 8, 0, 3 * 4 * 4, 0, 3 * 10 + 10]
    assert [row.macs for row in rows] == [(4 * 3 * 3) * 9, 0, 3 * (4 * 2 * 2), 0, 3 * 10]


def test_a_linear_layer_sees_what_all_flattened_positions_see() -> None:
    conv, flatten, linear = anatomy(Network([Conv(2, stride=2), Flatten(), Linear(10)], input=(1, 9, 7)))
    assert (conv.rf_out, flatten.rf_out) == (3, 3)
    assert linear.rf_out == (9, 7)
    assert flatten.kernel is flatten.stride is linear.padding is None


def test_to_data_adds_up_its_layers_and_names_their_columns() -> None:
    data = to_data(anatomy(mnist.a))
    assert list(data) == ["parameters", "macs", "layers"]
    for column in ("parameters", "macs"):
        assert data[column] == sum(layer[column] for layer in data["layers"]) > 0
    assert list(data["layers"][0]) == [
        "operation", "input", "output", "kernel", "padding", "stride", "parameters", "macs",
        "jump_in", "jump_out", "rf_in", "rf_out", "norm", "norm_parameters", "activation", "dropout",
    ]  # fmt: skip


def outputs(network: Network, images: Tensor) -> list[Tensor]:
    """What each layer makes of the images, with weights of 1; flattening left out."""
    module = plain.build(network, 0.0, torch.Generator()).double().eval()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.startswith(("conv", "linear")):
                parameter.fill_(1 if parameter.dim() > 1 else 0)
        names = [name for name, _ in module.named_children()]
        made = zip(names, module.through(images), strict=True)
        return [after.clone() for name, after in made if not name.startswith(("norm", "relu", "flatten"))]


def both(size: Size | Jump | None) -> tuple[int, int]:
    height, width = size if isinstance(size, tuple) else (size or 0, size or 0)
    return int(height), int(width)


def aligned(network: Network) -> bool:
    """Whether no join has inputs of unlike jumps, whose positions do not match."""
    jumps = [(1, 1), *(both(row.jump_out) for row in anatomy(network))]
    inputs = [(number, number - layer.layers) for number, layer in enumerate(network.layers) if isinstance(layer, Join)]
    return all(forks(network.layers[number]) or jumps[number] == jumps[source] for number, source in inputs)


def lows(network: Network) -> list[tuple[int, int]]:
    """Where the field of each layer's first output begins (negative in the padding); flattening left out."""
    before, found = [(0, 0)], []
    for layer, row in zip(network.layers, anatomy(network), strict=True):
        ends = [before[-1]] if not forks(layer) else []
        if isinstance(layer, Join):
            ends.append(before[-layer.layers - 1])
        starts = [
            tuple(low - padding * jump for low, padding, jump in zip(end, both(row.padding), both(row.jump_in), strict=True))
            for end in ends
        ]
        low = (min(start[0] for start in starts), min(start[1] for start in starts))
        before.append(low)
        if row.operation != "flatten":
            found.append(low)
    return found


@given(networks(products=False))
@example(Network([Conv(2), MaxPool(3, stride=2, padding=1), Conv(3), GlobalAvgPool()], input=(1, 18, 12), classes=3))
@example(Network([Conv(2, dilation=2, padding=1), AvgPool(3, 1, 1), Conv(3, 2, dilation=3), Flatten(), Linear(3)], (1, 18, 12), 3))
@example(Network([Conv(2, stride=2), Conv(2, kernel=4), Flatten(), Linear(3)], input=(1, 17, 21), classes=3))
def test_receptive_fields_are_what_moves_when_one_pixel_does(network: Network) -> None:
    assume(aligned(network))
    channels, *sides = network.input
    pixels = torch.eye(sides[0] * sides[1], dtype=torch.float64).view(-1, 1, *sides).expand(-1, channels, -1, -1)
    rows = [row for row in anatomy(network) if row.operation != "flatten"]
    for row, low, made in zip(rows, lows(network), outputs(network, pixels), strict=True):
        moved = made.view(*sides, len(made[0]), *made.shape[2:] or (1, 1)).any(2)
        touched = moved.any(1).any(2).T, moved.any(0).any(1).T  # output lines by the pixel lines that move them
        starts = [low[axis] + torch.arange(len(touched[axis])) * both(row.jump_out)[axis] for axis in range(2)]
        ends = [starts[axis] + both(row.rf_out)[axis] - 1 for axis in range(2)]
        inside = [(starts[axis] >= 0) & (ends[axis] < sides[axis]) for axis in range(2)]
        for axis in range(2):
            for start, end, line, whole in zip(starts[axis], ends[axis], touched[axis], inside[axis], strict=True):
                seen = line.nonzero().flatten().tolist()
                assert all(start <= pixel <= end for pixel in seen)
                if whole and inside[1 - axis].any():  # away from the borders it sees its field to the edges
                    assert (seen[0], seen[-1]) == (start, end)


def test_what_follows_in_a_row_tells_its_parameters_apart() -> None:
    network = Network([Conv(14), Conv(7, norm=None), MaxPool(2), Flatten(), Linear(10)])
    found = then(network, 0.05)
    assert found[0] == Then("batch", 28, "relu", 0.05)
    assert anatomy(network)[0].parameters - found[0].norm_parameters == 126
    assert found[1:] == [Then(activation="relu"), Then(dropout=0.05), Then(), Then()]  # dropout waits for the pooling of its block
    layers = to_data(anatomy(network), found)["layers"]
    assert [layer["norm_parameters"] for layer in layers] == [28, 0, 0, 0, 0]
