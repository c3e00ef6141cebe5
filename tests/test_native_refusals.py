"""What the native engine refuses: each time an error that names what was found and what was expected, never a copy."""

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from stepladder import Conv, Flatten, GlobalAvgPool, Linear, MaxPool, Network
from stepladder.engine import native, plain
from stepladder.engine.native import EngineError
from stepladder.streams import stream

NETWORK = Network([Conv(6, 3, padding=1, bias=True), MaxPool(2), Conv(5, norm=None), Flatten(), Linear(4)], (2, 9, 7), classes=4)


def build(network: Network) -> nn.Sequential:
    return native.build(network, 0.0, stream(0))


def batch() -> Tensor:
    return torch.randn(11, *NETWORK.input, generator=stream(0))


# Batches and parameters


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (batch().double(), TypeError, "found torch.float64 on cpu, expected torch.float32 on cpu"),
        (batch().to("meta"), TypeError, "found torch.float32 on meta, expected torch.float32 on cpu"),
        (batch()[:, :1], ValueError, r"found shape \(11, 1, 9, 7\), expected n x 2 x 9 x 7"),
        (batch()[0], ValueError, r"found shape \(2, 9, 7\), expected n x 2 x 9 x 7"),
        (batch().mT.contiguous().mT, ValueError, r"found strides \(126, 63, 1, 9\), expected a contiguous tensor"),
        (batch()[::2], ValueError, r"found strides \(252, 63, 7, 1\), expected a contiguous tensor"),
        (batch()[:0], ValueError, "the batch holds no images, expected at least one"),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_a_batch_that_does_not_fit_is_an_error_and_never_copied(
    x: Tensor, error: type[Exception], message: str, training: bool
) -> None:
    with pytest.raises(error, match=message), torch.set_grad_enabled(training):
        build(NETWORK).train(training)(x)


@pytest.mark.parametrize(
    ("name", "change", "error", "message"),
    [
        ("conv1.weight", lambda t: t.mT.contiguous().mT, ValueError, r"conv1.weight: found strides .* contiguous"),
        ("conv1.bias", lambda t: t.double(), TypeError, "conv1.bias: found torch.float64 .* expected torch.float32"),
        ("norm1.weight", lambda t: t[:5], ValueError, r"norm1.weight: found shape \(5,\), expected 6"),
        ("linear1.weight", lambda t: t.view(10, 4), ValueError, r"linear1.weight: found shape \(10, 4\), expected 4 x 10"),
        ("norm1.running_var", lambda t: t.half(), TypeError, "norm1.running_var: found torch.float16"),
        ("norm1.num_batches_tracked", lambda t: t.int(), TypeError, "norm1.num_batches_tracked: found torch.int32"),
        ("norm1.running_mean", lambda t: None, ValueError, "norm1.running_mean: found none, expected"),
    ],
)
def test_a_parameter_or_buffer_that_does_not_fit_is_named(
    name: str, change: Callable[[Tensor], Tensor | None], error: type[Exception], message: str
) -> None:
    module = build(NETWORK)
    child, _, attribute = name.partition(".")
    tensor = change(getattr(module.get_submodule(child), attribute).detach())
    fits = nn.Parameter(tensor) if tensor is not None and attribute in ("weight", "bias") else tensor
    setattr(module.get_submodule(child), attribute, fits)
    with pytest.raises(error, match=message):
        module(batch())


def test_statistics_of_one_value_are_refused_as_torch_does() -> None:
    network = Network([Conv(3, 9), GlobalAvgPool()], (1, 9, 9), classes=3)
    x = torch.zeros(1, 1, 9, 9)
    for module in (build(network), plain.build(network, 0.0, stream(0))):
        with pytest.raises(ValueError, match=r"xpected more than (1|one) value"):
            module(x)
        assert module.eval()(x).shape == (1, 3)


# Loading


MISSING = """
import sys
sys.modules["stepladder.engine._native"] = None
import torch
from stepladder import ladders
from stepladder.engine import native
try:
    native.build(ladders.load("mnist").step("0").network, 0.0, torch.Generator())
except native.EngineError as error:
    print(error)
"""


def test_a_missing_extension_is_an_error_that_says_what_to_do() -> None:
    found = subprocess.run([sys.executable, "-c", MISSING], capture_output=True, text=True, timeout=120)
    assert found.stderr == ""
    assert "the native engine is not built" in found.stdout
    assert 'build it with `make setup`, or choose engine="torch"' in found.stdout


def test_an_unknown_instruction_set_is_an_error_that_names_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPLADDER_ISA", "mmx")
    native.isa.cache_clear()
    try:
        with pytest.raises(EngineError, match=f"STEPLADDER_ISA is 'mmx', expected one .*: .*{native.extension().isas()[-1]}"):
            build(NETWORK)
    finally:
        native.isa.cache_clear()
