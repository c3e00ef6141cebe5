"""Moves of the recipe: other values of one of its fields."""

from collections.abc import Iterator
from dataclasses import replace

from stepladder.climb.candidate import Candidate
from stepladder.networks import layers
from stepladder.spec import Budget, Recipe, SpecError
from stepladder.spec.recipe import EMA, AdamW, Affine, Erasing
from stepladder.spec.schedules import Cosine, LinearDecay, OneCycle, StepLR
from stepladder.steps import Step

ADAM_RATE = 0.01
"""AdamW is proposed up to this learning rate: from larger ones it diverges."""


def schedules(step: Step, budget: Budget) -> Iterator[Candidate]:
    """Another way for the learning rate to move: constant, in steps, in one cycle around the present rate, or falling to 0."""
    rate, epochs = rate_of(step.recipe), step.recipe.epochs
    name, settle = "schedule", "Settle in the late epochs: smaller and smaller steps."
    yield Candidate("constant rate", name, None, "Constant learning rate", "Do without a schedule.")
    yield Candidate("step decay", name, StepLR(max(1, round(0.4 * epochs))), "Step decay", "Calm the late epochs.")
    yield Candidate("cosine", name, Cosine(), "Cosine schedule", settle)
    yield Candidate("linear decay", name, LinearDecay(), "Linear decay", settle)
    for factor, target in (
        ("x 10", "Ten times the learning rate, and none at the end: learn more in as many epochs, and settle."),
        ("x 2", "Twice the learning rate at its peak: learn faster in the middle, and settle."),
        ("/ 2", "Half the learning rate at its peak: smaller steps all along."),
    ):
        cycles = isinstance(step.recipe.schedule, OneCycle)
        if factor == "x 10" and (cycles or step.recipe.optimizer is not None):
            continue
        for value in _cycle(step.recipe.schedule, _times(rate, factor)):
            title = f"Peak of {value.peak:g}" if cycles else f"One-cycle, peak {value.peak:g}"
            yield Candidate(f"one-cycle, peak {factor}", name, value, title, target)


def learning_rate(step: Step, budget: Budget) -> Iterator[Candidate]:
    """Twice and half the learning rate."""
    for factor, target in (("x 2", "Larger steps: learn more in as many epochs."), ("/ 2", "Smaller steps: settle nearer by.")):
        value = _times(step.recipe.learning_rate, factor)
        yield Candidate(f"learning rate {factor}", "learning_rate", value, f"Learning rate {value:g}", target)


def weight_decay(step: Step, budget: Budget) -> Iterator[Candidate]:
    """None, and the amounts that are usual for small networks."""
    yield Candidate("weight decay 0", "weight_decay", 0.0, "No weight decay", "Let the weights grow as they need.")
    for value, written in ((1e-4, "1e-4"), (5e-4, "5e-4"), (1e-3, "1e-3")):
        target = "Keep the weights small, and with them the network's certainty."
        yield Candidate(f"weight decay {written}", "weight_decay", value, f"Weight decay {written}", target)


def augmentation(step: Step, budget: Budget) -> Iterator[Candidate]:
    """Each part of the affine augmentation on, off, more and less."""
    now = step.recipe.augmentation
    shift = _rounded(max(step.network.input[1:]) / 28)
    for field, noun, first, target in (
        ("rotate", "rotation", 10.0, "Images that lean more or less than those there are."),
        ("shift", "shift", shift, "Images in other places: where something is does not matter."),
        ("scale", "scaling", 0.1, "Images larger and smaller than those there are."),
        ("shear", "shear", 10.0, "Images that are slanted more or less than those there are."),
    ):
        value = getattr(now, field) if now is not None else 0.0
        if not value:
            changes = [("on", f"{noun.capitalize()} up to {_amount(field, first)}", first, target)]
        else:
            more, less = _rounded(1.5 * value), _rounded(value / 1.5)
            changes = [
                ("off", f"No {noun}", 0.0, "Spend nothing on what the images do not show."),
                ("x 1.5", f"More {noun}, up to {_amount(field, more)}", more, "Harder training images, higher test accuracy."),
                ("/ 1.5", f"Less {noun}, up to {_amount(field, less)}", less, "Training images nearer to those there are."),
            ]
        for change, written, new, why in changes:
            for affine in _affine(now, field, new):
                yield Candidate(f"{field} {change}", "augmentation", affine, written, why)


def erasing(step: Step, budget: Budget) -> Iterator[Candidate]:
    """Random erasing, on and off."""
    yield Candidate("erasing off", "erasing", None, "No erasing", "Show whole images.")
    yield Candidate("erasing on", "erasing", Erasing(), "Random erasing", "Do not depend on any one part of an image.")


