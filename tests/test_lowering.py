"""Modules read into the layer language: what they compute stays what it was, in every number."""

import copy
import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from student_networks import FOREIGN, INPUT, NETWORKS
from torch import Tensor, nn

from stepladder import Network, networks
from stepladder.engine import native, plain, refusal
from stepladder.networks import Module
from stepladder.networks.building import build
from stepladder.networks.reading import built
from stepladder.page.words import in_layers
from stepladder.spec.layers import Conv, Dropout, Dropout2d, Flatten, GlobalAvgPool, Linear
from stepladder.streams import stream, stream_seed

READ: dict[type[nn.Module], Module] = {}


def read(kind: type[nn.Module]) -> Module:
    """Each once for all tests."""
    if kind not in READ:
        READ[kind] = networks.read(kind, INPUT.get(kind, (1, 28, 28)))
    return READ[kind]


def layers_of(kind: type[nn.Module]) -> tuple[object, ...]:
    lowered = networks.layers(read(kind))
    assert lowered, read(kind).reason
    return tuple(lowered.layers)


@pytest.mark.parametrize("engine", [native, plain])
@pytest.mark.parametrize("kind", NETWORKS, ids=lambda kind: kind.__name__)
def test_a_students_network_trains_in_either_engine_as_it_does_by_itself(kind: type[nn.Module], engine: object) -> None:
    module = read(kind)
    assert networks.trainer(module, "native") == ("native", "")
    lent = build(module, engine, 0.0, torch.Generator(), seed=5)  # type: ignore[arg-type]
    own = built(kind, stream_seed(5, "weights"))
    assert all(torch.equal(one, two) for one, two in zip(own.state_dict().values(), lent.state_dict().values(), strict=True))
    assert list(own.state_dict()) == list(lent.state_dict())
    for training in (False, True):
        if training and any(isinstance(layer, Dropout | Dropout2d) for layer in layers_of(kind)):
            continue  # what is dropped is drawn anew by each
        _assert_same(own.train(training), lent.train(training), INPUT[kind])


