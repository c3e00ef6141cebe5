"""Where a climb starts that is given no step: a plain network, made for the images and the budget."""

from stepladder.anatomy import anatomy
from stepladder.climb.networks import allowed
from stepladder.climb.widths import fitted, scaled
from stepladder.spec import Budget, Layer, Network, Recipe, SpecError
from stepladder.spec.layers import Conv, GlobalAvgPool, Linear, MaxPool, written
from stepladder.steps import Step

SHARE = 0.9
"""Of the budget's parameters: a climb has room for what it adds."""

COVERED = 0.75
"""Of the longer side of an image: so much the receptive field is to cover at least."""

SMALLEST = 3
"""Rows or columns: images are not pooled to fewer."""


def plain(shape: tuple[int, int, int], classes: int, budget: Budget) -> Step:
    """A plain convolutional network for images of a shape (channels, height, width), with 90 % of the budget's parameters.

    Pairs of 3 x 3 convolutions, half as wide again after each pooling, until the receptive field covers most of the image;
    then the mean of each channel, and the classes. The recipe is the default one, for the budget's epochs. Raises SpecError
    where the budget is too small for any such network.
    """
    network = _covering(shape, classes)
    recipe = Recipe(epochs=budget.epochs)
    most = int(SHARE * budget.parameters)
    found = fitted(network, lambda made: made.parameters <= most and allowed(made, recipe, budget))
    if found is None:
        least = scaled(network, 0.0)
        over = [f"{cost.value:,} {cost.unit} of {cost.limit:,}" for cost in Step("Narrowest", least, recipe).exceeds(budget)]
        raise SpecError(
            f"{budget}: no plain network on {written(shape)} images of {classes} classes keeps it with {100 * SHARE:g} % of its "
            f"parameters; the narrowest has {', '.join(over) or f'{least.parameters:,} parameters'}"
        )
    target = "A network that learns: convolutions and poolings until it sees most of the image, then the classes."
    return Step("Plain network", found, recipe, target=target)


def _covering(shape: tuple[int, int, int], classes: int) -> Network:
    """The network with so many poolings that it sees most of the image, or that can be."""
    pools = 0
    while True:
        network = Network(_layers(pools, classes), shape, classes)
        sides = network.shapes()[-3][1:]
        if _field(network) >= COVERED * max(shape[1:]) or min(sides) // 2 < SMALLEST:
            return network
        pools += 1


def _layers(pools: int, classes: int) -> list[Layer]:
    """Two convolutions, and two more after each of so many poolings."""
    layers = list[Layer]()
    for number in range(pools + 1):
        channels = round(16 * 1.5**number)
        layers += [MaxPool(2)] if number else []
        layers += [Conv(channels, padding=1), Conv(channels, padding=1)]
    return [*layers, GlobalAvgPool(), Linear(classes)]


def _field(network: Network) -> int:
    """The longer side of the receptive field before the mean is taken."""
    field = anatomy(network)[-3].rf_out
    return field if isinstance(field, int) else max(field)