def batch_size(step: Step, budget: Budget) -> Iterator[Candidate]:
    """Twice and half the batch size, from 16 to 1024."""
    size = step.recipe.batch_size
    for name, value, title, target in (
        ("x 2", 2 * size, "Larger batches", "Half the steps, each along a surer gradient."),
        ("/ 2", size // 2, "Smaller batches", "Twice the steps in as many epochs."),
    ):
        if 16 <= value <= 1024:
            yield Candidate(f"batch size {name}", "batch_size", value, title, target)


def averaging(step: Step, budget: Budget) -> Iterator[Candidate]:
    """Averaged weights over fewer and more batches, and the weights themselves."""
    yield Candidate("averaging off", "averaging", None, "No averaging", "Test the weights themselves.")
    for decay in (0.99, 0.995, 0.998):
        target = "Hold the accuracy in every late epoch: average what the weights do around their course."
        yield Candidate(f"averaging {decay}", "averaging", EMA(decay), f"Averaged weights, decay {decay}", target)


def label_smoothing(step: Step, budget: Budget) -> Iterator[Candidate]:
    """Smoothed labels and hard ones."""
    yield Candidate("label smoothing 0", "label_smoothing", 0.0, "No label smoothing", "Learn the labels as they are.")
    for value in (0.05, 0.1):
        yield Candidate(
            f"label smoothing {value}", "label_smoothing", value, f"Label smoothing {value}", "Spend nothing on certainty."
        )


def dropout(step: Step, budget: Budget) -> Iterator[Candidate]:
    """Dropout in small shares, where it has a place, and none."""
    yield Candidate("dropout 0", "dropout", 0.0, "No dropout", "Let the network fit what it can.")
    network = layers(step.network)
    if network is not None and any(map(network.drops_after, range(len(network.layers)))):
        for value in (0.02, 0.05, 0.1):
            target = "Close the gap between train and test accuracy."
            yield Candidate(f"dropout {value}", "dropout", value, f"Dropout {value}", target)


def optimizer(step: Step, budget: Budget) -> Iterator[Candidate]:
    """Gradient descent, or AdamW where the learning rate suits it."""
    yield Candidate("gradient descent", "optimizer", None, "Gradient descent", "One learning rate for all weights.")
    if rate_of(step.recipe) <= ADAM_RATE:
        yield Candidate("AdamW", "optimizer", AdamW(), "AdamW", "A learning rate for each weight, by its own gradients.")


def momentum(step: Step, budget: Budget) -> Iterator[Candidate]:
    """More and less momentum."""
    for value in (0.85, 0.9, 0.95):
        target = "Follow the gradients of other stretches of batches."
        yield Candidate(f"momentum {value}", "momentum", value, f"Momentum {value}", target)


def nesterov(step: Step, budget: Budget) -> Iterator[Candidate]:
    """Nesterov's form of momentum, on and off."""
    yield Candidate("nesterov off", "nesterov", False, "Plain momentum", "Take the gradient where the weights are.")
    yield Candidate("nesterov on", "nesterov", True, "Nesterov momentum", "Take the gradient where the momentum leads.")


def epochs(step: Step, budget: Budget) -> Iterator[Candidate]:
    """All epochs of the budget."""
    if step.recipe.epochs < budget.epochs:
        title, target = f"{budget.epochs} epochs", "Use the whole budget of epochs."
        yield Candidate(f"epochs {budget.epochs}", "epochs", budget.epochs, title, target)


def rate_of(recipe: Recipe) -> float:
    """The largest learning rate of a recipe, but for a schedule that raises it in steps."""
    return recipe.schedule.peak if isinstance(recipe.schedule, OneCycle) else recipe.learning_rate


def _times(value: float, factor: str) -> float:
    """The value "x 2" or "/ 2", without what floats add in the last places."""
    sign, number = factor.split()
    found = value * float(number) if sign == "x" else value / float(number)
    return float(f"{found:.6g}")


def _rounded(value: float) -> float:
    """To two significant digits."""
    return float(f"{value:.2g}")


def _amount(field: str, value: float) -> str:
    """A value of the augmentation with its unit."""
    if field == "scale":
        return f"{100 * value:g} %"
    unit = "pixel" if field == "shift" else "degree"
    return f"{value:g} {unit}{'' if value == 1 else 's'}"


def _cycle(now: object, peak: float) -> Iterator[OneCycle]:
    """The cycle with another peak, otherwise as the present one; none where no rate is so large or small."""
    try:
        yield replace(now, peak=peak) if isinstance(now, OneCycle) else OneCycle(peak)
    except SpecError:
        return


def _affine(now: Affine | None, field: str, value: float) -> Iterator[Affine | None]:
    """The augmentation with another value of a field, None where nothing is left; none where it has no such value."""
    others = {name: getattr(now, name) if now is not None else 0.0 for name in ("rotate", "shift", "scale", "shear")}
    found = others | {field: value}
    try:
        yield Affine(**found) if any(found.values()) else None
    except SpecError:
        return
