"""Narrower networks, for the smallest that reaches the target."""

from contextlib import suppress

from stepladder.climb.widths import scaled
from stepladder.spec import Network, SpecError
from stepladder.steps import Step

FACTOR, NARROWEST = 0.96, 0.25
"""Each network is as wide as the one before it times `FACTOR`, down to a quarter."""


def smaller(step: Step) -> list[Network]:
    """The networks of a step with narrower layers, each of fewer parameters than the one before it."""
    network, found = step.network, list[Network]()
    assert isinstance(network, Network)
    least, factor = network.parameters, FACTOR
    while factor >= NARROWEST:
        with suppress(SpecError):
            narrower = scaled(network, factor)
            if narrower.parameters < least:
                found.append(narrower)
                least = narrower.parameters
        factor *= FACTOR
    return found
