"""Networks of both kinds as modules that an engine trains, with the weights of a seed."""

from types import ModuleType

import torch
from torch import nn

from stepladder.engine import plain
from stepladder.networks.module import Module
from stepladder.networks.reading import built, check_unchanged
from stepladder.spec import Network
from stepladder.streams import stream_seed


def build(network: Network | Module, engine: ModuleType, dropout: float, generator: torch.Generator, seed: int) -> nn.Module:
    """From float batches (n, channels, height, width) to logits (n, classes), on the CPU, in training mode.

    A module is what its `make` builds, its weights drawn as it draws them, from the run's stream; its forward is that of the
    layers it was lowered to, in the engine, or its own. Raises SpecError for a module that is not what it was.
    """
    if isinstance(network, Network):
        model: nn.Module = engine.build(network, dropout, generator)
        plain.initialise(model, seed)
        return model
    check_unchanged(network)
    model = built(network.make, stream_seed(seed, "weights"))
    for name, parameter in model.named_parameters():  # one that gets no gradient has no place in an optimizer's state
        parameter.requires_grad_(name in network.trained)
    if network.lowered:
        engine.lend(model, *network.lowered, dropout, generator)
    return model.train()
