"""A torch module as a network: what makes it, and what reading it has shown."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stepladder.anatomy import Row
from stepladder.spec import Layer, Network, SpecError


class Lowered(NamedTuple):
    """The network in the layer language that computes what a module computes, and for each tensor in the state dict of its plain
    module, in that order, the name of the module's own."""

    network: Network
    names: tuple[str, ...]


@dataclass(frozen=True)
class Module:
    """A torch module as a network, read by `networks.read`.

    `computation` is the SHA-256 of all that it computes: two modules with the same one are equal, whatever they are called.
    `input` is (channels, height, width). Calling `make` builds it anew. `rows` are its layer table; where it is not `lowered` to
    layers, `reason` says what kept it from that. `trained` are the names of the parameters that get a gradient. What is not
    `cached` has a `computation` of its own: no recorded run is ever taken for one of it. Where it is `alike`, every seed begins
    with the same weights. What cannot be traced says why in `untraced`; its layer table is one row.
    """

    computation: str
    input: tuple[int, int, int]
    classes: int
    make: Callable[[], Any] = field(compare=False, repr=False)
    name: str = field(compare=False)
    parameters: int = field(compare=False)
    rows: tuple[Row, ...] = field(compare=False, repr=False)
    lowered: Lowered | None = field(compare=False, repr=False)
    reason: str = field(compare=False)
    trained: frozenset[str] = field(compare=False, repr=False)
    cached: bool = field(compare=False, default=True)
    alike: bool = field(compare=False, default=False)
    untraced: str = field(compare=False, default="")

    @property
    def point_norm(self) -> Layer | None:
        """As a network's."""
        return self.lowered.network.point_norm if self.lowered else None

    # A class of a notebook or of a ladder's file cannot be imported by a worker process: it is sent as a value.

    def __getstate__(self) -> dict[str, Any]:
        import cloudpickle

        try:
            return self.__dict__ | {"make": cloudpickle.dumps(self.make)}
        except Exception as error:  # of whatever the module's code holds
            raise SpecError(f"network {self.name}: it cannot be sent to another process ({error})") from None

    def __setstate__(self, state: dict[str, Any]) -> None:
        import cloudpickle

        self.__dict__.update(state | {"make": cloudpickle.loads(state["make"])})


def layers(network: Network | Module) -> Network | None:
    """The network in the layer language, where it can be written in that."""
    if isinstance(network, Network):
        return network
    return network.lowered.network if network.lowered else None
