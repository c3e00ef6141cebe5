"""A module and its recorded calls, run side by side: what a forward does beside its calls (writing into a view, a hook on a tensor,
autocast, a look at where its images are) shows in the numbers alone."""

import warnings
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from stepladder.networks.state import seeded
from stepladder.tracing import Call, Made, Recording
from stepladder.tracing.call import tensors
from stepladder.tracing.recording import CASTS, cast
from stepladder.uncompiled import eagerly

CLOSE = 1e-5
"""Of the norm of a tensor: both call the same functions of torch."""


def hidden(module: nn.Module, recorded: nn.Module, evaluation: Recording, training: Recording) -> str:
    """What of a module its calls, recorded of another one with the same weights, do not show; empty where they show all.

    Every call is taken as one that writes into nothing but buffers. Changes both modules: weights are moved first, as what begins
    at zero would hide what follows.
    """
    for each in (module, recorded):
        with seeded(1), torch.no_grad():
            for parameter in each.parameters():
                if parameter.is_floating_point():
                    parameter.add_(torch.randn_like(parameter), alpha=0.05)
    for mode, recording in (("evaluation", evaluation), ("training", training)):
        module.train(mode == "training")
        own, replayed = _ran(module, recording, None), _ran(recorded, recording, recording.calls)
        if mode == "evaluation":
            with torch.inference_mode():
                again = _ran(module, recording, None, gradients=False)
            own["its output without gradients"], replayed["its output without gradients"] = (
                again["its output"],
                replayed["its output"],
            )
        scale = sum(_norm(one) ** 2 for one in own.values()) ** 0.5
        for name, one in own.items():
            two = replayed[name]
            if (one is None) != (two is None) or not _close(one, two, scale):
                return f"computes more than its calls show: in {mode} {name} is another than theirs"
    return ""


def _close(one: Tensor | None, two: Tensor | None, scale: float) -> bool:
    if one is None or two is None:
        return True
    if one.shape != two.shape:
        return False
    return bool(torch.equal(one, two)) or _norm(one.double() - two.double()) <= CLOSE * _norm(one) + 1e-7 * scale


def _norm(one: Tensor | None) -> float:
    return 0.0 if one is None else float(one.double().norm())


def _ran(module: nn.Module, recording: Recording, calls: list[Call] | None, gradients: bool = True) -> dict[str, Tensor | None]:
    """Output, gradients, and weights and buffers afterwards, of random images: by the calls or, without them, by the module."""
    images = recording.calls[0].made[0]
    module.zero_grad()
    with seeded(2), warnings.catch_warnings(action="ignore"), eagerly(), torch.enable_grad() if gradients else nullcontext():
        x = torch.randn(images.shape, dtype=images.dtype, requires_grad=gradients)
        weights = torch.randn(images.shape[0], 1, dtype=images.dtype)
        made = module(x) if calls is None else _replayed(calls, x)
        found: dict[str, Tensor | None] = {"its output": made.detach().clone()}
        if not gradients:
            return found
        try:
            (made.square() * weights).sum().backward()
        except RuntimeError:  # one that writes into what its activations need, in evaluation
            if calls is None and not module.training:
                return found
            raise
    found["the gradient of the images"] = x.grad
    for name, parameter in module.named_parameters():
        found[f"the gradient of {name}"] = None if parameter.grad is None else parameter.grad.clone()
        found[name] = parameter.detach().clone()
    for name, buffer in module.named_buffers():
        found[name] = buffer.detach().clone()
    return found


def _replayed(calls: list[Call], images: Tensor) -> Any:
    """What the calls make of images."""
    made: list[tuple[Tensor, ...]] = [(images,)]

    def value(given: Any) -> Any:
        if isinstance(given, Made):
            return made[given.call][given.part].clone()
        if isinstance(given, dict):
            return {key: value(part) for key, part in given.items()}
        if isinstance(given, slice):
            return slice(value(given.start), value(given.stop), value(given.step))
        if isinstance(given, tuple | list):
            return [value(part) for part in given] if isinstance(given, list) else tuple(value(part) for part in given)
        return images.device if isinstance(given, torch.device) and given.type == "meta" else given

    for call in calls[1:]:
        args, kwargs = value(call.args), value(call.kwargs)
        if call.name == "output":
            return args[0]
        assert call.function
        with nullcontext() if call.grad else torch.no_grad():
            result = cast(args, kwargs) if call.name in CASTS else call.function(*args, **kwargs)
        made.append((args[0],) if call.name == "setitem" else tuple(tensors(result)))
    raise AssertionError("a recording ends with its output")
