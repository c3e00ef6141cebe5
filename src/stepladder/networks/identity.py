"""What a module computes, as text to be hashed: its calls in both modes, and its tensors under a fixed seed.

Not its source, which two behaviours may share (values closed over, constants of other modules), nor its shapes, which do not
know a constant from another.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stepladder.spec import SpecError
from stepladder.tracing import Call, Made, Recording

_MEANT = ("inplace", "_stacklevel")
"""Arguments that change nothing in what is computed: what was written in place, `Made` tells."""


def told(recording: Recording, module: nn.Module) -> list[str]:
    """A line for each call; tensors of the module by their names."""
    names = tensor_names(module)
    return [line(call, names) for call in recording.calls]


def line(call: Call, names: dict[int, str], without: Sequence[str] = ()) -> str:
    """A call in words that are the same for the same computation alone, but for the arguments in `without`."""
    given = {name: value for name, value in sorted(call.kwargs.items()) if name not in (*_MEANT, *without)}
    made = [f"{tensor.dtype}{list(tensor.shape)}" for tensor in call.made]
    return f"{call.name}{_words(call.args, names)}{_words(given, names)} -> {made}{'' if call.grad else ' without gradient'}"


def tensors(module: nn.Module) -> Iterator[str]:
    """A line for each parameter and buffer: its name, kind, and what it holds."""
    for name, tensor in module.named_parameters(remove_duplicate=False):
        yield f"{name} {'trained' if tensor.requires_grad else 'fixed'} {_content(tensor)}"
    for name, buffer in module.named_buffers(remove_duplicate=False):
        yield f"{name} buffer {_content(buffer)}"


def digest(lines: Sequence[str]) -> str:
    """The SHA-256 of lines."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def tensor_names(module: nn.Module) -> dict[int, str]:
    """The names of parameters and buffers, by their ids."""
    found: dict[int, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        found.setdefault(id(parameter), name)  # of shared ones the first
    for name, buffer in module.named_buffers(remove_duplicate=False):
        found.setdefault(id(buffer), name)
    return found


def _content(tensor: Tensor) -> str:
    raw = tensor.detach().cpu().contiguous()
    return f"{tensor.dtype}{list(tensor.shape)} {hashlib.sha256(raw.reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()}"


def _words(value: Any, names: dict[int, str]) -> str:
    if isinstance(value, Made):
        return f"<{value.call}.{value.part}>"
    if isinstance(value, Tensor):
        return f"%{names[id(value)]}" if id(value) in names else _content(value)
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_words(item, names)}' for key, item in value.items())}}}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(_words(item, names) for item in value)}]"
    if isinstance(value, slice):
        return f"slice({_words([value.start, value.stop, value.step], names)})"
    if isinstance(value, np.generic | np.ndarray):
        return f"{value.dtype}{value.tolist()!r}"
    if value is None or value is ... or isinstance(value, bool | int | float | complex | str):
        return repr(value)
    if isinstance(value, torch.dtype | torch.device | torch.layout | torch.memory_format):
        return str(value)
    raise SpecError(f"a function of torch is given a {type(value).__name__}, which cannot be told from others")
