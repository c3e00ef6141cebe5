"""The native module among torch's own tools, what it refuses, and passes that do not follow one another as in training."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from native_twin import prepare
from torch import Tensor, nn
from torch.nn import functional

from stepladder import GELU, Conv, Flatten, GlobalAvgPool, Linear, MaxPool, Network
from stepladder.engine import native, plain
from stepladder.spec import Layer
from stepladder.streams import stream

LAYERS = (MaxPool(2), Conv(5, norm=None), Flatten(), Linear(4))
NETWORK = Network([Conv(6, 3, padding=1, bias=True), *LAYERS], (2, 9, 7), classes=4)
OTHER = Network([Conv(6, 3, padding=1), *LAYERS], (2, 9, 7), classes=4)


def build(network: Network = NETWORK, dropout: float = 0.0, seed: int = 0) -> nn.Sequential:
    module = native.build(network, dropout, stream(seed, "dropout"))
    prepare(module, seed)
    return module


def batch(images: int = 11, seed: int = 0) -> Tensor:
    return torch.randn(images, *NETWORK.input, generator=stream(seed, "x"))


def step(module: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
    labels = torch.randint(4, (11,), generator=stream(number, "labels"))
    optimizer.zero_grad()
    functional.cross_entropy(module(batch(seed=number)), labels).backward()
    optimizer.step()


def trained(module: nn.Module, *numbers: int) -> nn.Module:
    """After one step of stochastic gradient descent for each number."""
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for number in numbers:
        step(module, optimizer, number)
    return module


def same(first: nn.Module, second: nn.Module) -> bool:
    """Whether parameters and buffers have the same names, order and bits."""
    states = first.state_dict(), second.state_dict()
    return list(states[0]) == list(states[1]) and all(torch.equal(states[0][name], states[1][name]) for name in states[0])


# Torch's own tools


def test_state_dicts_go_both_ways() -> None:
    module, twin = build(), plain.build(NETWORK, 0.0, stream(0))
    twin.load_state_dict(module.state_dict())
    assert same(module, twin)
    trained(twin, 1)
    assert not same(module, twin)
    module.load_state_dict(twin.state_dict())
    assert same(module, twin)
    torch.testing.assert_close(module.eval()(batch()), twin.eval()(batch()))


@pytest.mark.parametrize("make", [lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, fused=True), torch.optim.AdamW])
def test_torchs_optimizers_train_it(make: Callable[[object], torch.optim.Optimizer]) -> None:
    module, twin = build(OTHER), plain.build(OTHER, 0.0, stream(0))  # no bias whose gradient torch leaves as noise
    twin.load_state_dict(module.state_dict())
    optimizers = make(module.parameters()), make(twin.parameters())
    for number in range(5):
        for trainee, optimizer in zip((module, twin), optimizers, strict=True):
            step(trainee, optimizer, number)
    for tensor, other in zip(module.state_dict().values(), twin.state_dict().values(), strict=True):
        torch.testing.assert_close(tensor, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_a_copy_trains_on_as_the_original_does_and_apart_from_it(duplicate: Callable[[nn.Module], nn.Module]) -> None:
    module = trained(build(dropout=0.2), 1)
    copied = duplicate(module)
    assert same(copied, module)
    before = copy.deepcopy(module.state_dict())
    trained(copied, 2)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    trained(module, 2)  # with the same dropout: the copy has a generator of its own in the same state
    assert same(copied, module)


def test_parameters_may_be_replaced_between_passes() -> None:
    module = build()
    logits = module(batch())
    module.get_submodule("linear1").register_parameter("bias", nn.Parameter(torch.full((4,), 9.0)))
    torch.testing.assert_close(module(batch()) - logits, (9 - build().get_parameter("linear1.bias")).expand(11, 4))


def test_defaults_of_torch_are_not_inherited() -> None:
    module, x = build(), batch().requires_grad_()
    torch.set_default_dtype(torch.float64)
    try:
        logits = module(x)
        logits.sum().backward()
        with torch.no_grad():
            inferred = module.eval()(x)
        images = native.batch(torch.zeros(1, 1, 2, 2, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64), None, [0.5], [0.5])
    finally:
        torch.set_default_dtype(torch.float32)
    assert x.grad is not None
    assert {logits.dtype, inferred.dtype, images.dtype, x.grad.dtype} == {torch.float32}
    assert torch.equal(images, torch.full((1, 1, 2, 2), -1.0))
    assert torch.equal(logits, build()(batch()))


def test_a_network_without_parameters_passes_gradients_to_its_input() -> None:
    module, x = native.build(Network([Flatten()], (1, 2, 3), classes=6), 0.0, stream(0)), torch.randn(9, 1, 2, 3).requires_grad_()
    logits = module(x)
    logits.sum().backward()
    assert x.grad is not None
    assert torch.equal(logits, x.flatten(1))
    assert torch.equal(x.grad, torch.ones_like(x))


# Passes in another order


def gradients(module: nn.Module) -> list[Tensor]:
    return [parameter.grad for parameter in module.parameters() if parameter.grad is not None]


def test_networks_trained_in_turn_have_the_bits_of_each_trained_alone() -> None:
    first, second = build(dropout=0.2, seed=1), build(OTHER, 0.3, seed=2)
    for number in range(4):
        trained(first, number)
        trained(second, number)
    assert same(first, trained(build(dropout=0.2, seed=1), *range(4)))
    assert same(second, trained(build(OTHER, 0.3, seed=2), *range(4)))


def test_evaluating_between_forward_and_backward_leaves_the_gradients_as_they_are() -> None:
    module, undisturbed = build(dropout=0.2), build(dropout=0.2)
    undisturbed(batch()).sum().backward()
    logits = module(batch())
    with torch.no_grad():
        module.eval()(batch(50, seed=1))
    build(dropout=0.2, seed=3)(batch())  # another network
    module.train()
    logits.sum().backward()
    assert all(torch.equal(*pair) for pair in zip(gradients(module), gradients(undisturbed), strict=True))


@pytest.mark.parametrize("first", [MaxPool(2), GELU()])
def test_a_backward_leaves_nothing_to_the_statistics_of_the_next_forward(first: Layer) -> None:
    network = Network([first, Conv(5, 3), GlobalAvgPool()], (2, 9, 9), classes=5)
    module, undisturbed = build(network), build(network)
    x = torch.randn(11, 2, 9, 9, generator=stream(0))
    (module(x) * 1e6).sum().backward()
    undisturbed(x)
    assert torch.equal(module(x), undisturbed(x))
    assert same(module, undisturbed)


def test_backward_twice_is_an_error_that_says_why() -> None:
    logits = build()(batch()).sum()
    logits.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match=r"activations .* gone.*one backward.*forward again.*engine=\"torch\""):
        logits.backward()


@pytest.mark.parametrize("training", [True, False])
def test_backward_after_another_forward_is_an_error_and_the_later_one_is_not(training: bool) -> None:
    module = build().train(training)
    first, second = module(batch()).sum(), module(batch()).sum()
    with pytest.raises(RuntimeError, match="keeps those of the last forward pass"):
        first.backward()
    second.backward()
    expected = build().train(training)
    expected(batch()).sum().backward()
    assert all(torch.equal(*pair) for pair in zip(gradients(module), gradients(expected), strict=True))


def test_an_exception_between_forward_and_backward_leaves_the_module_usable() -> None:
    def interrupted(logits: Tensor) -> None:
        raise KeyboardInterrupt

    module, undisturbed = build(), build()
    with pytest.raises(KeyboardInterrupt):
        interrupted(module(batch()))
    with pytest.raises(TypeError):
        module(batch().double())
    undisturbed.load_state_dict(module.state_dict())
    assert same(trained(module, 1, 2), trained(undisturbed, 1, 2))


def test_only_what_asks_for_a_gradient_gets_one() -> None:
    module, x = build(), batch()
    module.get_parameter("conv2.weight").requires_grad_(False)
    module(x).sum().backward()
    assert module.get_parameter("conv2.weight").grad is None
    assert x.grad is None
    assert module.get_parameter("conv1.weight").grad is not None


def test_a_pass_that_another_thread_overtook_is_refused_in_backward() -> None:
    module = build()
    run: Any = module.run
    engine, first = run.engine, True

    class Overtaken:
        def forward(self, *given: object) -> None:
            nonlocal first
            engine.forward(*given)
            if first:
                first = False
                module(batch())

    run.engine = Overtaken()
    logits = module(batch())
    with pytest.raises(RuntimeError, match="activations that this backward needs are gone"):
        logits.sum().backward()


def test_a_network_built_with_another_type_of_numbers_is_refused() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        module = build()
    finally:
        torch.set_default_dtype(torch.float32)
    with pytest.raises(TypeError, match=r"conv1.weight: found torch.float64 on cpu, expected torch.float32"):
        module(batch())
