"""What a step may cost, and what it must reach."""

from dataclasses import dataclass

from stepladder.spec.check import SpecError, share, shown, whole
from stepladder.spec.network import MOST_PARAMETERS


@dataclass(frozen=True)
class Budget:
    """What a step may cost and must reach: at most `parameters` and `epochs`; `accuracy` (a fraction) on the test set
    in every one of the last `hold` epochs, for a share of at least `held` of its seeds.

    Were every seed asked to hold, more seeds would make the target harder: of steps whose seeds hold at a true rate of 0.97,
    74 % would pass with 10 seeds and 22 % with 50. With 0.9 it is 97 % and 99.6 %; at a true rate of 0.7, 15 % and 0.1 %.
    """

    parameters: int
    epochs: int
    accuracy: float
    hold: int = 5
    held: float = 0.9

    def __post_init__(self) -> None:
        whole(self, "parameters", least=1, most=MOST_PARAMETERS)
        for name in ("epochs", "hold"):
            whole(self, name, least=1)
        for name, example in (("accuracy", "0.994 is 99.4 %"), ("held", "0.9: nine of ten seeds")):
            try:
                object.__setattr__(self, name, share(self, name, getattr(self, name)))
            except SpecError:
                raise SpecError(
                    f"Budget: {name} is {shown(getattr(self, name))}, expected a fraction above 0 and up to 1 ({example})"
                ) from None
