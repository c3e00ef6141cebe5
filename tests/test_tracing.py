import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from traceback import format_exception
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from conftest import networks
from hypothesis import assume, example, given
from hypothesis import strategies as st
from small_modules import Model, conv
from torch import Tensor, nn

from stepladder import Network
from stepladder.anatomy import Row, anatomy
from stepladder.engine import plain
from stepladder.ladders import mnist
from stepladder.tracing import TraceError, trace


class Block(nn.Module):
    """torchvision's basic residual block."""

    def __init__(self, channels: int, width: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, dilation, dilation, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.downsample = shortcut if stride > 1 or channels != width else None

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x if self.downsample is None else self.downsample(x)
        return F.relu(out)


class Gate(nn.Module):
    """A squeeze-and-excite gate as it is usually written."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(nn.Linear(channels, 2), nn.ReLU(), nn.Linear(2, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        images, channels, _, _ = x.size()
        gate: Tensor = self.fc(self.pool(x).view(images, channels)).view(images, channels, 1, 1)
        return x * gate.expand_as(x)


def brief(rows: list[Row]) -> list[tuple[Any, ...]]:
    return [(row.operation, row.output, row.parameters, row.jump_out, row.rf_out) for row in rows]


def total(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@contextmanager
def assuming_one_jump() -> Iterator[None]:
    """Drawn joins of unlike jumps, whose positions do not match, are drawn again."""
    try:
        yield
    except TraceError as error:
        assume("joins branches whose jumps differ" not in str(error))
        raise


@given(networks(), st.sampled_from([0.0, 0.1]))
@example(mnist.skeleton, 0.043)
@example(mnist.b, 0.05)
def test_a_built_network_has_the_rows_of_its_anatomy(network: Network, dropout: float) -> None:
    module = plain.build(network, dropout, torch.Generator())
    with assuming_one_jump():
        found = trace(module, network.input)
    assert found == [row for row in anatomy(network) if row.operation != "branch"]  # no call, just a tensor that is used again


def test_a_residual_block_sees_the_union_of_its_branches() -> None:
    rows = trace(Block(4, 4), (4, 8, 8))
    assert brief(rows) == [
        ("conv", (4, 8, 8), 4 * 4 * 9 + 8, 1, 3),
        ("conv", (4, 8, 8), 4 * 4 * 9 + 8, 1, 5),
        ("add", (4, 8, 8), 0, 1, 5),
    ]
    assert (rows[2].input, rows[2].kernel, rows[2].macs) == ((4, 8, 8), None, 0)


def test_a_strided_residual_block_adds_branches_of_one_jump() -> None:
    assert brief(trace(Block(4, 6, stride=2), (4, 8, 8))) == [
        ("conv", (6, 4, 4), 4 * 6 * 9 + 12, 2, 3),
        ("conv", (6, 4, 4), 6 * 6 * 9 + 12, 2, 7),
        ("conv", (6, 4, 4), 4 * 6 + 12, 2, 1),
        ("add", (6, 4, 4), 0, 2, 7),
    ]


ADDITIONS: list[Callable[[Any, Any], Any]] = [
    operator.add, operator.iadd, torch.add, torch.sub, torch.maximum, lambda a, b: a.add(b), lambda a, b: a.mul_(b),
]  # fmt: skip


@pytest.mark.parametrize("join", ADDITIONS)
def test_every_way_to_join_elementwise_is_one_row(join: Callable[[Any, Any], Any]) -> None:
    rows = trace(Model(lambda m, x: join(m.conv(x), x), conv=conv(2, 2)), (2, 6, 6))
    assert [row.rf_out for row in rows] == [3, 3]
    assert rows[1].operation in ("add", "sub", "mul", "maximum")


def test_channels_are_joined_by_cat() -> None:
    model = Model(lambda m, x: torch.cat([m.wide(x), m.narrow(x), x], 1), wide=conv(2, 3, 5), narrow=conv(2, 4))
    assert brief(trace(model, (2, 9, 9)))[-1] == ("cat", (9, 9, 9), 0, 1, 5)


def test_fields_that_lie_apart_are_joined_from_end_to_end() -> None:
    left = nn.Sequential(nn.ZeroPad2d((4, 0, 0, 0)), nn.Conv2d(1, 1, (1, 3)))  # each output sees 4, 3 and 2 to its left
    right = nn.Sequential(nn.ZeroPad2d((0, 2, 0, 0)), nn.Conv2d(1, 1, (1, 3), padding=(0, 1)))[0:1]
    model = Model(lambda m, x: m.left(x) + m.right(x), left=left, right=right)
    assert trace(model, (1, 8, 8))[-1].rf_out == (1, 5)


def test_a_gate_of_one_value_a_channel_shows_every_position_the_whole_image() -> None:
    model = nn.Sequential(conv(3, 8), Gate(8), conv(8, 8))
    rows = trace(model, (3, 12, 12))
    assert [row.operation for row in rows] == ["conv", "global average pool", "linear", "linear", "mul", "conv"]
    gap, mul, last = rows[1], rows[4], rows[5]
    assert (gap.output, gap.rf_out) == ((8,), 14)  # 12 pixels and the padding around them
    assert (mul.input, mul.output, mul.jump_out, mul.rf_out) == ((8, 12, 12), (8, 12, 12), 1, 14)
    assert (last.jump_out, last.rf_out) == (1, 14)  # the gate's field does not grow, it is the same everywhere
    assert sum(row.parameters for row in rows) == total(model)


def test_a_global_branch_of_another_jump_can_be_joined() -> None:
    model = Model(lambda m, x: x * F.adaptive_avg_pool2d(m.stem(x), 1), stem=conv(2, 2, stride=2))
    assert brief(trace(model, (2, 8, 8)))[-1] == ("mul", (2, 8, 8), 0, 1, 9)


def test_global_branches_of_other_jumps_and_other_places_are_joined_from_end_to_end() -> None:
    model = Model(lambda m, x: F.pad(x, (4, 0)).mean((2, 3)) + F.max_pool2d(F.pad(x, (0, 4)), 2).mean((2, 3)))
    left, right, both = [row for row in trace(model, (1, 8, 8)) if row.output == (1,)]
    assert (left.rf_out, right.rf_out, both.rf_out) == ((8, 12), (8, 12), (8, 16))


ORDERS: list[tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any], int, int]] = [
    (lambda m, x: x + m.conv(x), lambda m, x: m.conv(x) + x, 3, 3),
    (lambda m, x: x * m.conv(x).amax((2, 3), True), lambda m, x: m.conv(x).amax((2, 3), True) * x, 1, 8),
]


@pytest.mark.parametrize(("one", "other", "before", "after"), ORDERS)
def test_the_order_of_branches_does_not_matter(
    one: Callable[[Any, Any], Any], other: Callable[[Any, Any], Any], before: int, after: int
) -> None:
    rows = trace(Model(one, conv=conv(2, 2)), (2, 6, 6))
    assert rows == trace(Model(other, conv=conv(2, 2)), (2, 6, 6))
    assert (rows[-1].input, rows[-1].rf_in, rows[-1].rf_out) == ((2, 6, 6), before, after)


def test_flat_features_of_branches_are_joined_with_all_that_they_see() -> None:
    model = Model(
        lambda m, x: m.head(torch.cat([m.conv(x).flatten(1), x.mean((2, 3))], 1)), conv=conv(1, 2, stride=2), head=nn.Linear(33, 3)
    )
    rows = trace(model, (1, 8, 8))
    assert [(row.operation, row.output, row.rf_out) for row in rows[-2:]] == [("cat", (33,), 9), ("linear", (3,), 9)]


def test_branches_whose_jumps_differ_are_refused() -> None:
    model = Model(lambda m, x: m.strided(x) + F.max_pool2d(x, 3, 1), strided=conv(1, 1, stride=2))
    with pytest.raises(TraceError, match=r"^add in the model \(Model\): joins branches whose jumps differ \(1 and 2 pixels\)"):
        trace(model, (1, 5, 5))


WINDOWS: list[tuple[nn.Module, tuple[Any, ...]]] = [  # operation, output, kernel, padding, stride, jump and field after
    (nn.Conv2d(4, 6, 3, dilation=2), ("conv", (6, 16, 12), 3, 0, 1, 1, 5)),
    (nn.Conv2d(4, 6, (1, 5), (2, 1), (0, 2)), ("conv", (6, 10, 16), (1, 5), (0, 2), (2, 1), (2, 1), (1, 5))),
    (nn.Conv2d(4, 6, (2, 3), dilation=(3, 1)), ("conv", (6, 17, 14), (2, 3), 0, 1, 1, (4, 3))),
    (nn.Conv2d(4, 6, 3, padding="same", dilation=2), ("conv", (6, 20, 16), 3, 2, 1, 1, 5)),
    (nn.Conv2d(4, 6, (4, 5), padding="same"), ("conv", (6, 20, 16), (4, 5), (1, 2), 1, 1, (4, 5))),
    (nn.Conv2d(4, 6, 3, padding="valid"), ("conv", (6, 18, 14), 3, 0, 1, 1, 3)),
    (nn.MaxPool2d(3, 2, padding=1), ("maxpool", (4, 10, 8), 3, 1, 2, 2, 3)),
    (nn.MaxPool2d(3), ("maxpool", (4, 6, 5), 3, 0, 3, 3, 3)),
    (nn.MaxPool2d(3, ceil_mode=True), ("maxpool", (4, 7, 6), 3, 0, 3, 3, 3)),
    (nn.MaxPool2d(2, 1, dilation=3), ("maxpool", (4, 17, 13), 2, 0, 1, 1, 4)),
    (nn.AvgPool2d((2, 4), padding=(1, 0)), ("avgpool", (4, 11, 4), (2, 4), (1, 0), (2, 4), (2, 4), (2, 4))),
    (nn.AvgPool2d(3, ceil_mode=True), ("avgpool", (4, 7, 6), 3, 0, 3, 3, 3)),
    (nn.AdaptiveAvgPool2d(4), ("avgpool", (4, 4, 4), (5, 4), 0, (5, 4), (5, 4), (5, 4))),
    (nn.AdaptiveAvgPool2d((1, None)), ("avgpool", (4, 1, 16), (20, 1), 0, 1, 1, (20, 1))),
    (nn.AdaptiveMaxPool2d((5, 8)), ("maxpool", (4, 5, 8), (4, 2), 0, (4, 2), (4, 2), (4, 2))),
    (nn.AdaptiveAvgPool2d((19, 16)), ("avgpool", (4, 19, 16), (2, 1), 0, 1, 1, (2, 1))),  # windows 0-1, 1-2, ...
    (nn.AdaptiveMaxPool2d(1), ("global max pool", (4, 1, 1), (20, 16), 0, 1, 1, (20, 16))),
    (nn.ZeroPad2d((1, 2, 3, 4)), ("pad", (4, 27, 19), 1, (3, 1), 1, 1, 1)),
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize(("module", "expected"), WINDOWS, ids=str)
def test_a_window_has_its_size_and_its_field(module: nn.Module, expected: tuple[Any, ...]) -> None:
    (row,) = trace(module, (4, 20, 16))
    assert (row.operation, row.output, row.kernel, row.padding, row.stride, row.jump_out, row.rf_out) == expected
    assert row.output == tuple(module(torch.zeros(1, 4, 20, 16)).shape[1:])


def test_multiply_accumulates_count_one_group_of_channels() -> None:
    depthwise, pointwise = trace(nn.Sequential(nn.Conv2d(4, 8, 3, groups=4), nn.Conv2d(8, 5, 1)), (4, 6, 6))
    assert (depthwise.macs, depthwise.parameters) == ((8 * 4 * 4) * 9, 8 * 9 + 8)
    assert (pointwise.macs, pointwise.parameters) == ((5 * 4 * 4) * 8, 8 * 5 + 5)


def test_a_module_that_is_called_twice_works_twice_and_counts_once() -> None:
    model = Model(lambda m, x: m.norm(m.conv(m.norm(m.conv(x)))), conv=conv(2, 2), norm=nn.BatchNorm2d(2))
    rows = trace(model, (2, 6, 6))
    assert [(row.parameters, row.macs, row.rf_out) for row in rows] == [(36 + 4, 36 * 36, 3), (0, 36 * 36, 5)]


def test_a_parameter_of_two_modules_counts_once() -> None:
    model = nn.Sequential(nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 3))
    model[1].weight = model[0].weight
    assert [row.parameters for row in trace(model, (2, 6, 6))] == [36 + 2, 2]
    assert total(model) == 40


def test_weights_computed_from_a_parameter_count_it_once() -> None:
    model = Model(lambda m, x: F.linear(F.linear(x.flatten(1), m.weight), m.weight.t() / 2), weight=nn.Parameter(torch.ones(3, 16)))
    assert brief(trace(model, (1, 4, 4)))[1:] == [("linear", (3,), 48, 1, 4), ("linear", (16,), 0, 1, 4)]


def test_norms_without_a_layer_before_them_have_rows_of_their_own() -> None:
    model = nn.Sequential(nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(2, affine=False), nn.PReLU(2))
    rows = trace(model, (2, 6, 6))
    assert brief(rows) == [("batch norm", (2, 6, 6), 4, 1, 1), ("maxpool", (2, 3, 3), 0, 2, 2), ("prelu", (2, 3, 3), 2, 2, 2)]
    assert sum(row.parameters for row in rows) == total(model)


def test_norm_and_activation_of_a_linear_layer_belong_to_it() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3), nn.PReLU(), nn.Dropout(0.5))
    assert brief(trace(model, (1, 2, 2))) == [("flatten", (4,), 0, 1, 1), ("linear", (3,), 12 + 6 + 1, 1, 2)]


def test_a_learned_scale_belongs_to_the_layer_before() -> None:
    model = Model(lambda m, x: m.conv(x) * m.scale, conv=conv(2, 2), scale=nn.Parameter(torch.ones(2, 1, 1)))
    assert brief(trace(model, (2, 6, 6))) == [("conv", (2, 6, 6), 36 + 2, 1, 3)]


def test_scale_and_shift_and_what_is_done_in_place_belong_to_the_layer_before() -> None:
    def steps(m: Any, x: Any) -> Any:
        x = F.relu_(m.scale * m.conv(x) + m.shift).add_(1).mul_(m.gain)
        return m.norm(x - x.mean(1, keepdim=True))

    parameters = {name: nn.Parameter(torch.ones(2, 1, 1)) for name in ("scale", "shift", "gain")}
    rows = trace(Model(steps, conv=conv(2, 2), norm=nn.BatchNorm2d(2), **parameters), (2, 6, 6))
    assert brief(rows) == [
        ("conv", (2, 6, 6), 36 + 6, 1, 3),
        ("mean", (1, 6, 6), 0, 1, 3),
        ("sub", (2, 6, 6), 0, 1, 3),
        ("batch norm", (2, 6, 6), 4, 1, 3),
    ]


def test_an_activation_written_by_hand_is_no_branch() -> None:
    model = Model(lambda m, x: (1 - torch.sigmoid(y := m.conv(x))) * y**2 / 2, conv=conv(2, 2))
    assert [row.operation for row in trace(model, (2, 6, 6))] == ["conv"]


FLATTENINGS: list[Callable[[Any], Any]] = [
    lambda x: torch.flatten(x, 1),
    lambda x: x.flatten(1),
    lambda x: x.view(x.size(0), -1),
    lambda x: x.view(-1, 2 * 4 * 3),
    lambda x: x.reshape(x.shape[0], 24),
    lambda x: torch.reshape(x, (x.shape[0], -1)),
]


@pytest.mark.parametrize("flatten", FLATTENINGS)
def test_every_way_to_flatten_is_the_same_row(flatten: Callable[[Any], Any]) -> None:
    model = Model(lambda m, x: m.head(flatten(m.conv(x))), conv=conv(1, 2), head=nn.Linear(24, 3))
    sequence = nn.Sequential(conv(1, 2), nn.Flatten(), nn.Linear(24, 3))
    rows = trace(model, (1, 4, 3))
    assert rows == trace(sequence, (1, 4, 3))
    assert brief(rows)[1:] == [("flatten", (24,), 0, 1, 3), ("linear", (3,), 75, 1, (6, 5))]


GLOBAL_POOLINGS: list[Callable[[Any], Any]] = [
    lambda x: x.mean((2, 3)),
    lambda x: x.mean(dim=[-1, -2]),
    lambda x: torch.mean(x, (2, 3), keepdim=True).squeeze(-1).squeeze(-1),
    lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1),
    lambda x: F.adaptive_avg_pool2d(x, (1, 1)).view(x.size(0), -1),
    lambda x: F.adaptive_avg_pool2d(x, 1)[:, :, 0, 0],
]


@pytest.mark.parametrize("pool", GLOBAL_POOLINGS)
def test_every_way_to_average_a_map_is_one_row(pool: Callable[[Any], Any]) -> None:
    (row,) = trace(Model(lambda m, x: F.log_softmax(pool(x), dim=1)), (3, 6, 5))
    assert (row.operation, row.output, row.kernel, row.rf_out) == ("global average pool", (3,), (6, 5), (6, 5))


def test_a_mean_that_is_spread_out_again_is_flattened_in_a_row() -> None:
    model = Model(lambda m, x: m.head(x.mean((2, 3), keepdim=True).expand(-1, -1, 2, 3).flatten(1)), head=nn.Linear(12, 3))
    rows = trace(model, (2, 4, 4))
    assert [(row.operation, row.output) for row in rows] == [
        ("global average pool", (2, 1, 1)),
        ("flatten", (12,)),
        ("linear", (3,)),
    ]
    assert rows[-1].rf_out == 4


def test_warnings_are_left_to_those_who_run_the_model() -> None:
    assert brief(trace(nn.Sequential(nn.Softmax(), nn.MaxPool2d(2)), (1, 4, 4))) == [("maxpool", (1, 2, 2), 0, 2, 2)]


def test_functions_are_read_as_the_modules_are() -> None:
    parts = {"conv": nn.Conv2d(1, 4, 3), "norm": nn.BatchNorm2d(4), "head": nn.Linear(4, 2)}

    def steps(m: Any, x: Any) -> Any:
        x = F.dropout(F.relu(m.norm(m.conv(x))), 0.2, training=m.training)
        x = F.avg_pool2d(F.max_pool2d(x, 2, padding=1), kernel_size=2, stride=1)
        x = F.dropout2d(F.gelu(x).clamp(min=0), training=m.training)
        return F.softmax(m.head(F.adaptive_avg_pool2d(x, 1).flatten(1)), dim=-1)

    modules = nn.Sequential(
        *(parts["conv"], parts["norm"], nn.ReLU(), nn.Dropout(0.2), nn.MaxPool2d(2, padding=1), nn.AvgPool2d(2, 1), nn.GELU()),
        *(nn.Hardswish(), nn.Dropout2d(), nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), parts["head"], nn.Softmax(1)),
    )
    rows = trace(Model(steps, **parts), (1, 14, 14))
    assert rows == trace(modules, (1, 14, 14))
    assert [row.operation for row in rows] == ["conv", "maxpool", "avgpool", "global average pool", "linear"]


def sides(size: Any) -> tuple[int, int]:
    height, width = size if isinstance(size, tuple) else (size, size)
    return height, width


INCEPTION = Model(
    lambda m, x: torch.cat([m.one(x), m.five(m.three(x)), F.avg_pool2d(x, 3, 1, 1)], 1),
    one=conv(2, 2, 1), three=nn.Conv2d(2, 2, (3, 1), padding=(1, 0)), five=nn.Conv2d(2, 2, 3, padding=4, dilation=4),
)  # fmt: skip
ONE_SIDED = Model(lambda m, x: m.left(F.pad(x, (6, 0, 0, 0))) + m.here(x), left=nn.Conv2d(2, 2, (1, 7)), here=conv(2, 2))
BRANCHED = {
    "residual": nn.Sequential(conv(2, 4), Block(4, 4), Block(4, 4, dilation=2)),
    "strided": nn.Sequential(Block(2, 4, stride=2), nn.AvgPool2d(3, 1, 1), Block(4, 4)),
    "inception": nn.Sequential(INCEPTION, nn.Conv2d(6, 2, (1, 2))),
    "one-sided": ONE_SIDED,
    "even": nn.Sequential(nn.Conv2d(2, 2, 4, padding="same"), nn.Conv2d(2, 2, (2, 4), dilation=(1, 2))),
    "gated": nn.Sequential(conv(2, 4, stride=2), Gate(4), Block(4, 4)),
    "pooled": nn.Sequential(Block(2, 2), nn.AdaptiveAvgPool2d((19, 10)), nn.Conv2d(2, 2, 2)),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", BRANCHED)
def test_receptive_fields_of_branches_are_what_the_gradient_reaches(name: str) -> None:
    module = BRANCHED[name].double().eval()
    for parameter in module.parameters():
        nn.init.constant_(parameter, 0.01)  # all positive: nothing cancels, and no ReLU is closed
    images = torch.ones(1, 2, 38, 40, dtype=torch.float64, requires_grad=True)
    made = module(images)
    made[0, :, made.shape[2] // 2, made.shape[3] // 2].sum().backward()
    assert images.grad is not None
    touched = images.grad[0].sum(0).nonzero()
    seen = (touched.amax(0) - touched.amin(0) + 1).tolist()
    field = sides(trace(module, (2, 38, 40))[-1].rf_out)
    assert seen == [min(field[0], 38), min(field[1], 40)]


UNREADABLE: list[tuple[nn.Module, str]] = [
    (
        Model(lambda m, x: m.block(x[:, :, None]), block=nn.Sequential(nn.Conv3d(2, 2, 1))),
        r"^block\.0 \(Conv3d\): cannot be read, exp",
    ),
    (Model(lambda m, x: F.unfold(x, 3)), r"^unfold in the model \(Model\): cannot be read, expected one of: convolutions and "),
    (nn.Sequential(Model(lambda m, x: torch.fft.fft2(x).real)), r"^fft_fft2 in 0 \(Model\): cannot be read"),
    (nn.Sequential(nn.Conv2d(3, 4, 3)), r"^0 \(Conv2d\): does not fit its input of 2 x 8 x 8 \("),
    (nn.Sequential(nn.Conv2d(2, 4, 9)), r"^0 \(Conv2d\): does not fit its input of 2 x 8 x 8 \("),
    (nn.Sequential(nn.Flatten(), nn.MaxPool2d(2)), r"^1 \(MaxPool2d\): does not fit its input of 128 \("),
    (Model(lambda m, x: x.view(-1, 99)), r"^view in the model \(Model\): does not fit its input of 2 x 8 x 8 \("),
    (nn.Sequential(nn.LSTM(8, 8)), r"^0 \(LSTM\): its forward stops at an input of 2 x 8 x 8 \(ValueError: LSTM: "),
    (Model(lambda m, x: m.rows(x[:, 0])[0], rows=nn.LSTM(8, 8)), r"^rows \(LSTM\): runs over the images, .*: see batch_first$"),
    (nn.Sequential(nn.Flatten(0)), r"^0 \(Flatten\): makes 7 images into one tensor of shape \(896,\), expected 7 in front"),
    (
        Model(lambda m, x: x.transpose(0, 1)),
        r"^transpose in the model \(Model\): makes 7 images into one .*\(2, 7, 8, 8\), expected",
    ),
    (Model(lambda m, x: x.view(-1, 1, 8, 8)), r"^view in the model \(Model\): makes 7 images into one .*\(14, 1, 8, 8\), expected"),
    (
        Model(lambda m, x: x.view(2, -1)),
        r"^view in the model \(Model\): mixes the images of a batch, expected each to be on its own",
    ),
    (
        Model(lambda m, x: x - x.mean()),
        r"^mean in the model \(Model\): mixes the images of a batch, expected each to be on its own",
    ),
    (Model(lambda m, x: x.softmax(0)), r"^softmax in the model \(Model\): mixes the images of a batch, expected"),
    (Model(lambda m, x: x[:1]), r"^getitem in the model \(Model\): takes a part of the images, expected all of them"),
    (Model(lambda m, x: x.chunk(2)[0]), r"^chunk in the model \(Model\): takes a part of the images, expected all of them"),
    (Model(lambda m, x: x.repeat(2, 1, 1, 1)), r"^repeat in the model \(Model\): makes 7 images into 14, expected as many"),
    (
        Model(lambda m, x: torch.cat([x, x])),
        r"^cat in the model \(Model\): makes 7 images into one tensor of shape \(14, 2, 8, 8\), ",
    ),
    (
        Model(lambda m, x: torch.cat([x, F.relu(x)], 2)),
        r"^cat in .*: makes 2 x 8 x 8 and 2 x 8 x 8 into 2 x 16 x 8, expected branches",
    ),
    (
        Model(lambda m, x: x[:, :, [0, 1], [0, 1]]),
        r"^getitem in the model \(Model\): is indexed by .*, expected whole numbers, slices",
    ),
    (Model(lambda m, x: torch.roll(x, 1)), r"^roll in the model \(Model\): cannot be read the way that it is called \(KeyError"),
    (
        Model(lambda m, x: F.conv2d(x, x[:, :, :, :])),
        r"^conv2d in the model \(Model\): has weights that depend on the images, expected constant ones",
    ),
    (Model(lambda m, x: F.linear(x, x[0, 0])), r"^getitem in the model \(Model\): takes a part of the images"),
    (
        Model(lambda m, x: m.gate(x), gate=Model(lambda m, x: x if x.sum() > 0 else -x)),
        r"^gate \(Model\): its forward depends on the values of its input \(RuntimeError: .*\), expected one whose steps",
    ),
    (Model(lambda m, x: x * float(x.max())), r"^the model \(Model\): its forward depends on the values of its input"),
    (Model(lambda m, x: torch.from_numpy(x.numpy())), r"^the model \(Model\): its forward depends on the values of its input"),
    (Model(lambda m, x: x[x > 0]), r"^the model \(Model\): its forward depends on the values of its input"),
    (
        Model(lambda m, x: m.missing(x)),
        r"^the model \(Model\): its forward stops at .* 2 x 8 x 8 \(AttributeError: 'Model' object has",
    ),
    (Model(lambda m, x: None), r"^the model \(Model\): returns nothing, expected what it makes of the images: return it"),
    (nn.ModuleList([nn.ReLU()]), r'^the model \(ModuleList\): .* is missing the required "forward" function'),
]


@pytest.mark.parametrize(("module", "message"), UNREADABLE, ids=[message for _, message in UNREADABLE])
def test_what_cannot_be_read_is_named_without_a_traceback_of_torch(module: nn.Module, message: str) -> None:
    with pytest.raises(TraceError, match=message) as caught:
        trace(module, (2, 8, 8))
    assert "/torch/" not in "".join(format_exception(caught.value))


def test_only_images_go_in_beside_defaults() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, scale: float = 2.0) -> Tensor:
            return F.max_pool2d(x, 2) * scale

    class Other(nn.Module):
        def forward(self, x: Tensor, other: Tensor) -> Tensor:
            return x + other

    assert brief(trace(Two(), (1, 4, 4))) == [("maxpool", (1, 2, 2), 0, 2, 2)]
    with pytest.raises(TraceError, match=r"^the model \(Other\): forward also takes 'other', expected images alone"):
        trace(Other(), (1, 4, 4))


@pytest.mark.parametrize("wrong", [(28, 28), (1, 28, 0), (1, 2.5, 28)])
def test_an_input_that_is_no_image_is_refused(wrong: Any) -> None:
    with pytest.raises(TraceError, match=r"^input is \(.*\), expected three whole numbers: channels, height, width"):
        trace(nn.ReLU(), wrong)


class Restless(nn.Module):
    """A module that changes itself and draws random numbers in its forward."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.frozen = conv(1, 2), nn.BatchNorm2d(2), nn.BatchNorm2d(2).eval()
        self.register_buffer("calls", torch.zeros(()))
        self.last: Any = None

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.last = self.extra = self.frozen(self.norm(self.conv(x)))
        return F.dropout(self.last) * torch.tensor(2.0) + torch.randn(1)


def test_the_module_and_the_random_numbers_stay_as_they_were() -> None:
    module = Restless()
    names, random = set(vars(module)), torch.get_rng_state()
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert [row.operation for row in trace(module, (1, 6, 6))] == ["conv"]
    assert set(vars(module)) == names
    assert module.last is None
    assert [part.training for part in (module, module.norm, module.frozen)] == [True, True, False]
    assert torch.equal(torch.get_rng_state(), random)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, state[name]), name


def test_a_module_that_cannot_be_read_stays_as_it_was_too() -> None:
    module = nn.Sequential(Restless(), nn.Conv3d(2, 2, 2)).train()
    with pytest.raises(TraceError):
        trace(module, (1, 6, 6))
    assert module.training
    assert module[0].last is None


def test_dtype_of_the_weights_is_that_of_the_images() -> None:
    rows = trace(nn.Sequential(conv(1, 2), nn.BatchNorm2d(2)).half(), (1, 6, 6))
    assert brief(rows) == [("conv", (2, 6, 6), 18 + 4, 1, 3)]
