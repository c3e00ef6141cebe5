"""How a network is trained, as a value. Every field is one concept."""

from dataclasses import dataclass
from math import log
from typing import get_args

from stepladder.spec.check import TINY, SpecError, number, one_of, positive, sequence, share, shown, whole
from stepladder.spec.schedules import MOST_RATE, OneCycle, Schedule, StepLR


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019) in the place of stochastic gradient descent.

    Learning rate and weight decay are the recipe's (torch's own defaults are 0.001 and 0.01).
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        number(self, "beta1", 0.0, 1.0)
        number(self, "beta2", 0.0, 1.0)
        positive(self, "epsilon", 1.0)


@dataclass(frozen=True)
class EMA:
    """An exponential moving average of the weights, taken after every batch, is what is tested and stored.

    A batch counts `decay` times as much as the one after it. The weights of the average are corrected to add up to 1
    from the first batch on, so that nothing of the initial weights is left in it (Kingma & Ba 2015, section 7.2).

    The statistics of batch norm are averaged with the weights. Re-estimating them on the training images for every test
    (Izmailov et al. 2018) costs another third of an epoch and was no better once the rate had fallen: 98.23 % against
    98.23 %, and 97.87 % with the newest statistics instead (step B4 of the built-in ladder on 12,000 images for 3 epochs,
    decay 0.99, rate falling from 0.05 to 0, mean of 3 seeds). Early on, while weights still move fast, they lag.
    """

    decay: float

    def __post_init__(self) -> None:
        number(self, "decay", 0.0, 1.0)
        if not self.decay:
            raise SpecError(f"{self} averages nothing: expected a decay above 0 and below 1")

    def weight(self, batch: int) -> float:
        """The weight of `batch`, counted from 0, in the average over it and all before it."""
        return (1 - self.decay) / (1 - self.decay ** (batch + 1))


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
        number(self, "shift", 0.0, 10_000.0)
        number(self, "scale", 0.0, 1.0)
        number(self, "shear", 0.0, 90.0)
        if not (self.rotate or self.shift or self.scale or self.shear):
            raise SpecError(f"{self} changes no image: expected a rotate, shift, scale or shear above 0")


@dataclass(frozen=True)
class Erasing:
    """A random rectangle of a training image is replaced by the mean grey level of all training images, after the affine
    map, drawn anew in every epoch (Zhong et al. 2017, variant RE-M; the defaults are the paper's).

    `probability` is that of an image being erased in an epoch; `area` the smallest and largest share of it that is.
    Areas are uniform, sides are at most 10 : 3 (log-uniform, of those that fit the image).
    """

    probability: float = 0.5
    area: tuple[float, float] = (0.02, 0.4)

    def __post_init__(self) -> None:
        object.__setattr__(self, "probability", share(self, "probability", self.probability))
        shares = "two shares of the image: the smallest and the largest"
        area = sequence(f"{shown(self)}", "area", self.area, shares)
        if len(area) != 2:
            raise SpecError(f"{shown(self)}: area is {shown(self.area)}, expected {shares}")
        object.__setattr__(self, "area", tuple(share(self, "area", each) for each in area))
        if self.area[0] > self.area[1]:
            raise SpecError(f"{self}: area is {self.area!r}, expected the smaller share first")


@dataclass(frozen=True)
class Recipe:
    """Epochs, batches, the optimizer, and what is done to labels, weights, images and activations.

    - `optimizer`: None is stochastic gradient descent with `momentum`, in Nesterov's form where `nesterov` is set (Sutskever
      et al. 2013).
    - `weight_decay` of all that is trained: in gradient descent that many times the weight is added to its gradient (L2), in
      AdamW it is apart from the gradient.
    - `schedule`: how the learning rate moves; None leaves it constant.
    - `label_smoothing`: the share of a label that is spread evenly over all classes (Szegedy et al. 2016). The training
      loss is that of smoothed labels then; the test loss never is.
    - `averaging`: what is tested and stored, if not the weights themselves.
    - `dropout`: the share of activations dropped where an activated convolution (with the pooling that follows it
      directly) hands its output on.

    The defaults are those of the ladder this project starts from.
    """

    epochs: int = 14
    batch_size: int = 128
    learning_rate: float = 0.01
    momentum: float = 0.9
    nesterov: bool = False
    optimizer: AdamW | None = None
    weight_decay: float = 0.0
    schedule: Schedule | None = None
    label_smoothing: float = 0.0
    averaging: EMA | None = None
    augmentation: Affine | None = None
    erasing: Erasing | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        whole(self, "epochs", least=1)
        whole(self, "batch_size", least=1)
        number(self, "learning_rate", 0.0, MOST_RATE)
        number(self, "weight_decay", 0.0, MOST_RATE)
        for name in ("momentum", "label_smoothing", "dropout"):
            number(self, name, 0.0, 1.0)
        one_of(self, "nesterov", (True, False))
        if self.nesterov and not self.momentum:
            raise SpecError("Recipe: nesterov is True and momentum 0, expected a momentum above 0 to look ahead with")
        for name, kinds in KINDS.items():
            value = getattr(self, name)
            if value is not None and type(value) not in kinds:
                expected = ", ".join(f"{kind.__name__}(...)" for kind in kinds)
                raise SpecError(f"Recipe: {name} is {shown(value)}, expected {expected} or None")
        if isinstance(self.schedule, StepLR) and self.schedule.factor > 1:
            rise = (self.epochs - 1) // self.schedule.every * log(self.schedule.factor)
            if log(max(self.learning_rate, TINY)) + rise >= log(MOST_RATE):
                raise SpecError(
                    f"Recipe: {self.schedule} takes a learning rate of {self.learning_rate} to {MOST_RATE} or more in "
                    f"{self.epochs:,} epochs, expected less"
                )

    def rate(self, batch: int, epoch_batches: int = 1) -> float:
        """The learning rate of `batch`, counted from 0 over all epochs, each of `epoch_batches` batches."""
        match self.schedule:
            case OneCycle():
                return self.schedule.rate(batch, self.epochs * epoch_batches)
            case StepLR():
                return self.learning_rate * self.schedule.multiplier(batch // epoch_batches)
            case None:
                return self.learning_rate
            case _:
                return self.learning_rate * self.schedule.multiplier(batch, self.epochs * epoch_batches)

    @property
    def void(self) -> dict[str, str]:
        """The fields that change nothing because of another one, each with the reason."""
        found = {}
        if isinstance(self.schedule, OneCycle):
            found["learning_rate"] = "the OneCycle schedule has a peak of its own"
        if self.optimizer is not None:
            found |= dict.fromkeys(("momentum", "nesterov"), f"{type(self.optimizer).__name__} has none")
        return found


KINDS: dict[str, tuple[type, ...]] = {
    "optimizer": (AdamW,),
    "schedule": get_args(Schedule),
    "averaging": (EMA,),
    "augmentation": (Affine,),
    "erasing": (Erasing,),
}
"""What a field may be, if not None."""
