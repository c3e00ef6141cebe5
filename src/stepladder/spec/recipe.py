"""How a network is trained, as a value. Every field is one concept."""

from dataclasses import dataclass

from stepladder.spec.check import SpecError, number, whole


@dataclass(frozen=True)
class StepLR:
    """The learning rate is multiplied by `factor` after every `every` epochs."""

    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        whole(self, "every", least=1)
        number(self, "factor", 0.0)

    def multiplier(self, epoch: int) -> float:
        """What the recipe's learning rate is multiplied by in `epoch`, counted from 0."""
        return self.factor ** (epoch // self.every)


@dataclass(frozen=True)
class Affine:
    """A random affine map of every training image, drawn anew in every epoch, resampled once (bilinear, corners background).

    Each field is the largest change; draws are uniform within it. `rotate` and `shear` in degrees, `shift` in pixels
    along each axis, `scale` as a fraction (0.1 draws factors from 0.9 to 1.1).
    """

    rotate: float = 0.0
    shift: float = 0.0
    scale: float = 0.0
    shear: float = 0.0

    def __post_init__(self) -> None:
        number(self, "rotate", 0.0, 360.0)
        number(self, "shift", 0.0)
        number(self, "scale", 0.0, 1.0)
        number(self, "shear", 0.0, 90.0)
        if not (self.rotate or self.shift or self.scale or self.shear):
            raise SpecError(f"{self} changes no image: expected a rotate, shift, scale or shear above 0")


@dataclass(frozen=True)
class Recipe:
    """Epochs, batches, stochastic gradient descent with momentum, and what is done to images and activations.

    `dropout` is the share of activations dropped where an activated convolution (with the pooling that follows it
    directly) hands its output on. The defaults are those of the ladder this project starts from.
    """

    epochs: int = 14
    batch_size: int = 128
    learning_rate: float = 0.01
    momentum: float = 0.9
    schedule: StepLR | None = None
    augmentation: Affine | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        whole(self, "epochs", least=1)
        whole(self, "batch_size", least=1)
        number(self, "learning_rate", 0.0)
        number(self, "momentum", 0.0, 1.0)
        number(self, "dropout", 0.0, 1.0)
        for field, kind in (("schedule", StepLR), ("augmentation", Affine)):
            value = getattr(self, field)
            if value is not None and not isinstance(value, kind):
                raise SpecError(f"Recipe: {field} is {value!r}, expected {kind.__name__}(...) or None")

    def rate(self, epoch: int) -> float:
        """The learning rate in `epoch`, counted from 0."""
        return self.learning_rate * (self.schedule.multiplier(epoch) if self.schedule else 1.0)
