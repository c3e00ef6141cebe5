"""Where a module has the tensors that compiled code reads and writes."""

from itertools import accumulate
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stepladder.engine.kernels import Kernel


class Slot(NamedTuple):
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


def places(slots: list[Slot]) -> list[tuple[tuple[int, ...], tuple[int, ...], int]]:
    """Where each parameter's gradient stands in that of all, one behind the other: its shape, its strides and its offset."""
    offsets = accumulate([prod(slot.shape) for slot in slots], initial=0)
    return [(slot.shape, slot.strides, offset) for slot, offset in zip(slots, offsets, strict=False)]


def slots_of(module: nn.Module, found: list[Kernel], names: dict[str, str] | None = None) -> list[list[Slot | None]]:
    """For each layer of the engine weight, bias, scale, shift, mean, variance and batches; None where it has none. `names` are
    those in the module of the tensors of the network's plain module; left out, the module is that."""
    count: dict[str, int] = {}

    def of(kind: str | None, *tensors: str) -> list[Slot | None]:
        if not kind:
            return [None] * len(tensors)
        count[kind] = count.get(kind, 0) + 1
        own = [f"{kind}{count[kind]}.{name}" for name in tensors]
        return [slot_of(module, name if names is None else names.get(name)) for name in own]

    statistics = ("running_mean", "running_var", "num_batches_tracked")
    return [
        [*of(kernel.weights, "weight", "bias"), *of("norm" if kernel.norm else None, "weight", "bias", *statistics)]
        for kernel in found
    ]


def slot_of(module: nn.Module, name: str | None) -> Slot | None:
    """The slot of a module's tensor of that name; None where it has none."""
    if name is None:
        return None
    *path, last = name.split(".")
    tensor = getattr(module.get_submodule(".".join(path)), last, None)
    if tensor is None:
        return None
    dtype = torch.int64 if last == "num_batches_tracked" else torch.float32  # what the engine takes, whatever is there
    return Slot(tuple(path), last, dtype, tuple(tensor.shape), tensor.stride(), isinstance(tensor, nn.Parameter))


def tensor_at(module: nn.Module, slot: Slot) -> Tensor:
    """The tensor of a slot as it is now: it may have been replaced since the last pass."""
    owner: nn.Module | None = module
    for name in slot.path:  # as get_submodule, which splits names and searches attributes: that is a percent of a batch
        owner = None if owner is None else owner._modules.get(name)
    held: dict[str, Any] = {} if owner is None else owner._parameters if slot.trained else owner._buffers
    tensor: Tensor | None = held.get(slot.name)
    if tensor is None:
        raise ValueError(f"{slot}: found none, expected a tensor of shape {slot.shape}")
    return tensor


def address(module: nn.Module, slot: Slot | None) -> int:
    """Where the tensor of a slot is; 0 for no slot."""
    if slot is None:
        return 0
    tensor = tensor_at(module, slot)
    if tensor.dtype is not slot.dtype or tensor.shape != slot.shape or not tensor.is_contiguous() or not tensor.is_cpu:
        check(str(slot), tensor, slot.dtype, slot.shape)
    return tensor.data_ptr()


def check(what: str, tensor: Tensor, dtype: torch.dtype, shape: tuple[int | None, ...]) -> None:
    """Raise TypeError or ValueError unless the tensor is what compiled code may read: it takes nothing else, and copies nothing."""
    if tensor.dtype is not dtype or not tensor.is_cpu:
        raise TypeError(f"{what}: found {tensor.dtype} on {tensor.device}, expected {dtype} on cpu")
    if tensor.dim() != len(shape) or any(side not in (None, found) for side, found in zip(shape, tensor.shape, strict=True)):
        wanted = " x ".join("n" if side is None else str(side) for side in shape)
        raise ValueError(f"{what}: found shape {tuple(tensor.shape)}, expected {wanted}")
    if not tensor.is_contiguous():
        raise ValueError(f"{what}: found strides {tensor.stride()}, expected a contiguous tensor: call .contiguous()")
