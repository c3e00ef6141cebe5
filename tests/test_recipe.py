"""Recipes and their small values."""

from dataclasses import replace

import numpy as np
import pytest

from stepladder import EMA, AdamW, Affine, Cosine, Erasing, LinearDecay, OneCycle, Recipe, SpecError, StepLR


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs is 0, expected a whole number of at least 1"),
        ({"batch_size": 12.5}, "batch_size is 12.5, expected a whole number of at least 1"),
        ({"learning_rate": -0.1}, "learning_rate is -0.1, expected a number from 0.0 to below 1000.0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan, expected a number"),
        ({"learning_rate": float("inf")}, "learning_rate is inf, expected a number"),
        ({"momentum": 1}, "momentum is 1, expected a number from 0.0 to below 1.0"),
        ({"dropout": 1.0}, "dropout is 1.0, expected a number from 0.0 to below 1.0"),
        ({"dropout": True}, "dropout is True, expected a number from 0.0 to below 1.0"),
        ({"dropout": "5 %"}, "dropout is '5 %', expected a number from 0.0 to below 1.0"),
        ({"schedule": 6}, "Recipe: schedule is 6, expected StepLR(...), OneCycle(...), Cosine(...), LinearDecay(...) or None"),
        ({"augmentation": StepLR(6)}, "Recipe: augmentation is StepLR(every=6, factor=0.1), expected Affine(...) or None"),
        ({"optimizer": "adam"}, "Recipe: optimizer is 'adam', expected AdamW(...) or None"),
        ({"optimizer": AdamW}, "expected AdamW(...) or None"),
        ({"averaging": 0.99}, "Recipe: averaging is 0.99, expected EMA(...) or None"),
        ({"erasing": Affine(shift=1)}, "expected Erasing(...) or None"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1, expected a number from 0.0 to below 1000.0"),
        ({"label_smoothing": 1}, "label_smoothing is 1, expected a number from 0.0 to below 1.0"),
        ({"learning_rate": 1e300}, "learning_rate is 1e+300, expected a number from 0.0 to below 1000.0"),
        ({"learning_rate": np.float32(0.5)}, "learning_rate is np.float32(0.5), expected a number"),
        ({"weight_decay": 10**30}, "expected a number from 0.0 to below 1000.0"),
        ({"momentum": 10**5_000}, "momentum is <int>, expected a number from 0.0 to below 1.0"),
        ({"epochs": 10**30}, "expected a whole number of at most 1,000,000"),
        ({"batch_size": 1_000_001}, "batch_size is 1000001, expected a whole number of at most 1,000,000"),
        ({"schedule": StepLR(1, 2.0), "epochs": 1_000_000}, "Recipe: StepLR(every=1, factor=2.0) takes a learning rate of 0.01 to "
         "1000.0 or more in 1,000,000 epochs, expected less"),
        ({"schedule": StepLR(1, 999.0), "epochs": 106, "learning_rate": 1e-320}, "expected less"),
        ({"nesterov": 1}, "nesterov is 1, expected one of True, False"),
        (
            {"nesterov": True, "momentum": 0},
            "Recipe: nesterov is True and momentum 0, expected a momentum above 0 to look ahead with",
        ),
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_be_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        replace(Recipe(), **values)  # type: ignore[arg-type] # what mypy would refuse must be refused here too
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (StepLR, {"every": 0}, "every is 0, expected a whole number of at least 1"),
        (StepLR, {"every": 6, "factor": -1}, "factor is -1, expected a number from 0.0"),
        (Affine, {"rotate": 360}, "rotate is 360, expected a number from 0.0 to below 360.0"),
        (Affine, {"shift": -2}, "shift is -2, expected a number from 0.0"),
        (Affine, {"scale": 1}, "scale is 1, expected a number from 0.0 to below 1.0"),
        (Affine, {"shear": 90}, "shear is 90, expected a number from 0.0 to below 90.0"),
        (Affine, {}, "changes no image: expected a rotate, shift, scale or shear above 0"),
        (OneCycle, {"peak": 0}, "peak is 0, expected a number above 0 and below 1000.0"),
        (OneCycle, {"peak": -0.1}, "peak is -0.1, expected a number from 0.0"),
        (OneCycle, {"peak": 0.1, "warmup": 1}, "warmup is 1, expected a number from 0.0 to below 1.0"),
        (OneCycle, {"peak": 0.1, "start": 1}, "start is 1, expected a number from 0.0 to below 1.0"),
        (OneCycle, {"peak": 0.1, "end": -1}, "end is -1, expected a number from 0.0 to below 1.0"),
        (Cosine, {"warmup": 1.5}, "warmup is 1.5, expected a number from 0.0 to below 1.0"),
        (Cosine, {"end": 1}, "end is 1, expected a number from 0.0 to below 1.0"),
        (LinearDecay, {"warmup": "10 %"}, "warmup is '10 %', expected a number from 0.0 to below 1.0"),
        (LinearDecay, {"end": True}, "end is True, expected a number from 0.0 to below 1.0"),
        (AdamW, {"beta1": 1}, "beta1 is 1, expected a number from 0.0 to below 1.0"),
        (AdamW, {"beta2": -1}, "beta2 is -1, expected a number from 0.0 to below 1.0"),
        (AdamW, {"epsilon": -1e-8}, "epsilon is -1e-08, expected a number from 0.0"),
        (AdamW, {"epsilon": 0}, "epsilon is 0, expected a number above 0 and below 1.0"),
        (AdamW, {"epsilon": 1e-300}, "epsilon is 1e-300, expected a number above 0 and below 1.0"),
        (StepLR, {"every": 6, "factor": float("inf")}, "factor is inf, expected a number from 0.0 to below 1000.0"),
        (OneCycle, {"peak": 1e300}, "peak is 1e+300, expected a number from 0.0 to below 1000.0"),
        (Affine, {"shift": 1e300}, "shift is 1e+300, expected a number from 0.0 to below 10000.0"),
        (Erasing, {"area": {0.1, 0.2}}, "expected a list of two shares of the image"),
        (EMA, {"decay": 0}, "averages nothing: expected a decay above 0 and below 1"),
        (EMA, {"decay": 1}, "decay is 1, expected a number from 0.0 to below 1.0"),
        (Erasing, {"probability": 0}, "probability is 0, expected a share above 0 and up to 1"),
        (Erasing, {"probability": True}, "probability is True, expected a share above 0 and up to 1"),
        (Erasing, {"area": 0.3}, "area is 0.3, expected a list of two shares of the image: the smallest and the largest"),
        (Erasing, {"area": (0.1, 0.2, 0.3)}, "expected two shares of the image: the smallest and the largest"),
        (Erasing, {"area": (0.02, 1.1)}, "area is 1.1, expected a share above 0 and up to 1"),
        (Erasing, {"area": (0, 0.1)}, "area is 0, expected a share above 0 and up to 1"),
        (Erasing, {"area": (0.3, 0.1)}, "area is (0.3, 0.1), expected the smaller share first"),
    ],
)
def test_a_value_of_a_recipe_that_cannot_be_is_refused(kind: type, values: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        kind(**values)
    assert str(refused.value).startswith(f"{kind.__name__}(")
    assert message in str(refused.value)


def test_a_number_of_numpys_becomes_one_of_pythons() -> None:
    recipe = Recipe(learning_rate=np.float64(0.5), augmentation=Affine(rotate=np.float64(15)), erasing=Erasing(np.float64(0.5)))
    assert recipe == Recipe(learning_rate=0.5, augmentation=Affine(rotate=15), erasing=Erasing(0.5))
    assert "np" not in repr(recipe)


def test_areas_given_as_a_list_are_those_of_a_tuple() -> None:
    assert Erasing(area=[0.1, 0.2]) == Erasing(area=(0.1, 0.2))  # type: ignore[arg-type]
    assert hash(Erasing(area=[0.1, 0.2])) == hash(Erasing(area=(0.1, 0.2)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "void"),
    [
        ({}, set()),
        ({"nesterov": True, "schedule": Cosine()}, set()),
        ({"schedule": OneCycle(0.1)}, {"learning_rate"}),
        ({"optimizer": AdamW()}, {"momentum", "nesterov"}),
        ({"optimizer": AdamW(), "schedule": OneCycle(0.1)}, {"learning_rate", "momentum", "nesterov"}),
    ],
)
def test_fields_that_others_make_void_are_named(values: dict[str, object], void: set[str]) -> None:
    assert replace(Recipe(), **values).void.keys() == void  # type: ignore[arg-type]
