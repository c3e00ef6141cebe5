"""Networks of both kinds: layers in a list, and torch modules, which are read into layers wherever those can say the same.

Nothing here loads torch before a module is read or a network is built.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from stepladder.anatomy import Row, Then, anatomy
from stepladder.anatomy import then as anatomy_then
from stepladder.engine import refusal
from stepladder.networks.device import Device, device, macs, planned
from stepladder.networks.module import Lowered, Module, layers
from stepladder.spec import Network
from stepladder.spec.layers import forks

__all__ = [
    "Device", "Lowered", "Module", "Then", "Trainer", "device", "layers", "macs", "planned", "read", "rows", "then", "told",
    "trainer",
]  # fmt: skip


def read(make: Callable[[], Any], input: tuple[int, int, int] = (1, 28, 28), *, cache: bool = True) -> Module:
    """The module that `make`, a class or a function without arguments, builds, as a network on images of `input`
    (channels, height, width).

    Raises SpecError for what is none, for a forward that gives anything but one number a class, and for a module that cannot be
    told from others: one that cannot be traced, or that is not the same when it is built twice. With `cache=False` such a
    module is taken all the same.
    """
    from stepladder.networks.reading import read

    return read(make, input, cache=cache)


def rows(network: Network | Module) -> list[Row]:
    """The layer table."""
    return anatomy(network) if isinstance(network, Network) else list(network.rows)


def then(network: Network | Module, dropout: float = 0.0) -> list[Then]:
    """What follows in each row of the layer table; nothing in those of a module that layers cannot say alike."""
    found = layers(network)
    if found is None:
        return [Then()] * len(rows(network))
    told = anatomy_then(found, dropout)
    if isinstance(network, Network):
        return told
    # In the table of a module a branch is no row, and flattening one number a channel, which is no layer, is one.
    of_layers = [(row, after) for layer, row, after in zip(found.layers, anatomy(found), told, strict=True) if not forks(layer)]
    aligned = list[Then]()
    for row in network.rows:
        same = bool(of_layers) and (row.operation != "flatten" or of_layers[0][0].operation == "flatten")
        aligned.append(of_layers.pop(0)[1] if same else Then())
    return aligned if not of_layers else [Then()] * len(network.rows)


class Trainer(NamedTuple):
    """The engine that trains a network; where it is not the one that was asked for, the `reason`."""

    engine: str
    reason: str = ""


def trainer(network: Network | Module, engine: str) -> Trainer:
    """What trains a network where `engine` is asked for: torch, where a module is no network that the engine knows. (A `Network`
    that it does not know is refused instead: `engine.refusal`.)"""
    if isinstance(network, Module) and engine != "torch":
        lowered = layers(network)
        if reason := network.reason if lowered is None else refusal(lowered, engine):
            return Trainer("torch", reason)
    return Trainer(engine)


def told(network: Network | Module, engine: str) -> str:
    """For people, what trains a module where `engine` is asked for, and why not that; empty for a network of layers."""
    if isinstance(network, Network):
        return ""
    found, reason = trainer(network, engine)
    sentence = f"Module {network.name} is trained by the {found} engine"
    if reason:
        sentence += f", not by the {engine} one: {reason}"
    sentence += "." if network.cached else ". Its runs are of this session alone, as what it computes is not known."
    return sentence + (" All seeds begin with the same weights, which it sets itself." if network.alike else "")
