"""A module and the layers it was lowered to, run side by side on a few images."""

import copy
import warnings

import torch
from torch import Tensor, nn

from stepladder.engine import plain
from stepladder.networks.module import Lowered
from stepladder.networks.state import seeded
from stepladder.spec.layers import Dropout, Dropout2d

IMAGES = 4
CLOSE = 1e-4
"""Of the norm of a tensor: both run the same functions of torch, on the same numbers."""


def difference(module: nn.Module, lowered: Lowered) -> str:
    """In what the layers differ from the module: outputs, gradients, or buffers after a batch; empty where in nothing.

    In training they are compared where nothing is dropped by chance; in evaluation gradients are left out where the module has
    none there (one that writes into what an activation needs, which dropout may lie between in training).
    """
    chance = any(isinstance(layer, Dropout | Dropout2d) and layer.share for layer in lowered.network.layers)
    for training in (False,) if chance else (False, True):
        own, same = (_ran(module, lowered, training, itself) for itself in (True, False))
        rounding = 1e-6 * sum(_norm(one) ** 2 for one in own.values()) ** 0.5
        for name, one in own.items():
            two = same[name]
            if (one is None) != (two is None) or _norm(one, two) > CLOSE * _norm(one) + rounding:
                where = "in training" if training else "in evaluation"
                return f"{name} is not that of the layers that its operations are, {where}"
    return ""


def _norm(one: Tensor | None, two: Tensor | None = None) -> float:
    """Of a tensor, or of the difference of two."""
    if one is None:
        return 0.0
    return float((one.double() if two is None else one.double() - two.double()).norm())


def _ran(module: nn.Module, lowered: Lowered, training: bool, itself: bool) -> dict[str, Tensor | None]:
    """What a copy of the module makes of random images, by itself or by its layers: its output, gradients and buffers."""
    with seeded(0), torch.enable_grad(), warnings.catch_warnings(action="ignore"):
        own = copy.deepcopy(module).train(training)
        x = torch.randn(IMAGES, *lowered.network.input, requires_grad=True)
        weights = torch.randn(IMAGES, lowered.network.classes)
        if not itself:
            plain.lend(own, *lowered, 0.0, torch.Generator())
        logits = own(x).log_softmax(1)  # which changes nothing in what is one already
        try:
            (logits * weights).sum().backward()
        except RuntimeError:
            if training or not itself:
                raise
            return {"its output": logits.detach()}
    gradients = {f"the gradient of {name}": parameter.grad for name, parameter in own.named_parameters()}
    buffers = {name: buffer.detach() for name, buffer in own.named_buffers() if buffer.is_floating_point()}
    return {"its output": logits.detach(), "the gradient of the images": x.grad, **gradients, **buffers}
