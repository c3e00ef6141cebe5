"""What may be given to be traced: modules that can run, in wrappers or not; they stay as they were."""

import inspect
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from stepladder.tracing.call import TraceError


def unwrapped(module: nn.Module) -> nn.Module:
    """What wrappers of torch are wrapped around: `DataParallel`, `DistributedDataParallel`, `torch.compile`."""
    while name := _wraps(module):
        module = getattr(module, name)
    return module


def _wraps(module: Any) -> str:
    """The name under which a wrapper keeps its module; none for other modules."""
    parallel = isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel)
    return "module" if parallel else "_orig_mod" if type(module).__name__ == "OptimizedModule" else ""


def check(module: Any) -> None:
    """Raises TraceError for what is no module that can run, with what to do about it."""
    if isinstance(module, type):
        raise TraceError(f"{module.__name__} is a class, expected an instance of it: {module.__name__}()")
    if not isinstance(module, nn.Module):
        raise TraceError(f"found {type(module).__name__}, expected a torch.nn.Module")
    for path, part in module.named_modules():
        name = f"{path or 'the model'} ({getattr(part, 'original_name', type(part).__name__)})"
        if isinstance(part, torch.jit.ScriptModule):
            raise TraceError(f"{name}: is scripted, which cannot be read, expected the module that was given to torch.jit")
        if any(nn.parameter.is_lazy(it) for it in [*part._parameters.values(), *part._buffers.values()] if it is not None):
            raise TraceError(f"{name}: has no weights yet, expected them: call the model once on a batch of images first")
    try:
        taken = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return
    kinds = inspect.Parameter
    needed = [it for it in taken if it.default is kinds.empty and it.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)]
    if len(needed) > 1:
        raise TraceError(
            f"the model ({type(module).__name__}): forward also takes {needed[1].name!r}, expected images alone: give it a default"
        )


def prepare(part: nn.Module) -> None:
    """Makes a part run eagerly, on one device, where it would not."""
    for name, inner in part._modules.items():
        if inner is not None:
            part._modules[name] = unwrapped(inner)
    vars(part)["_compiled_call_impl"] = None


@contextmanager
def as_it_was(module: nn.Module) -> Iterator[None]:
    """Puts back all that eval mode, tracing or a forward changes in a module: attributes, buffers, lists and dicts."""
    attributes = [vars(part) for part in module.modules()]
    spaces = [*attributes, *(held for own in attributes for held in own.values() if type(held) in (dict, OrderedDict, list, set))]
    before = [space.copy() for space in spaces]
    try:
        yield
    finally:
        for space, kept in zip(spaces, before, strict=True):
            space.clear()
            space.extend(kept) if isinstance(space, list) else space.update(kept)
