"""Networks drawn for the native engine, and their twin: the plain module in double precision.

Where a ReLU or a maximum stands within rounding of its kink, single and double precision may rightly take different sides,
and their gradients differ. And a norm loses digits where its input's deviation is small beside its mean. So the inputs of an
example are the first of a few drawn ones where neither happens. How far rounding goes is measured on the plain module, in
single and in double precision: the native engine has no part in the choice.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import hypot, prod
from typing import NamedTuple

import numpy as np
import torch
from conftest import joins, shape_after
from hypothesis import reject
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from stepladder import (
    ELU,
    GELU,
    AvgPool,
    BatchNorm,
    BlurPool,
    Conv,
    Excite,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    HardSwish,
    LayerNorm,
    LeakyReLU,
    Linear,
    MaxPool,
    Network,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Tanh,
)
from stepladder.engine import native, plain
from stepladder.spec import Layer, Shape
from stepladder.spec.layers import normed
from stepladder.streams import stream

WINDOWS = Network(
    [
        *(
            Conv(6, 4, 2, padding=1),
            MaxPool(3, 2, padding=1),
            Conv(6, dilation=2, padding=2, groups=2),
            Conv(9, 1, padding=2, groups=3),
        ),
        *(AvgPool(3, 1, padding=1), Conv(9, 2, 3, dilation=5, padding=3, bias=True), BlurPool(3, 3), Flatten(), Linear(10)),
    ],
    input=(2, 31, 26),
)
"""Even, dilated, grouped and far strides, padding beyond the kernel, poolings whose windows overlap."""

# Drawn networks


@st.composite
def networks(draw: st.DrawFn, norms: bool = True) -> Network:
    """Up to five convolutions, poolings and joins on images of any shape, then up to two linear layers; without norms and
    what divides on request."""
    image: tuple[int, int, int] = draw(st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20)))
    layers: list[Layer] = []
    shapes: list[Shape] = [image]
    for _ in range(draw(st.integers(0, 5))):
        ends = [end for end in joins(shapes) if norms or not _divides(end)]
        kind = draw(st.sampled_from(["convolution", "convolution", "pooling", "pointwise", *["join"] * bool(ends)]))
        found = {
            "convolution": _convolutions(shapes[-1], norms),
            "pooling": _poolings(shapes[-1], norms),
            "pointwise": _pointwise(shapes[-1], norms),
        }
        for layer in draw(st.sampled_from(ends)) if kind == "join" else [draw(found[kind])]:
            layers.append(layer)
            shapes.append(shape_after(layer, shapes))
    flattening: list[Layer] = [GlobalAvgPool(), Flatten()] if norms else [Flatten()]
    layers.append(draw(st.sampled_from(flattening)))
    (features,) = shape_after(layers[-1], shapes)
    linear = st.builds(Linear, st.integers(2, 20), bias=st.booleans(), activation=st.sampled_from(["relu", None]))
    for layer in draw(st.lists(linear, min_size=0 if 2 <= features <= 100 else 1, max_size=2)):
        if norms and draw(st.integers(0, 3)) == 3:
            layers.append(draw(_pointwise((features,), norms)))
        layers.append(layer)
        features = layer.features
    return Network(layers, image, classes=features)


def _divides(layers: Sequence[Layer]) -> bool:
    return any(normed(layer) or isinstance(layer, GlobalAvgPool | Excite) for layer in layers)


@st.composite
def _convolutions(draw: st.DrawFn, shape: Sequence[int], norms: bool) -> Layer:
    channels, *sides = shape
    # Half of them have an odd kernel without gaps, as most networks do.
    kernels, dilations = draw(st.sampled_from([((1, 3, 5, 7), (1,)), ((2, 3, 4, 6), (1, 2, 3))]))
    kernel, dilation = draw(st.sampled_from(kernels)), draw(st.sampled_from(dilations))
    reach = (kernel - 1) * dilation + 1
    least = max(0, (reach - min(sides) + 1) // 2)
    padding = draw(st.integers(least, max(least, reach // 2)) | st.integers(least, max(least, reach + 1)))
    groups = draw(st.sampled_from([1, 1, *(each for each in range(2, channels + 1) if channels % each == 0)]))
    return Conv(
        groups * draw(st.integers(1, 20 // groups)),
        kernel,
        stride=draw(st.integers(1, 2) | st.integers(1, 4)),
        padding=padding,
        groups=groups,
        bias=draw(st.booleans()),
        norm=draw(st.sampled_from(["batch", None])) if norms else None,
        activation=draw(st.sampled_from(["relu", None])),
        dilation=dilation,
    )


def _poolings(shape: Sequence[int], averages: bool) -> st.SearchStrategy[Layer]:
    blurs = st.builds(BlurPool, st.sampled_from([3, 5] if min(shape[1:]) > 1 else [3]), st.integers(1, 3))
    poolings = _windows(shape, MaxPool)
    return poolings | _windows(shape, AvgPool) | blurs if averages else poolings


@st.composite
def _windows(draw: st.DrawFn, shape: Sequence[int], kind: type[MaxPool | AvgPool]) -> Layer:
    """A pooling whose windows stand side by side, overlap, lie apart or reach over the border."""
    if draw(st.booleans()):
        return kind(draw(st.integers(1, min(3, *shape[1:]))))
    kernel = draw(st.integers(1, 5))
    least = max(0, (kernel - min(shape[1:]) + 1) // 2)
    if least > kernel // 2:
        return kind(1)
    return kind(kernel, draw(st.integers(1, 4)), draw(st.integers(least, kernel // 2)))


ACTIVATIONS: list[Layer] = [
    *(LeakyReLU(0.1), PReLU(), PReLU(per_channel=True), ReLU6(), ELU(0.7)),
    *(SiLU(), HardSwish(), GELU(), Tanh(), Sigmoid()),
]


def _pointwise(shape: Shape, norms: bool) -> st.SearchStrategy[Layer]:
    if not norms:
        return st.sampled_from([ReLU(), ReLU6()])
    groups = [count for count in range(1, shape[0] + 1) if shape[0] % count == 0 and count < prod(shape)]
    alone: list[Layer] = [*map(GroupNorm, groups), *[LayerNorm()] * (prod(shape) > 1)]
    batch: list[Layer] = [BatchNorm(), BatchNorm(1e-3, 0.3)]
    kinds: list[list[Layer]] = [[ReLU()], batch, batch, ACTIVATIONS, ACTIVATIONS, *[alone] * bool(alone)]
    return st.sampled_from(kinds).flatmap(st.sampled_from)


@st.composite
def batches(draw: st.DrawFn, network: Network) -> int:
    """From 1 to 40 images, fewer for a network that is large."""
    return draw(st.integers(1, max(1, min(40, 200_000 // sum(map(prod, network.shapes()))))))


# Modules to compare


@contextmanager
def threads(count: int) -> Iterator[None]:
    """As many as the modules built and the batches made in here run on."""
    before = native._own_threads
    native.use_threads(count)
    try:
        yield
    finally:
        native._own_threads = before


def prepare(module: nn.Module, seed: int) -> None:
    """Weights as in training; norms with scales, shifts and running statistics that show, some scales negative; so for slopes."""
    plain.initialise(module, seed)
    for name, norm in module.named_modules():
        generator = stream(seed, "norm", name)
        if isinstance(norm, nn.PReLU):
            norm.weight.data.uniform_(-0.5, 0.5, generator=generator)
        if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
            continue
        norm.weight.data.uniform_(0.5, 1.5, generator=generator)
        norm.bias.data.uniform_(-0.5, 0.5, generator=generator)
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.uniform_(-0.5, 0.5, generator=generator)
            norm.running_var.uniform_(0.5, 1.5, generator=generator)
        norm.weight.data[torch.rand(norm.weight.shape, generator=generator) < 0.3] *= -1


class Masked(nn.Module):
    """Dropout whose draws are known: (n, elements), false where an activation is dropped."""

    def __init__(self, kept: NDArray[np.bool_], share: float) -> None:
        super().__init__()
        self.kept, self.share = torch.from_numpy(kept), share

    def forward(self, x: Tensor) -> Tensor:
        return x * self.kept.view(x.shape) / (1 - self.share) if self.training else x


def twin(network: Network, seed: int, dtype: torch.dtype, masks: Sequence[Masked] = ()) -> plain.Chain:
    """The plain module in a precision, with `masks` in place of its dropout."""
    module = plain.build(network, 0.5 if masks else 0.0, torch.Generator())
    prepare(module, seed)
    left = iter(masks)
    for name, child in module.named_children():
        if isinstance(child, nn.ReLU):
            child.inplace = False
        if isinstance(child, plain.Dropout | plain.Dropout2d):
            setattr(module, name, next(left))
    assert next(left, None) is None
    return module.to(dtype)


class Outcome(NamedTuple):
    """What a module makes of a batch: logits, the gradients of its parameters and of its input "x", and its buffers after."""

    logits: Tensor
    gradients: dict[str, Tensor]
    buffers: dict[str, Tensor]


def outcome(module: nn.Module, x: Tensor, cotangent: Tensor, training: bool = True) -> Outcome:
    """Forward and backward; `cotangent` is the gradient that enters at the logits."""
    module.train(training)
    leaf = x.detach().clone().requires_grad_()
    logits = module(leaf)
    logits.backward(cotangent.to(logits.dtype))
    tensors = dict(module.named_parameters()) | {"x": leaf}
    # torch gives none to what no logit depends on
    gradients = {name: torch.zeros_like(tensor) if tensor.grad is None else tensor.grad for name, tensor in tensors.items()}
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    return Outcome(logits.detach(), gradients, buffers)


# Inputs without kinks


class Example(NamedTuple):
    """Images, the gradient that enters at the logits, and the seed of the weights."""

    x: Tensor
    cotangent: Tensor
    seed: int


def example(network: Network, images: int, masks: Sequence[Masked] = (), training: bool = True) -> Example:
    """The first of ten drawn examples that stands clear of kinks; hypothesis draws another network where none does."""
    for seed in range(10):
        x = torch.randn(images, *network.input, generator=stream(seed, "x"))
        single, double = (twin(network, seed, dtype, masks).train(training) for dtype in (torch.float32, torch.float64))
        if _is_clear(single, double, x, training):
            return Example(x, torch.randn(images, network.classes, generator=stream(seed, "cotangent")), seed)
    return reject()


@torch.no_grad()
def _is_clear(single: plain.Chain, double: plain.Chain, x: Tensor, training: bool) -> bool:
    rough, exact = x, x.double()
    for second, roughly, exactly in zip(double, single.through(rough), double.through(exact), strict=True):
        rounding = 8 * (rough - exact).abs().max()
        if any(_within(exact - kink, rounding) for kink in _kinks(second)):
            return False
        if isinstance(second, nn.MaxPool2d) and _within(_leads(exact, second), rounding):
            return False
        if isinstance(second, nn.BatchNorm1d | nn.BatchNorm2d) and training:
            variance, mean = torch.var_mean(exact, [axis for axis in range(exact.dim()) if axis != 1], correction=0)
            if (mean.square() > 25 * variance).any():
                return False
        rough, exact = roughly, exactly
    return True


def _kinks(module: nn.Module) -> tuple[float, ...]:
    """Where an activation's derivative jumps."""
    match module:
        case nn.ReLU() | nn.LeakyReLU() | nn.PReLU() | nn.ELU():
            return (0,)
        case nn.ReLU6():
            return (0, 6)
        case nn.Hardswish():
            return (-3, 3)
    return ()


