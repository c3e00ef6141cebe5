"""`engine="native"`: whole networks forward and backward in C++ (native/), on the CPU.

A network is the `nn.Sequential` of engine/plain.py, with the same parameters and buffers under the same names, whose
forward is one `autograd.Function`: torch's optimizers, losses and state dicts work on it unchanged. The bits are the same
for any number of threads.
"""

import os
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stepladder.engine import plain
from stepladder.engine.kernels import Kernel, lower
from stepladder.spec import Network, UserError


class EngineError(UserError):
    """Why the native engine cannot be loaded; says what can be done instead."""


@cache
def extension() -> Any:
    """The compiled extension; raises EngineError where it is missing or does not load."""
    try:
        from stepladder.engine import _native
    except ImportError as error:
        raise EngineError(
            f'the native engine is not built ({error}): build it with `make setup`, or choose engine="torch"'
        ) from error
    return _native


@cache
def isa() -> str:
    """The instruction set that is used: the fastest this processor has, or the one that STEPLADDER_ISA names."""
    names: list[str] = extension().isas()
    chosen = os.environ.get("STEPLADDER_ISA") or names[0]
    if chosen not in names:
        raise EngineError(f"STEPLADDER_ISA is {chosen!r}, expected one that this processor has: {', '.join(names)}")
    return chosen


_own_threads: int | None = None


def use_threads(count: int) -> None:
    """Networks built and batches made from now on run on `count` threads of the engine's own; torch is left with one.

    (Its small operations gain nothing from more, and its idle threads spin on the cores that these need.) Without this,
    they run on as many as torch has.
    """
    global _own_threads
    _own_threads = count
    torch.set_num_threads(1)


def threads() -> int:
    """On how many threads networks built now will run."""
    return _own_threads or torch.get_num_threads()


@cache
def _workers(count: int) -> Any:
    """Worker threads, shared by all networks of this process that run on as many."""
    return extension().Threads(count)


def build(network: Network, dropout: float, generator: torch.Generator) -> nn.Sequential:
    """The module of a network; raises UserError for a layer that this engine does not know."""
    return Native(network, dropout, generator)


def batch(images: Tensor, chosen: Tensor, maps: Tensor | None, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Images (n, channels, height, width), uint8, at the indices `chosen` (int64), through their maps (chosen, 2, 3) if any.

    Returns (chosen, channels, height, width), float32, resampled once, with each channel's mean and deviation removed. Raises
    IndexError for an index that no image has.
    """
    _check("images", images, torch.uint8, (None, len(mean), None, None))
    _check("chosen", chosen, torch.int64, (None,))
    if maps is not None:
        _check("maps", maps, torch.float32, (len(chosen), 2, 3))
    _, channels, height, width = images.shape
    out = images.new_empty(len(chosen), channels, height, width, dtype=torch.float32)
    extension().batch(
        _workers(threads()), isa(), images.data_ptr(), len(images), chosen.data_ptr(), len(chosen), height, width,
        0 if maps is None else maps.data_ptr(), mean, std, out.data_ptr(),
    )  # fmt: skip
    return out


class Native(nn.Sequential):
    """The plain module of a network, whose forward runs in the native engine."""

    def __init__(self, network: Network, dropout: float, generator: torch.Generator) -> None:
        super().__init__(OrderedDict(plain.build(network, dropout, generator).named_children()))
        self.network, self.dropout, self.generator = network, dropout, generator
        self.threads = threads()
        self.passes = 0
        self.slots = _slots(self, lower(network))
        self.places = _places(list(self.parameters()))
        self._engine: Any = extension().Engine(_compiled(lower(network, dropout)), isa(), _workers(self.threads))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_engine": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy has an engine of its own."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._engine = extension().Engine(_compiled(lower(self.network, self.dropout)), isa(), _workers(self.threads))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes) of a float32 batch (n, channels, height, width)."""
        _check("the batch", x, torch.float32, (None, *self.network.input))
        if not len(x):
            raise ValueError("the batch holds no images, expected at least one")
        tensors = [tuple(_address(self, slot) for slot in layer) for layer in self.slots]
        if not self.training and not torch.is_grad_enabled():
            logits = x.new_empty(len(x), self.network.classes)
            self._engine.infer(x.data_ptr(), len(x), tensors, logits.data_ptr())
            return logits
        key = 0
        if self.training:
            self._check_statistics(len(x))
            key = int(torch.randint(2**62, (), generator=self.generator))
        self.passes += 1
        children = (child for child in self._modules.values() if child is not None)
        # As self.parameters(), which searches the whole tree: that is a percent of a batch.
        parameters = [found for child in children for found in child._parameters.values() if found is not None]
        found: Tensor = _Pass.apply(self, tensors, key, x, *parameters)  # type: ignore[no-untyped-call]
        return found

    def _check_statistics(self, images: int) -> None:
        """Raise ValueError as torch does where a batch's statistics would be those of one value."""
        if images == 1 and (layer := self.network.point_norm):
            raise ValueError(f"{layer}: expected more than one value a channel when training, got one image of 1 x 1")


class _Pass(torch.autograd.Function):
    """Forward and backward of a whole network."""

    @staticmethod
    def forward(ctx: Any, module: Native, tensors: list[Any], key: int, x: Tensor, *parameters: Tensor) -> Tensor:
        logits = x.new_empty(len(x), module.network.classes)
        module._engine.forward(x.data_ptr(), len(x), tensors, module.training, key, logits.data_ptr())
        ctx.module, ctx.number, ctx.batch = module, module.passes, x.shape
        return logits

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.number != ctx.module.passes:
            raise RuntimeError(
                "the activations that this backward needs are gone: the native engine keeps those of the last forward pass, for "
                'one backward. Call forward again, or choose engine="torch"'
            )
        ctx.module.passes += 1  # the activations have become gradients: a second backward has nothing to go on
        flat = gradient.new_empty(ctx.module.network.parameters)
        x = gradient.new_empty(ctx.batch) if ctx.needs_input_grad[3] else None
        gradient = gradient.contiguous()  # of a few numbers; its layout is autograd's choice, not the caller's
        ctx.module._engine.backward(gradient.data_ptr(), flat.data_ptr(), 0 if x is None else x.data_ptr())
        return None, None, None, x, *(flat.as_strided(*place) for place in ctx.module.places)


def _compiled(found: list[Kernel]) -> list[Any]:
    """The compiled engine's layers."""
    make = extension().layer
    layers = []
    for kernel in found:
        has = [kernel.depthwise, kernel.bias, kernel.norm, kernel.relu]
        layers.append(make(kernel.operation, kernel.input, kernel.output, kernel.window, has, kernel.dropout, kernel.source))
    return layers


def _places(parameters: list[nn.Parameter]) -> list[tuple[tuple[int, ...], tuple[int, ...], int]]:
    """Where each parameter's gradient stands in that of all, one behind the other: its shape, its strides and its offset."""
    offsets = accumulate([parameter.numel() for parameter in parameters], initial=0)
    return [(tuple(found.shape), found.stride(), offset) for found, offset in zip(parameters, offsets, strict=False)]


class _Slot(NamedTuple):
    """A parameter or buffer that compiled code reads: the child that holds it, its name there, and what it must be."""

    child: str
    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]


