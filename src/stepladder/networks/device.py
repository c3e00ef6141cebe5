"""What a network takes on a micro-controller, told before it is trained."""

from typing import NamedTuple

from stepladder.anatomy import anatomy
from stepladder.networks.module import Module, layers
from stepladder.spec import Network, UserError


class Device(NamedTuple):
    """Of the network as `export --to c --int8` writes it, and as that says of itself: all in integers of 8 bits."""

    macs: int
    """Multiply-adds of one image."""
    ram: int
    """Bytes of the arena, in which its values lie."""
    flash: int
    """Bytes of constant numbers."""


def planned(network: Network | Module) -> Device:
    """What a network takes; raises UserError, with the reason, where that cannot be told."""
    from stepladder.inference import figures

    found = layers(network)
    if found is None:
        assert isinstance(network, Module)
        raise UserError(f"module {network.name} is not made of known layers ({network.reason})")
    takes = figures.planned(found)
    return Device(takes.multiply_adds, takes.arena_bytes, takes.weight_bytes)


def device(network: Network | Module) -> Device | None:
    """What a network takes; None where that cannot be told."""
    try:
        return planned(network)
    except UserError:
        return None


def macs(network: Network | Module) -> int:
    """Multiply-adds of one image: as on a micro-controller, else those of the layer table. Raises UserError for a module that is
    not traced."""
    if found := device(network):
        return found.macs
    if isinstance(network, Module) and network.untraced:
        raise UserError(f"module {network.name} cannot be traced ({network.untraced})")
    return sum(row.macs for row in (network.rows if isinstance(network, Module) else anatomy(network)))