def _within(distances: Tensor, rounding: Tensor) -> bool:
    """Whether any is near zero; what is exactly zero in double precision is so in single precision too."""
    return bool(((distances != 0) & (distances.abs() < rounding)).any())


def _leads(x: Tensor, pool: nn.MaxPool2d) -> Tensor:
    """By how much the maximum of each window stands out."""
    side, step, padding = pool.kernel_size, pool.stride, pool.padding
    assert isinstance(side, int)
    assert isinstance(step, int)
    assert isinstance(padding, int)
    around = nn.functional.pad(x, [padding] * 4, value=-torch.inf)
    windows = around.unfold(2, side, step).unfold(3, side, step).flatten(4)
    return windows.topk(2).values.diff() if side > 1 else torch.zeros(1)


# Comparison


def distance(found: Tensor, expected: Tensor) -> float:
    """Of two tensors, in norm."""
    return float((found.double() - expected.double()).norm())


def assert_agrees(found: Outcome, expected: Outcome, rough: Outcome) -> None:
    """Logits, gradients and buffers against those of the twin in double precision.

    Each tensor's gradient within 1e-4 in norm, all parameters' together within 1e-5. But a norm takes away what changes its
    statistics: of a layer before it, little of the gradient may be left (of a single weight, nothing), with the rounding of
    what was there. So 3e-6 of the whole gradient are allowed on top, and ten times what `rough` is off: the same outcome of
    the plain module in single precision.
    """
    logits_rounding = 10 * distance(rough.logits, expected.logits)
    assert distance(found.logits, expected.logits) <= 1e-5 * max(1.0, expected.logits.norm().item()) + logits_rounding
    assert found.gradients.keys() == expected.gradients.keys()
    apart, rounding = (
        {name: of.gradients[name].double() - gradient for name, gradient in expected.gradients.items()} for of in (found, rough)
    )
    allowed = 3e-6 * _norm(expected.gradients) + 10 * _norm(rounding)
    for name, gradient in expected.gradients.items():
        assert apart[name].norm().item() <= 1e-4 * gradient.norm().item() + allowed, name
    del apart["x"]
    assert _norm(apart) <= 1e-5 * _norm({name: expected.gradients[name] for name in apart}) + 10 * _norm(rounding)
    for name, buffer in expected.buffers.items():
        assert distance(found.buffers[name], buffer) <= 1e-5 * max(1.0, buffer.double().norm().item()), name


def assert_bits_alike(network: Network) -> None:
    """The gradients of 100 images, whatever the number of threads."""
    found = []
    for count in (1, 3):
        with threads(count):
            module = native.build(network, 0.0, torch.Generator())
        prepare(module, 0)
        x = torch.randn(100, *network.input, generator=torch.Generator().manual_seed(0))
        found.append(outcome(module, x, torch.ones(100, network.classes)))
    assert all(torch.equal(gradient, found[1].gradients[name]) for name, gradient in found[0].gradients.items())


def _norm(tensors: Mapping[str, Tensor]) -> float:
    """Of all numbers of these tensors together."""
    return hypot(*(tensor.norm().item() for tensor in tensors.values()))
