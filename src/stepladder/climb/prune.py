"""Smaller networks, for the smallest that reaches the target."""

from contextlib import suppress

from stepladder.climb.networks import fewer_blocks
from stepladder.climb.widths import scaled
from stepladder.spec import Network, SpecError
from stepladder.steps import Step

FACTOR, NARROWEST = 0.96, 0.25
"""Each network is as wide as the one before it times `FACTOR`, down to a quarter."""


def narrower(step: Step) -> list[Network]:
    """The networks of a step with narrower layers, each of fewer parameters than the one before it."""
    network, found = step.network, list[Network]()
    assert isinstance(network, Network)
    least, factor = network.parameters, FACTOR
    while factor >= NARROWEST:
        with suppress(SpecError):
            each = scaled(network, factor)
            if each.parameters < least:
                found.append(each)
                least = each.parameters
        factor *= FACTOR
    return found


def shallower(step: Step) -> list[Network]:
    """The networks of a step with a hidden block less, where that makes them smaller."""
    network = step.network
    assert isinstance(network, Network)
    return [each.value for each in fewer_blocks(network) if each.value.parameters < network.parameters]