def _assert_same(own: nn.Module, lent: nn.Module, image: tuple[int, int, int]) -> None:
    x, weights = torch.randn(9, *image, generator=stream(0)), torch.randn(9, 10, generator=stream(1))
    logits = []
    for module in (own, lent):
        module.zero_grad()
        with warnings.catch_warnings(action="ignore"):  # a style of its own has no dim
            logits.append(module(x).log_softmax(1))
        (logits[-1] * weights).sum().backward()
    torch.testing.assert_close(logits[1], logits[0], rtol=1e-4, atol=1e-4)
    whole = sum(float(it.grad.norm()) ** 2 for it in own.parameters() if it.grad is not None) ** 0.5
    for (name, one), two in zip(own.named_parameters(), lent.parameters(), strict=True):
        assert (one.grad is None) == (two.grad is None), name
        if one.grad is not None and two.grad is not None:
            assert float((one.grad - two.grad).norm()) <= 1e-4 * float(one.grad.norm()) + 1e-5 * whole, name
    for buffer, other in zip(own.buffers(), lent.buffers(), strict=True):
        torch.testing.assert_close(other, buffer, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", FOREIGN, ids=lambda kind: kind.__name__)
def test_what_has_no_equal_is_trained_by_torch_and_the_reason_names_the_operation(kind: type[nn.Module]) -> None:
    module = read(kind)
    engine, reason = networks.trainer(module, "native")
    assert engine == "torch"
    assert networks.layers(module) is None
    assert kind.__name__ in reason or "(" in reason
    assert reason in networks.told(module, "native")


def test_what_is_pasted_is_the_network() -> None:
    for kind in NETWORKS:
        lowered = networks.layers(read(kind))
        assert lowered
        pasted = eval(in_layers(lowered), vars(__import__("stepladder")))
        assert pasted == lowered


def test_a_number_is_pasted_with_all_its_digits() -> None:
    network = Network([Flatten(), Dropout(1 / 3), Linear(10)])
    assert eval(in_layers(network), vars(__import__("stepladder"))) == network


class Block(nn.Sequential):
    """Convolution, and what follows it."""

    def __init__(self, *after: nn.Module) -> None:
        super().__init__(nn.Conv2d(1, 10, 3, bias=False), *after, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_norm_and_activation_belong_to_the_convolution_they_follow() -> None:
    assert layers_of(type("Own", (Block,), {"__init__": lambda self: Block.__init__(self, nn.BatchNorm2d(10), nn.ReLU())})) == (
        Conv(10), GlobalAvgPool(),
    )  # fmt: skip


def test_the_logarithm_of_the_softmax_at_the_end_belongs_to_the_loss_and_nowhere_else() -> None:
    class Early(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(784, 20), nn.Linear(20, 10)

        def forward(self, x: Tensor) -> Any:
            return F.log_softmax(self.two(F.log_softmax(self.one(x.flatten(1)), dim=1)), dim=1)

    assert "logarithm of a softmax" in networks.read(Early).reason


def test_dropout_that_goes_on_in_evaluation_is_not_taken_for_dropout() -> None:
    class Always(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(784, 10)

        def forward(self, x: Tensor) -> Any:
            return self.fc(F.dropout(x.flatten(1), 0.2))

    assert networks.read(Always).reason == "dropout in the model (Always): it drops activations in evaluation as well"


def test_a_gradient_that_does_not_go_through_an_operation_is_no_layers() -> None:
    class Stopped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(784, 20), nn.Linear(20, 10)

        def forward(self, x: Tensor) -> Any:
            with torch.no_grad():
                x = F.relu(self.one(x.flatten(1)))
            return self.two(x)

    module = networks.read(Stopped)
    assert "no gradient goes through it" in module.reason
    assert module.trained == {"two.weight", "two.bias"}


def test_what_training_alone_computes_is_no_layers() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(784, 10)

        def forward(self, x: Tensor) -> Any:
            x = x.flatten(1)
            return self.fc(x + torch.randn_like(x) if self.training else x)

    assert "it computes something else in training than in evaluation" in networks.read(Noisy).reason


def test_one_weight_used_twice_is_one_weight() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.last = nn.Linear(784, 784), nn.Linear(784, 10)

        def forward(self, x: Tensor) -> Any:
            x = x.flatten(1)
            return self.last(F.relu(self.fc(F.relu(self.fc(x)))))

    module = networks.read(Shared)
    lowered = networks.layers(module)
    assert lowered
    assert [type(layer) for layer in lowered.layers] == [Flatten, Linear, Linear, Linear]
    assert module.parameters == 784 * 784 + 784 + 7850
    lent, own = build(module, native, 0.0, torch.Generator(), seed=0), built(Shared, stream_seed(0, "weights"))
    _assert_same(own, lent, (1, 28, 28))


def test_a_norm_whose_output_nobody_uses_still_moves_its_statistics() -> None:
    class Thrown(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.drop = nn.Conv2d(1, 6, 5, stride=3), nn.BatchNorm2d(6), nn.Dropout(0.1)
            self.last = nn.Linear(384, 10)

        def forward(self, x: Tensor) -> Any:
            x = self.drop(self.conv(x))
            self.norm(x)
            return self.last(x.flatten(1))

    assert networks.read(Thrown).reason == "a batch norm whose output is not used, whose running statistics move all the same"


class Gated(nn.Module):
    """Products: of a map and its sigmoid, of channels and a number for each, with a sigmoid and without."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate, self.other = nn.Conv2d(1, 6, 5, stride=3), nn.Linear(6, 6), nn.Conv2d(6, 6, 1)
        self.last = nn.Linear(6, 10)

    def forward(self, x: Tensor) -> Any:
        x = self.conv(x)
        x = x * torch.sigmoid(x)
        x = x * torch.sigmoid(self.gate(x.mean((2, 3)))).view(-1, 6, 1, 1)
        x = x * F.relu(self.other(F.adaptive_avg_pool2d(x, 1))).expand_as(x)
        return self.last(x.flatten(2).mean(-1))


def test_products_are_layers() -> None:
    module = networks.read(Gated)
    lowered = networks.layers(module)
    assert lowered, module.reason
    assert [type(layer).__name__ for layer in lowered.layers] == [
        "Conv", "Sigmoid", "Multiply", "GlobalAvgPool", "Linear", "Excite", "AvgPool", "Conv", "Multiply",
        "GlobalAvgPool", "Linear",
    ]  # fmt: skip
    for engine in (native, plain):
        lent = build(module, engine, 0.0, torch.Generator(), seed=0)
        _assert_same(built(Gated, stream_seed(0, "weights")), lent, (1, 28, 28))


def test_layers_that_the_native_engine_trains_are_those_that_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    module = read(NETWORKS[0])
    monkeypatch.setattr(networks, "refusal", lambda network, engine: "layer 1: unknown" if engine == "native" else None)
    assert networks.trainer(module, "native") == ("torch", "layer 1: unknown")
    assert networks.trainer(module, "torch") == ("torch", "")
    lowered = networks.layers(module)
    assert isinstance(lowered, Network)
    assert refusal(lowered, "native") is None


def test_a_copy_of_a_lent_module_has_tensors_of_its_own() -> None:
    module = read(NETWORKS[0])
    lent = build(module, native, 0.0, torch.Generator(), seed=0).eval()
    x = torch.randn(4, 1, 28, 28)
    with torch.no_grad():
        before = lent(x)
        other = copy.deepcopy(lent)
        for parameter in lent.parameters():
            parameter.zero_()
        assert torch.equal(other(x), before)
        assert not torch.equal(lent(x), before)


class Layer(nn.Module):
    """Four maps of an image, by a layer that each of those below changes; then ten scores."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.between(F.relu(self.first(x.to(self.first.weight.dtype))))
        scores: Tensor = self.last(x.mean((2, 3)))
        return scores

    def between(self, x: Tensor) -> Tensor:
        made: Tensor = self.norm(x)
        return made


class Filter(Layer):
    sobel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("sobel", torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]).expand(4, 1, 3, 3).contiguous())

    def between(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.sobel, groups=4)


class Scaled(Layer):
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.full((4,), 2.0))

    def between(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.norm.running_mean, self.norm.running_var, self.scale, self.norm.bias, self.training)


class Uncounted(Layer):
    running_mean: Tensor
    running_var: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(4))
        self.register_buffer("running_var", torch.ones(4))

    def between(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.norm.weight, self.norm.bias, self.training)


class Turned(Layer):
    def __init__(self) -> None:
        super().__init__()
        self.last.weight = nn.Parameter(torch.randn(4, 10).t())


class Double(Layer):
    def __init__(self) -> None:
        super().__init__()
        self.double()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Filter, "its weights are not trained"),
        (Scaled, "its weights are not trained"),
        (Uncounted, "its running statistics are not those that a norm of torch keeps"),
        (Turned, "its weights are float32 in an order of their own"),
        (Double, "its weights are float64"),
    ],
)
def test_tensors_that_the_engine_would_take_for_something_else_are_left_to_torch(kind: type[nn.Module], reason: str) -> None:
    assert networks.trainer(networks.read(Layer), "native") == ("native", "")
    module = networks.read(kind)
    assert networks.trainer(module, "native").engine == "torch"
    assert reason in module.reason
    assert build(module, native, 0.0, torch.Generator(), seed=0)(torch.zeros(3, 1, 28, 28)).shape == (3, 10)
