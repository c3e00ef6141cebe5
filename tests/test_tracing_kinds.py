"""What may be given to be traced, and what a table says of layers that people write in several ways."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from small_modules import Model, conv
from torch import Tensor, nn

from stepladder.anatomy import Row
from stepladder.tracing import Made, TraceError, calls, trace


class Plain(nn.Module):
    """A network whose last pooling is over its whole map."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Dropout(0.1))
        self.last = nn.Conv2d(8, 10, 1, bias=False)
        self.pool = nn.AvgPool2d(26)

    def forward(self, x: Tensor) -> Any:
        return self.pool(self.last(self.first(x))).view(-1, 10)


def brief(rows: list[Row]) -> list[tuple[Any, ...]]:
    return [(row.operation, row.output, row.parameters, row.jump_out, row.rf_out) for row in rows]


def compiled(module: nn.Module) -> Any:
    return torch.compile(module)


def compiled_in_place() -> nn.Module:
    model = Plain()
    model.first.compile()
    return model


WRAPPED: dict[str, Callable[[], nn.Module]] = {
    "parallel": lambda: nn.DataParallel(Plain()),
    "compiled": lambda: compiled(Plain()),
    "both": lambda: nn.DataParallel(compiled(Plain())),
    "part in parallel": lambda: nn.Sequential(nn.DataParallel(Plain(), device_ids=[0])),
    "part compiled": lambda: nn.Sequential(compiled(Plain())),
    "compiled in place": compiled_in_place,
    "averaged": lambda: torch.optim.swa_utils.AveragedModel(Plain()),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own, in its compiler
@pytest.mark.parametrize("name", WRAPPED)
def test_wrappers_are_read_through_to_what_they_wrap(name: str) -> None:
    model = WRAPPED[name]().train()
    parts = [(part, set(vars(part)), part.training, [*part._modules.values()]) for part in model.modules()]
    rows = trace(model, (1, 28, 28))
    assert rows == trace(Plain(), (1, 28, 28))
    assert (sum(row.parameters for row in rows), sum(row.macs for row in rows)) == (160, 102_752)
    for part, names, training, held in parts:
        assert (set(vars(part)), part.training, [*part._modules.values()]) == (names, training, held)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_function_runs_as_it_was_written() -> None:
    gated = torch.compile(lambda x: x * torch.sigmoid(x))
    assert brief(trace(Model(lambda m, x: gated(m.conv(x)), conv=conv(1, 2)), (1, 6, 6))) == [("conv", (2, 6, 6), 18, 1, 3)]


class Dense(nn.Module):
    """Without a convolution, whose padding torch.jit does not always manage to type."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(x.flatten(1))
        return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("wrap", [torch.jit.script, lambda module: nn.Sequential(nn.ReLU(), torch.jit.script(module))])
def test_a_scripted_module_is_refused_and_stays_as_it_was(wrap: Callable[[nn.Module], nn.Module]) -> None:
    module = wrap(Dense())
    for part in module.modules():
        part.training = part is not module
    flags = [part.training for part in module.modules()]
    with pytest.raises(
        TraceError, match=r"\(Dense\): is scripted, which cannot be read, expected the module that was given to torch\.jit$"
    ):
        trace(module, (1, 28, 28))
    assert [part.training for part in module.modules()] == flags


def gated(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


def pooled(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2)


def turned(x: Tensor) -> Tensor:
    return x.transpose(2, 3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("function", [gated, pooled, turned])
def test_a_scripted_function_within_forward_is_refused(function: Callable[[Tensor], Tensor]) -> None:
    scripted: Any = torch.jit.script(function)
    for steps in (lambda m, x: m.conv(scripted(x)), lambda m, x: scripted(m.conv(x)), lambda m, x: F.relu(scripted(x))):
        with pytest.raises(TraceError, match=r"^[a-z ]+ \(\w+\): .*, expected a forward without scripted functions$"):
            trace(Model(steps, conv=conv(1, 1)), (1, 6, 6))


GIVEN: list[tuple[Any, str]] = [
    (Plain, r"^Plain is a class, expected an instance of it: Plain\(\)$"),
    (lambda: Plain(), r"^found function, expected a torch\.nn\.Module$"),
    (None, r"^found NoneType, expected a torch\.nn\.Module$"),
    (nn.Sequential(nn.ReLU(), nn.LazyConv2d(4, 3)), r"^1 \(LazyConv2d\): has no weights yet, .*: call the model once on a batch"),
    (nn.Sequential(nn.Flatten(), nn.LazyLinear(4)), r"^1 \(LazyLinear\): has no weights yet"),
    (nn.Sequential(nn.Conv2d(1, 2, 3), nn.LazyBatchNorm2d()), r"^1 \(LazyBatchNorm2d\): has no weights yet"),
]


@pytest.mark.filterwarnings("ignore:Lazy modules")
@pytest.mark.parametrize(("given", "message"), GIVEN, ids=[message for _, message in GIVEN])
def test_what_is_no_module_that_can_run_is_told_what_to_do(given: Any, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        trace(given, (1, 28, 28))


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_a_lazy_module_that_ran_once_is_read() -> None:
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(2))
    model(torch.zeros(1, 1, 6, 6))
    assert [row.parameters for row in trace(model, (1, 6, 6))] == [40, 0, 130]


def test_what_forward_never_uses_has_rows_that_say_so() -> None:
    spare = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.BatchNorm1d(4))
    model = Model(lambda m, x: F.conv2d(x, m.conv.weight), conv=nn.Conv2d(1, 2, 3), spare=spare, scale=nn.Parameter(torch.ones(3)))
    rows = trace(model, (1, 6, 6))
    assert brief(rows) == [
        ("conv", (2, 4, 4), 18, 1, 3),
        ("unused Model", (), 3, 0, 0),
        ("unused Conv2d", (), 2, 0, 0),
        ("unused Linear", (), 16, 0, 0),
        ("unused BatchNorm1d", (), 8, 0, 0),
    ]
    assert sum(row.parameters for row in rows) == sum(parameter.numel() for parameter in model.parameters())


GLOBAL: dict[str, list[Callable[[Any], Any]]] = {
    "global average pool": [
        lambda x: x.mean(3).mean(2),
        lambda x: x.mean(2).mean(2),
        lambda x: x.mean(-1).mean(-1),
        lambda x: x.mean(dim=-1, keepdim=True).mean(dim=-2, keepdim=True).flatten(1),
        lambda x: x.mean(3, True).squeeze(3).mean(2),
        lambda x: torch.mean(torch.mean(x, dim=3), dim=2),
        lambda x: torch.mean(input=x, dim=(3, 2)),
        lambda x: x.mean(axis=(2, 3)),
        lambda x: x.flatten(2).mean(-1),
        lambda x: x.flatten(start_dim=-2).mean(dim=2),
        lambda x: torch.flatten(x, 2, -1).mean(2, keepdim=True).squeeze(),
        lambda x: x.view(x.shape[0], x.shape[1], -1).mean(2),
        lambda x: x.reshape(*x.shape[:2], -1).mean(-1),
        lambda x: x.permute(0, 2, 3, 1).mean((1, 2)),
        lambda x: F.adaptive_avg_pool1d(x.flatten(2), 1).squeeze(-1),
        lambda x: F.adaptive_avg_pool2d(x, output_size=1)[..., 0, 0],
    ],
    "global max pool": [
        lambda x: x.amax(3).amax(2),
        lambda x: x.amax(dim=(-2, -1)),
        lambda x: x.max(3)[0].max(2)[0],
        lambda x: x.flatten(2).max(dim=-1).values,
        lambda x: torch.max(x.flatten(2), 2)[0],
        lambda x: F.adaptive_max_pool2d(x, (1, 1)).view(-1, 3),
    ],
    "global sum pool": [lambda x: x.sum((2, 3)) / 30, lambda x: x.sum(3).sum(2)],
}


@pytest.mark.parametrize(("name", "pool"), [(name, pool) for name, pools in GLOBAL.items() for pool in pools])
def test_every_way_to_pool_a_whole_map_is_one_row(name: str, pool: Callable[[Any], Any]) -> None:
    (row,) = trace(Model(lambda m, x: pool(x)), (3, 6, 5))
    assert (row.operation, row.input, row.output, row.kernel) == (name, (3, 6, 5), (3,), (6, 5))
    assert (row.jump_out, row.rf_out) == (1, (6, 5))


def test_two_means_with_something_in_between_are_two_rows() -> None:
    rows = trace(Model(lambda m, x: F.relu(x.mean(3)).mean(2)), (3, 6, 5))
    assert brief(rows) == [("mean", (3, 6), 0, 1, (1, 5)), ("global average pool", (3,), 0, 1, (6, 5))]


def test_a_mean_over_channels_too_is_no_pooling() -> None:
    (row,) = trace(Model(lambda m, x: x.mean((1, 2, 3)).unsqueeze(1)), (3, 6, 5))
    assert (row.operation, row.output, row.kernel, row.rf_out) == ("mean", (), None, (6, 5))


HALVES: list[Callable[[Any], Any]] = [
    lambda x: x.chunk(2, 1),
    lambda x: x.chunk(2, dim=-3),
    lambda x: torch.chunk(input=x, chunks=2, dim=1),
    lambda x: x.split(2, 1),
    lambda x: torch.split(x, [2, 2], dim=1),
    lambda x: x.tensor_split(2, dim=1),
    lambda x: (x[:, :2], x[:, 2:]),
    lambda x: (x.narrow(1, 0, 2), x.narrow(1, 2, 2)),
    lambda x: x.view(-1, 2, 2, 6, 6).unbind(1),
]


@pytest.mark.parametrize("halve", HALVES)
def test_every_way_to_halve_the_channels_is_the_same_network(halve: Callable[[Any], Any]) -> None:
    model = Model(lambda m, x: torch.cat([(h := halve(m.stem(x)))[0], m.conv(h[1])], 1), stem=conv(1, 4), conv=conv(2, 2))
    rows = trace(model, (1, 6, 6))
    assert [brief([row])[0] for row in rows if row.operation in ("conv", "cat")] == [
        ("conv", (4, 6, 6), 36, 1, 3),
        ("conv", (2, 6, 6), 36, 1, 5),
        ("cat", (4, 6, 6), 0, 1, 5),
    ]


SHUFFLES: list[Callable[[Any], Any]] = [
    lambda x: x.view(-1, 2, 2, 6, 6).transpose(1, 2).contiguous().view(-1, 4, 6, 6),
    lambda x: x.reshape(x.size(0), 2, 2, *x.shape[2:]).permute(0, 2, 1, 3, 4).reshape(x.shape),
    lambda x: x.unflatten(1, (2, 2)).swapaxes(1, 2).flatten(1, 2),
    lambda x: x[:, [0, 2, 1, 3]],
    lambda x: x.index_select(1, torch.tensor([0, 2, 1, 3])),
    lambda x: F.channel_shuffle(x, 2),
    lambda x: nn.ChannelShuffle(2)(x),
]


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_a_channel_shuffle_has_no_row(shuffle: Callable[[Any], Any]) -> None:
    model = Model(lambda m, x: m.last(shuffle(m.stem(x))), stem=conv(1, 4), last=conv(4, 2))
    assert brief(trace(model, (1, 6, 6))) == [("conv", (4, 6, 6), 36, 1, 3), ("conv", (2, 6, 6), 72, 1, 5)]


SHORTCUTS: list[Callable[[Any], Any]] = [
    lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1)),
    lambda x: F.pad(input=x[..., ::2, ::2], pad=[0, 0, 0, 0, 0, 2], mode="constant", value=0.0),
    lambda x: F.pad(F.max_pool2d(x, 1, 2), (0, 0, 0, 0, 1, 1)),
    lambda x: torch.cat([y := x[:, :, ::2, ::2], torch.zeros_like(y)], 1),
    lambda x: torch.cat([x[:, :, ::2, ::2], torch.zeros(len(x), 2, 3, 3)], dim=1),
    lambda x: torch.cat([x[:, :, ::2, ::2], x.new_zeros(x.size(0), 2, x.size(2) // 2, x.size(3) // 2)], -3),
]


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_a_strided_shortcut_without_parameters_joins_its_branch(shortcut: Callable[[Any], Any]) -> None:
    rows = trace(Model(lambda m, x: F.relu(m.conv(x) + shortcut(x)), conv=conv(2, 4, stride=2)), (2, 6, 6))
    assert brief(rows)[0] == ("conv", (4, 3, 3), 72, 2, 3)
    assert brief(rows)[-1] == ("add", (4, 3, 3), 0, 2, 3)
    assert {row.jump_out for row in rows} == {2}


def test_a_slice_is_a_window_of_one_position() -> None:
    (row,) = trace(Model(lambda m, x: x[:, :, 1::2, :-1]), (2, 6, 6))
    assert (row.operation, row.output, row.kernel, row.padding, row.stride) == ("slice", (2, 3, 5), 1, (-1, 0), (2, 1))


EXCITED: list[Callable[[Any, Any, Any], Any]] = [
    lambda m, x, gate: x * gate,
    lambda m, x, gate: x * gate.expand_as(x),
    lambda m, x, gate: gate.expand(-1, -1, x.shape[2], x.shape[3]) * x,
    lambda m, x, gate: torch.mul(input=x, other=gate.expand(x.size())),
    lambda m, x, gate: x.mul(gate.repeat(1, 1, 26, 26)),
    lambda m, x, gate: x * torch.broadcast_to(gate, x.shape),
]


@pytest.mark.parametrize("product", EXCITED)
def test_a_gate_that_is_spread_first_has_the_same_rows(product: Callable[[Any, Any, Any], Any]) -> None:
    gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 2, 1), nn.ReLU(), nn.Conv2d(2, 8, 1), nn.Sigmoid())
    row = trace(Model(lambda m, x: product(m, y := m.conv(x), m.gate(y)), conv=nn.Conv2d(1, 8, 3), gate=gate), (1, 28, 28))[-1]
    assert (row.operation, row.input, row.jump_in, row.rf_in, row.jump_out, row.rf_out) == ("mul", (8, 26, 26), 1, 3, 1, 28)


CHANNELS: list[Callable[[Any], Any]] = [
    lambda x: x.repeat(1, 3, 1, 1),
    lambda x: x.expand(-1, 3, -1, -1),
    lambda x: x.expand(x.size(0), 3, *x.shape[2:]),
    lambda x: x.repeat_interleave(3, dim=1),
    lambda x: torch.tile(x, (1, 3, 1, 1)),
    lambda x: torch.cat([x] * 3, dim=1),
]


@pytest.mark.parametrize("more", CHANNELS)
def test_grey_images_that_are_repeated_to_three_channels_are_a_row(more: Callable[[Any], Any]) -> None:
    rows = trace(Model(lambda m, x: m.conv(more(x)), conv=conv(3, 2)), (1, 6, 6))
    assert [(row.input, row.output, row.rf_out) for row in rows] == [((1, 6, 6), (3, 6, 6), 1), ((3, 6, 6), (2, 6, 6), 3)]


PRODUCTS: list[Callable[[Any, Any], Any]] = [
    lambda m, x: x @ m.w + m.b,
    lambda m, x: torch.matmul(x, m.w).add(m.b),
    lambda m, x: x.mm(m.w) + m.b,
    lambda m, x: torch.addmm(m.b, x, m.w),
    lambda m, x: torch.einsum("bi,io->bo", x, m.w) + m.b,
    lambda m, x: (m.w.t() @ x.t()).t() + m.b,
]


@pytest.mark.parametrize("product", PRODUCTS)
def test_every_product_with_a_parameter_is_one_row(product: Callable[[Any, Any], Any]) -> None:
    parts = {"w": nn.Parameter(torch.ones(36, 4)), "b": nn.Parameter(torch.ones(4))}
    rows = trace(Model(lambda m, x: product(m, x.flatten(1)), **parts), (1, 6, 6))
    assert [row.operation for row in rows] == ["flatten", "matmul"]
    assert (rows[1].parameters, rows[1].macs, rows[1].rf_out) == (36 * 4 + 4, 36 * 4, 6)


SHAPES: list[Callable[[Any, Any], Any]] = [
    lambda m, x: m.conv(x) if x.shape[0] > 1_000 else F.relu(m.conv(x)),
    lambda m, x: m.conv(x) if x.size(-1) == x.size(2) and x.ndim == 4 else m.missing(x),
    lambda m, x: [m.conv(x) for _ in range(x.dim())][-1],
    lambda m, x: m.conv(x) if isinstance(x, Tensor) and x.is_floating_point() and not m.training else None,
    lambda m, x: m.conv(x.view(len(x), *(int(side) for side in x.shape[1:]))),
    lambda m, x: m.conv(x) * float(m.scale),
]


@pytest.mark.parametrize("steps", SHAPES)
def test_what_depends_on_shapes_and_constants_runs_as_it_would(steps: Callable[[Any, Any], Any]) -> None:
    model = Model(steps, conv=conv(1, 2))
    model.register_buffer("scale", torch.tensor(2.0))
    assert brief(trace(model, (1, 6, 6)))[-1] == ("conv", (2, 6, 6), 18 if len(trace(model, (1, 6, 6))) == 1 else 0, 1, 3)


def test_an_assertion_about_shapes_is_asked_and_its_answer_told() -> None:
    def steps(m: Any, x: Any) -> Any:
        assert x.shape[1] == 3, "three channels, please"
        return m.conv(x)

    model = Model(steps, conv=conv(3, 2))
    assert brief(trace(model, (3, 6, 6))) == [("conv", (2, 6, 6), 54, 1, 3)]
    with pytest.raises(
        TraceError, match=r"^the model \(Model\): its forward stops at .* 1 x 6 x 6 \(AssertionError: three channels, please\)"
    ):
        trace(model, (1, 6, 6))


def test_recurrent_layers_have_rows_that_name_them() -> None:
    def steps(m: Any, x: Any) -> Any:
        states, _ = m.rows(x.squeeze(1))
        return m.last(states[:, -1])

    rows = trace(Model(steps, rows=nn.LSTM(28, 16, batch_first=True), last=nn.Linear(16, 10)), (1, 28, 28))
    assert brief(rows) == [("lstm", (28, 16), 2_944, 1, 28), ("linear", (10,), 170, 1, 28)]
    assert rows[0].input == (28, 28)
    assert rows[0].macs == 28 * 4 * 16 * (28 + 16)


def test_larger_maps_have_jumps_of_fractions() -> None:
    rows = trace(nn.Sequential(nn.Upsample(scale_factor=(2, 3)), nn.AdaptiveAvgPool2d((7, 18))), (1, 6, 6))
    assert [(row.operation, row.jump_out) for row in rows] == [("upsample", (0.5, 0.333)), ("avgpool", (0.857, 0.333))]


def test_lists_and_dicts_that_forward_fills_are_emptied_again() -> None:
    class Keeping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.kept, self.named = conv(1, 2), list[Tensor](), dict[str, Tensor]()

        def forward(self, x: Tensor) -> Any:
            self.kept.append(x)
            self.named["x"] = x
            self.more = nn.ReLU()
            return self.conv(x)

    module = Keeping()
    trace(module, (1, 6, 6))
    assert (module.kept, module.named, [name for name, _ in module.named_children()]) == ([], {}, ["conv"])


def test_buffers_are_read_and_keep_their_values() -> None:
    class Counting(nn.Module):
        times: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.conv = conv(1, 1)
            self.register_buffer("times", torch.tensor(2))

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(int(self.times)):
                x = self.conv(x)
            self.times.add_(1)
            return x if self.times.sum().item() == 3 else -x

    module = Counting()
    assert len(trace(module, (1, 6, 6))) == 2
    assert module.times == 2


def written(m: Any, x: Any) -> Any:
    made = torch.zeros(x.size(0), 3, 6, 6)
    made.copy_(m.conv(x).repeat(1, 3, 1, 1))
    return made


def added_to_a_part(m: Any, x: Any) -> Any:
    made = x.repeat(1, 3, 1, 1)
    made[:, :1] += m.conv(x)
    return made


def written_in_place(m: Any, x: Any) -> Any:
    made = x.repeat(1, 3, 1, 1)
    made[:, :1].add_(m.conv(x))
    return made


@pytest.mark.parametrize("steps", [written, added_to_a_part])
def test_what_is_written_into_sees_what_was_written(steps: Callable[[Any, Any], Any]) -> None:
    rows = trace(Model(steps, conv=conv(1, 1)), (1, 6, 6))
    assert (rows[-1].output, rows[-1].rf_out) == ((3, 6, 6), 3)


def test_a_tensor_of_which_a_part_was_written_elsewhere_is_refused() -> None:
    with pytest.raises(TraceError, match=r"^the model \(Model\): writes into a part of a tensor in place, expected it without"):
        trace(Model(written_in_place, conv=conv(1, 1)), (1, 6, 6))


def test_calls_are_plain_values_in_order() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.ReLU(), nn.Flatten())
    given, convolved, rectified, flat, returned = calls(model, (1, 7, 7))
    assert [call.name for call in (given, convolved, rectified, flat, returned)] == ["input", "conv2d", "relu", "flatten", "output"]
    assert convolved.args[0] == Made(0)
    assert convolved.args[1] is model[0].weight
    assert convolved.args[2:5] == (model[0].bias, (2, 2), (0, 0))
    assert (convolved.path, convolved.module, convolved.macs) == ("0", model[0], 2 * 9 * 9)
    assert (rectified.args, rectified.kwargs, rectified.function) == ((Made(1),), {"inplace": False}, F.relu)
    assert tuple(flat.made[0].shape) == (7, 18)
    assert returned.args == (Made(3),)


def test_an_argument_of_several_parts_names_each() -> None:
    found = calls(Model(lambda m, x: torch.cat(x.chunk(2, 1)[::-1], dim=1)), (2, 4, 4))
    assert (found[2].name, found[2].args, found[2].kwargs) == ("cat", ((Made(1, 1), Made(1, 0)),), {"dim": 1})


def test_calls_of_a_copy_are_the_same() -> None:
    model = Plain()
    names = [(call.name, call.path, call.macs) for call in calls(model, (1, 28, 28))]
    assert names == [(call.name, call.path, call.macs) for call in calls(deepcopy(model), (1, 28, 28))]
