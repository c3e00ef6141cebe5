"""`engine="native"`: whole networks forward and backward in C++ (native/), on the CPU.

A network is the `nn.Sequential` of engine/plain.py, with the same parameters and buffers under the same names, whose
forward is one `autograd.Function`: torch's optimizers, losses and state dicts work on it unchanged. The bits are the same
for any number of threads.
"""

import os
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache, partial
from itertools import accumulate
from math import prod
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


def lend(module: nn.Module, network: Network, names: Sequence[str], dropout: float, generator: torch.Generator) -> None:
    """Make the forward of a module that of a network which computes the same, here, on the module's own tensors: `names` are
    those of the tensors in the state dict of the network's plain module, in its order."""
    state = plain.build(network, dropout, generator).state_dict()
    slots = _slots(module, lower(network, dropout), dict(zip(state, names, strict=True)))
    vars(module)["forward"] = partial(_Run(network, dropout, generator, slots), module)


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
        self.run = _Run(network, dropout, generator, _slots(self, lower(network, dropout)))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes) of a float32 batch (n, channels, height, width)."""
        return self.run(self, x)


class _Run:
    """A network in the native engine, and where a module has its tensors."""

    def __init__(self, network: Network, dropout: float, generator: torch.Generator, slots: "list[list[_Slot | None]]") -> None:
        self.network, self.dropout, self.generator = network, dropout, generator
        self.threads = threads()
        self.passes = 0
        self.slots = slots
        self.trained = [slot for layer in slots for slot in layer if slot and slot.trained]
        self.places = _places(self.trained)
        self.engine: Any = self._compiled()

    def _compiled(self) -> Any:
        return extension().Engine(_compiled(lower(self.network, self.dropout)), isa(), _workers(self.threads))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"engine": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy has an engine of its own."""
        self.__dict__.update(state)
        self.engine = self._compiled()

    def __call__(self, module: nn.Module, x: Tensor) -> Tensor:
        """Logits (n, classes) of a float32 batch (n, channels, height, width), by the tensors of the module."""
        _check("the batch", x, torch.float32, (None, *self.network.input))
        if not len(x):
            raise ValueError("the batch holds no images, expected at least one")
        tensors = [tuple(_address(module, slot) for slot in layer) for layer in self.slots]
        if not module.training and not torch.is_grad_enabled():
            logits = x.new_empty(len(x), self.network.classes)
            self.engine.infer(x.data_ptr(), len(x), tensors, logits.data_ptr())
            return logits
        key = 0
        if module.training:
            self._check_statistics(len(x))
            key = int(torch.randint(2**62, (), generator=self.generator))
        self.passes += 1
        parameters = [_tensor(module, slot) for slot in self.trained]
        found: Tensor = _Pass.apply(self, tensors, key, module.training, x, *parameters)  # type: ignore[no-untyped-call]
        return found

    def _check_statistics(self, images: int) -> None:
        """Raise ValueError as torch does where a batch's statistics would be those of one value."""
        if images == 1 and (layer := self.network.point_norm):
            raise ValueError(f"{layer}: expected more than one value a channel when training, got one image of 1 x 1")


class _Pass(torch.autograd.Function):
    """Forward and backward of a whole network."""

    @staticmethod
    def forward(ctx: Any, run: _Run, tensors: list[Any], key: int, training: bool, x: Tensor, *parameters: Tensor) -> Tensor:
        logits = x.new_empty(len(x), run.network.classes)
        run.engine.forward(x.data_ptr(), len(x), tensors, training, key, logits.data_ptr())
        ctx.run, ctx.number, ctx.batch = run, run.passes, x.shape
        return logits

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        run = ctx.run
        if ctx.number != run.passes:
            raise RuntimeError(
                "the activations that this backward needs are gone: the native engine keeps those of the last forward pass, for "
                'one backward. Call forward again, or choose engine="torch"'
            )
        run.passes += 1  # the activations have become gradients: a second backward has nothing to go on
        flat = gradient.new_empty(run.network.parameters)
        x = gradient.new_empty(ctx.batch) if ctx.needs_input_grad[4] else None
        gradient = gradient.contiguous()  # of a few numbers; its layout is autograd's choice, not the caller's
        run.engine.backward(gradient.data_ptr(), flat.data_ptr(), 0 if x is None else x.data_ptr())
        return None, None, None, None, x, *(flat.as_strided(*place) for place in run.places)