def _slots(module: nn.Sequential, found: list[Kernel]) -> list[list[_Slot | None]]:
    """For each layer of the engine weight, bias, scale, shift, mean, variance and batches; None where it has none."""
    count: dict[str, int] = {}

    def slots(kind: str | None, *names: str) -> list[_Slot | None]:
        if not kind:
            return [None] * len(names)
        count[kind] = count.get(kind, 0) + 1
        child = f"{kind}{count[kind]}"
        tensors = ((name, getattr(module.get_submodule(child), name, None)) for name in names)
        return [None if tensor is None else _Slot(child, name, tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors]

    statistics = ("running_mean", "running_var", "num_batches_tracked")
    return [
        [*slots(kernel.weights, "weight", "bias"), *slots("norm" if kernel.norm else None, "weight", "bias", *statistics)]
        for kernel in found
    ]


def _address(module: nn.Sequential, slot: _Slot | None) -> int:
    """Where the tensor of a slot is now: it may have been replaced since the last pass. 0 for no slot."""
    if slot is None:
        return 0
    child = module._modules[slot.child]
    assert child is not None
    tensor = child._parameters.get(slot.name, child._buffers.get(slot.name))
    if tensor is None:
        raise ValueError(f"{slot.child}.{slot.name}: found none, expected a tensor of shape {slot.shape}")
    if tensor.dtype is not slot.dtype or tensor.shape != slot.shape or not tensor.is_contiguous() or not tensor.is_cpu:
        _check(f"{slot.child}.{slot.name}", tensor, slot.dtype, slot.shape)
    return tensor.data_ptr()


def _check(what: str, tensor: Tensor, dtype: torch.dtype, shape: tuple[int | None, ...]) -> None:
    """Raise TypeError or ValueError unless the tensor is what compiled code may read: it takes nothing else, and copies nothing."""
    if tensor.dtype is not dtype or not tensor.is_cpu:
        raise TypeError(f"{what}: found {tensor.dtype} on {tensor.device}, expected {dtype} on cpu")
    if tensor.dim() != len(shape) or any(side not in (None, found) for side, found in zip(shape, tensor.shape, strict=True)):
        wanted = " x ".join("n" if side is None else str(side) for side in shape)
        raise ValueError(f"{what}: found shape {tuple(tensor.shape)}, expected {wanted}")
    if not tensor.is_contiguous():
        raise ValueError(f"{what}: found strides {tensor.stride()}, expected a contiguous tensor: call .contiguous()")
