"""What a step may cost, and what it must reach."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stepladder.spec.check import SpecError, share, shown, whole
from stepladder.spec.network import MOST_PARAMETERS

COSTS = {
    "parameters": "parameters",
    "epochs": "epochs",
    "macs": "multiply-adds an image",
    "ram": "bytes of RAM",
    "flash": "bytes of flash",
}
"""What a budget limits, and what it is counted in."""

DEVICE = ("macs", "ram", "flash")
"""Limits that need not be set."""

MOST_DEVICE = 10**15


@dataclass(frozen=True)
class Budget:
    """What a step may cost and must reach: at most `parameters` and `epochs`; `accuracy` (a fraction) on the test set
    in every one of the last `hold` epochs, for a share of at least `held` of its seeds.

    Were every seed asked to hold, more seeds would make the target harder: of steps whose seeds hold at a true rate of 0.97,
    74 % would pass with 10 seeds and 22 % with 50. With 0.9 it is 97 % and 99.6 %; at a true rate of 0.7, 15 % and 0.1 %.

    Of a network that is to run on a micro-controller, at most `macs` multiply-adds an image, `ram` bytes of memory and `flash`
    bytes of constant numbers; None is no limit. They are those that `export --to c --int8` states of the network, all in
    integers of 8 bits, and are known of its shapes, before anything is trained: `ram` is the arena, in which its values lie;
    `flash` holds weights, biases, what brings sums to 8 bits, and tables. Code (some 2 to 4 kB) and stack (some hundred bytes)
    come to it; they depend on the compiler. Multiply-adds of a network that cannot be exported so are those of its layer table.
    """

    parameters: int
    epochs: int
    accuracy: float
    hold: int = 5
    held: float = 0.9
    macs: int | None = None
    ram: int | None = None
    flash: int | None = None

    def __post_init__(self) -> None:
        whole(self, "parameters", least=1, most=MOST_PARAMETERS)
        for name in ("epochs", "hold"):
            whole(self, name, least=1)
        for name in DEVICE:
            if getattr(self, name) is not None:
                whole(self, name, least=1, most=MOST_DEVICE)
        for name, example in (("accuracy", "0.994 is 99.4 %"), ("held", "0.9: nine of ten seeds")):
            try:
                object.__setattr__(self, name, share(self, name, getattr(self, name)))
            except SpecError:
                raise SpecError(
                    f"Budget: {name} is {shown(getattr(self, name))}, expected a fraction above 0 and up to 1 ({example})"
                ) from None


def asked(budget: Budget) -> dict[str, Any]:
    """What a budget asks for, as data; limits that it does not set are left out."""
    return {name: value for name, value in asdict(budget).items() if value is not None}


def device_limits(asked: Mapping[str, Any]) -> str:
    """The limits on a micro-controller in a budget's data, to follow its other ones: ', 32,768 bytes of RAM'."""
    return "".join(f", {asked[name]:,} {COSTS[name]}" for name in DEVICE if name in asked)