def _compiled(found: list[Kernel]) -> list[Any]:
    """The compiled engine's layers."""
    make = extension().layer
    layers = []
    for kernel in found:
        has = [kernel.bias, kernel.norm, kernel.relu]
        sizes = (kernel.input, kernel.output, kernel.window, kernel.groups)
        layer = make(kernel.operation, *sizes, has, kernel.dropout, kernel.source)
        layer.epsilon, layer.momentum, layer.drops_channels = kernel.epsilon, kernel.momentum, kernel.drops_channels
        layer.parameter, layer.scales = kernel.parameter, kernel.scales
        layers.append(layer)
    return layers


class _Slot(NamedTuple):
    """A parameter or buffer that compiled code reads: the module that holds it, by the names of the parts on the way there, its
    name there, what it must be, and whether it is trained."""

    path: tuple[str, ...]
    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    trained: bool

    def __str__(self) -> str:
        return ".".join((*self.path, self.name))


def _places(slots: list[_Slot]) -> list[tuple[tuple[int, ...], tuple[int, ...], int]]:
    """Where each parameter's gradient stands in that of all, one behind the other: its shape, its strides and its offset."""
    offsets = accumulate([prod(slot.shape) for slot in slots], initial=0)
    return [(slot.shape, slot.strides, offset) for slot, offset in zip(slots, offsets, strict=False)]


def _slots(module: nn.Module, found: list[Kernel], names: dict[str, str] | None = None) -> list[list[_Slot | None]]:
    """For each layer of the engine weight, bias, scale, shift, mean, variance and batches; None where it has none. `names` are
    those in the module of the tensors of the network's plain module; left out, the module is that."""
    count: dict[str, int] = {}

    def slots(kind: str | None, *tensors: str) -> list[_Slot | None]:
        if not kind:
            return [None] * len(tensors)
        count[kind] = count.get(kind, 0) + 1
        own = [f"{kind}{count[kind]}.{name}" for name in tensors]
        return [_slot(module, name if names is None else names.get(name)) for name in own]

    statistics = ("running_mean", "running_var", "num_batches_tracked")
    return [
        [*slots(kernel.weights, "weight", "bias"), *slots("norm" if kernel.norm else None, "weight", "bias", *statistics)]
        for kernel in found
    ]


def _slot(module: nn.Module, name: str | None) -> _Slot | None:
    """The slot of a module's tensor of that name; None where it has none."""
    if name is None:
        return None
    *path, last = name.split(".")
    tensor = getattr(module.get_submodule(".".join(path)), last, None)
    if tensor is None:
        return None
    return _Slot(tuple(path), last, tensor.dtype, tuple(tensor.shape), tensor.stride(), isinstance(tensor, nn.Parameter))


def _tensor(module: nn.Module, slot: _Slot) -> Tensor:
    """The tensor of a slot as it is now: it may have been replaced since the last pass."""
    owner: nn.Module | None = module
    for name in slot.path:  # as get_submodule, which splits names and searches attributes: that is a percent of a batch
        owner = None if owner is None else owner._modules.get(name)
    held: dict[str, Any] = {} if owner is None else owner._parameters if slot.trained else owner._buffers
    tensor: Tensor | None = held.get(slot.name)
    if tensor is None:
        raise ValueError(f"{slot}: found none, expected a tensor of shape {slot.shape}")
    return tensor


def _address(module: nn.Module, slot: _Slot | None) -> int:
    """Where the tensor of a slot is; 0 for no slot."""
    if slot is None:
        return 0
    tensor = _tensor(module, slot)
    if tensor.dtype is not slot.dtype or tensor.shape != slot.shape or not tensor.is_contiguous() or not tensor.is_cpu:
        _check(str(slot), tensor, slot.dtype, slot.shape)
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
