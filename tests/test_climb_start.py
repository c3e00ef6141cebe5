"""The plain network where a climb starts."""

import pytest
import torch

from stepladder import Budget, Conv, GlobalAvgPool, Linear, MaxPool, Network, Recipe, SpecError
from stepladder.anatomy import anatomy
from stepladder.climb.start import plain
from stepladder.engine import plain as engine


def budget(parameters: int) -> Budget:
    return Budget(parameters=parameters, epochs=12, accuracy=0.99)


def network(shape: tuple[int, int, int], classes: int, parameters: int) -> Network:
    found = plain(shape, classes, budget(parameters)).network
    assert isinstance(found, Network)
    return found


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64), (1, 20, 40)])
@pytest.mark.parametrize("parameters", [3_000, 8_000, 100_000])
def test_it_sees_most_of_the_image_with_most_of_the_budget(shape: tuple[int, int, int], parameters: int) -> None:
    made = network(shape, 10, parameters)
    assert 0.7 * parameters < made.parameters <= 0.9 * parameters
    field = anatomy(made)[-3].rf_out
    assert isinstance(field, int)
    assert field >= 0.75 * max(shape[1:])
    assert engine.build(made, 0.0, torch.Generator()).eval()(torch.zeros(2, *shape)).shape == (2, 10)


def test_its_layers_are_those_of_a_plain_network() -> None:
    pair = {width: [Conv(width, padding=1)] * 2 for width in (8, 11, 17)}
    layers = [*pair[8], MaxPool(2), *pair[11], MaxPool(2), *pair[17], GlobalAvgPool(), Linear(10)]
    assert network((1, 28, 28), 10, 8_000).layers == tuple(layers)


def test_it_is_trained_by_the_default_recipe_for_all_epochs() -> None:
    assert plain((1, 28, 28), 10, budget(8_000)).recipe == Recipe(epochs=12)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 30), (1, 2, 2)])
def test_images_of_hardly_any_pixels_have_a_network(shape: tuple[int, int, int]) -> None:
    assert network(shape, 2, 500).classes == 2


def test_a_budget_too_small_for_any_is_named_with_what_the_narrowest_has() -> None:
    with pytest.raises(SpecError, match=r"Budget\(parameters=90, .*1 x 28 x 28 images of 10 classes.* has 86 parameters"):
        plain((1, 28, 28), 10, budget(90))
    with pytest.raises(SpecError, match="Budget"):
        plain((3, 64, 64), 26, budget(50))
