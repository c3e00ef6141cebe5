"""Other values of a recipe's fields."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stepladder import (
    EMA,
    AdamW,
    Affine,
    Budget,
    Conv,
    Cosine,
    Erasing,
    GlobalAvgPool,
    LinearDecay,
    Network,
    OneCycle,
    Recipe,
    Step,
    StepLR,
)  # fmt: skip
from stepladder.climb import recipes
from stepladder.climb.moves import Candidate, candidates

NETWORK = Network([Conv(4), Conv(10, activation=None), GlobalAvgPool()])
DECAYS = (0.99, 0.995, 0.998)
BUDGET = Budget(parameters=8_000, epochs=15, accuracy=0.99)


def values(concept: str, recipe: Recipe, network: Network = NETWORK) -> dict[str, Any]:
    """The candidates of a concept, by their names."""
    step = Step("Start", network, recipe)
    return {candidate.name: candidate.value for candidate in candidates(step, BUDGET) if candidate.concept == concept}


def test_without_a_schedule_each_is_proposed_around_the_present_rate() -> None:
    assert values("schedule", Recipe(epochs=15, learning_rate=0.01)) == {
        "step decay": StepLR(every=6),
        "cosine": Cosine(),
        "linear decay": LinearDecay(),
        "one-cycle, peak x 10": OneCycle(0.1),
        "one-cycle, peak x 2": OneCycle(0.02),
        "one-cycle, peak / 2": OneCycle(0.005),
    }


def test_a_cycle_keeps_its_shape_where_its_peak_moves() -> None:
    found = values("schedule", Recipe(schedule=OneCycle(0.1, warmup=0.2)))
    assert found["one-cycle, peak x 2"] == OneCycle(0.2, warmup=0.2)
    assert found["one-cycle, peak / 2"] == OneCycle(0.05, warmup=0.2)
    assert found["constant rate"] is None
    assert "one-cycle, peak x 10" not in found


def test_the_learning_rate_moves_where_it_counts() -> None:
    assert values("learning_rate", Recipe(schedule=Cosine())) == {"learning rate x 2": 0.02, "learning rate / 2": 0.005}
    assert values("learning_rate", Recipe(schedule=OneCycle(0.1))) == {}


@pytest.mark.parametrize(
    ("concept", "recipe", "expected"),
    [
        ("weight_decay", Recipe(weight_decay=5e-4), {"weight decay 0": 0, "weight decay 1e-4": 1e-4, "weight decay 1e-3": 1e-3}),
        ("erasing", Recipe(), {"erasing on": Erasing()}),
        ("erasing", Recipe(erasing=Erasing(0.2)), {"erasing off": None, "erasing on": Erasing()}),
        ("batch_size", Recipe(batch_size=64), {"batch size x 2": 128, "batch size / 2": 32}),
        ("batch_size", Recipe(batch_size=1024), {"batch size / 2": 512}),
        ("batch_size", Recipe(batch_size=16), {"batch size x 2": 32}),
        ("averaging", Recipe(averaging=EMA(0.9)), {"averaging off": None} | {f"averaging {d}": EMA(d) for d in DECAYS}),
        ("label_smoothing", Recipe(), {"label smoothing 0.05": 0.05, "label smoothing 0.1": 0.1}),
        ("dropout", Recipe(dropout=0.1), {"dropout 0": 0, "dropout 0.02": 0.02, "dropout 0.05": 0.05}),
        ("optimizer", Recipe(learning_rate=0.01), {"AdamW": AdamW()}),
        ("optimizer", Recipe(learning_rate=0.02), {}),
        ("optimizer", Recipe(schedule=OneCycle(0.1)), {}),
        ("optimizer", Recipe(optimizer=AdamW()), {"gradient descent": None}),
        ("momentum", Recipe(), {"momentum 0.85": 0.85, "momentum 0.95": 0.95}),
        ("momentum", Recipe(optimizer=AdamW()), {}),
        ("nesterov", Recipe(), {"nesterov on": True}),
        ("nesterov", Recipe(nesterov=True), {"nesterov off": False}),
        ("nesterov", Recipe(momentum=0.0), {}),
        ("epochs", Recipe(epochs=10), {"epochs 15": 15}),
        ("epochs", Recipe(epochs=15), {}),
    ],
)  # fmt: skip
def test_values_of_a_field(concept: str, recipe: Recipe, expected: dict[str, Any]) -> None:
    assert values(concept, recipe) == expected


def test_dropout_is_proposed_where_it_has_a_place() -> None:
    assert values("dropout", Recipe(), Network([Conv(10, activation=None), GlobalAvgPool()])) == {}


def test_each_part_of_the_augmentation_goes_on_at_a_sensible_value() -> None:
    assert values("augmentation", Recipe()) == {
        "rotate on": Affine(rotate=10),
        "shift on": Affine(shift=1),
        "scale on": Affine(scale=0.1),
        "shear on": Affine(shear=10),
    }
    large = Network(NETWORK.layers, input=(1, 64, 64))
    assert values("augmentation", Recipe(), large)["shift on"] == Affine(shift=2.3)


def test_a_part_of_the_augmentation_that_is_on_goes_off_up_and_down() -> None:
    found = values("augmentation", Recipe(augmentation=Affine(rotate=10, shift=1)))
    assert {name: value for name, value in found.items() if name.startswith("rotate")} == {
        "rotate off": Affine(shift=1),
        "rotate x 1.5": Affine(rotate=15, shift=1),
        "rotate / 1.5": Affine(rotate=6.7, shift=1),
    }
    assert found["scale on"] == Affine(rotate=10, shift=1, scale=0.1)
    assert values("augmentation", Recipe(augmentation=Affine(rotate=10)))["rotate off"] is None


def test_what_a_field_cannot_be_is_left_out() -> None:
    assert "scale x 1.5" not in values("augmentation", Recipe(augmentation=Affine(scale=0.9)))
    assert "one-cycle, peak x 2" not in values("schedule", Recipe(schedule=OneCycle(900.0)))


@pytest.mark.parametrize("move", [recipes.schedules, recipes.augmentation])
def test_what_is_proposed_can_be_read(move: Callable[[Step, Budget], Iterator[Candidate]]) -> None:
    step = Step("Start", NETWORK, Recipe(schedule=OneCycle(0.1), augmentation=Affine(rotate=10, scale=0.1)))
    titles = [candidate.title for candidate in move(step, BUDGET)]
    assert "Peak of 0.2" in titles or "More rotation, up to 15 degrees" in titles
    assert "Cosine schedule" in titles or {"Shift up to 1 pixel", "Less scaling, up to 6.7 %"} <= set(titles)
