"""What all values of the language have in common, and the example that is its contract."""

import copy
import json
import pickle
from dataclasses import FrozenInstanceError, dataclass, replace

import pytest
from conftest import networks
from hypothesis import given
from hypothesis import strategies as st
from values import VALUES, drawn

from stepladder import (
    EMA,
    AdamW,
    Affine,
    Budget,
    Conv,
    Cosine,
    Erasing,
    GlobalAvgPool,
    Ladder,
    Linear,
    LinearDecay,
    MaxPool,
    Network,
    OneCycle,
    Recipe,
    SpecError,
    Step,
    StepLR,
    ladders,
)
from stepladder.data import MNIST_DIGEST
from stepladder.records import fingerprint
from stepladder.spec import Layer, from_data, to_data
from stepladder.spec.layers.shape import later
from stepladder.steps import Change

HEAD: tuple[Layer, ...] = (Conv(10, activation=None), GlobalAvgPool())


@pytest.fixture
def root() -> Step:
    return Step("Plain", network=Network([Conv(4), *HEAD]))


def test_the_example_of_the_design_works_as_written() -> None:
    a = Network([Conv(14), Conv(7), MaxPool(2), Conv(20), Conv(14), Conv(19), Conv(10, activation=None), GlobalAvgPool()])
    plain = Step("Plain", network=a, target="See what the network can learn")
    dropout = plain.then("Dropout", dropout=0.043, target="Close the gap between train and test")
    rotate = dropout.then("Rotation", augmentation=Affine(rotate=15), target="...")
    decay = rotate.then("Step decay", schedule=StepLR(every=6, factor=0.1), target="...")
    ladder = Ladder("mine", budget=Budget(parameters=10_000, epochs=15, accuracy=0.994), steps=[plain, dropout, rotate, decay])

    assert [step.id for step in ladder.steps] == ["plain", "dropout", "rotation", "step-decay"]
    assert {step.network.parameters for step in ladder.steps} == {9060}
    assert [step.change for step in ladder.steps] == [
        None,
        Change("dropout", 0.0, 0.043),
        Change("augmentation", None, Affine(rotate=15)),
        Change("schedule", None, StepLR(6, 0.1)),
    ]
    assert decay.recipe == Recipe(dropout=0.043, augmentation=Affine(rotate=15), schedule=StepLR(every=6, factor=0.1))
    assert decay.parent is rotate
    assert plain.target == "See what the network can learn"
    assert ladder.violations() == []


def test_values_are_frozen(root: Step) -> None:
    ladder = Ladder("mine", Budget(10_000, 15, 0.99), [root])
    for value in (
        Conv(3),
        MaxPool(),
        Linear(3),
        root.network,
        root.recipe,
        StepLR(6),
        Affine(shift=1),
        OneCycle(0.1),
        Cosine(),
        LinearDecay(),
        AdamW(),
        EMA(0.9),
        Erasing(),
        root,
        ladder,
        ladder.budget,
    ):
        with pytest.raises(FrozenInstanceError):
            setattr(value, next(iter(vars(value))), 1)


def test_a_network_does_not_change_with_the_list_it_was_made_from() -> None:
    layers: list[Layer] = [Conv(4), *HEAD]
    network, step_list = Network(layers), [Step("Plain", Network(layers))]
    ladder = Ladder("mine", Budget(10_000, 15, 0.99), step_list)
    layers.clear()
    step_list.clear()
    assert len(network.layers) == 3
    assert len(ladder.steps) == 1


# Values as data


def test_data_of_a_step_holds_types_and_fields() -> None:
    step = ladders.load("mnist").step("A4")
    assert to_data(step.recipe) == {
        "type": "Recipe",
        "epochs": 14,
        "batch_size": 128,
        "learning_rate": 0.01,
        "momentum": 0.9,
        "schedule": {"type": "StepLR", "every": 6, "factor": 0.1},
        "augmentation": {"type": "Affine", "rotate": 15},
        "dropout": 0.043,
    }
    assert to_data(step.network)["layers"][2:] == [
        {"type": "MaxPool", "kernel": 2},
        *(
            {"type": "Conv", "channels": channels, "kernel": 3, "stride": 1, "groups": 1, "norm": "batch", "activation": "relu"}
            for channels in (20, 14, 19)
        ),
        {"type": "Conv", "channels": 10, "kernel": 3, "stride": 1, "groups": 1, "norm": "batch"},
        {"type": "GlobalAvgPool"},
    ]
    assert to_data(step.network)["input"] == [1, 28, 28]


def test_data_leaves_out_what_is_off() -> None:
    assert to_data(Conv(4, norm=None, activation=None)) == {"type": "Conv", "channels": 4, "kernel": 3, "stride": 1, "groups": 1}
    assert to_data(Recipe(momentum=0.0)).keys() == {"type", "epochs", "batch_size", "learning_rate"}


def test_data_leaves_out_a_later_field_where_it_is_as_it_always_was() -> None:
    assert to_data(Conv(4, dilation=1)) == to_data(Conv(4))
    assert to_data(Conv(4, dilation=2)) == to_data(Conv(4)) | {"dilation": 2}
    assert [from_data(to_data(Conv(4, dilation=apart))).dilation for apart in (1, 2)] == [1, 2]


def test_a_later_field_may_be_zero_or_none() -> None:
    @dataclass(frozen=True)
    class Norm:
        momentum: float | None = later(0.1)

    assert [to_data(Norm(momentum)) for momentum in (0.1, 0.0, None)] == [
        {"type": "Norm"},
        {"type": "Norm", "momentum": 0},
        {"type": "Norm", "momentum": None},
    ]


def test_data_of_a_recipe_of_every_concept() -> None:
    recipe = Recipe(
        nesterov=True, optimizer=AdamW(), weight_decay=1e-4, schedule=OneCycle(0.1), label_smoothing=0.1, averaging=EMA(0.99),
        augmentation=Affine(shift=2), erasing=Erasing(), dropout=0.05,
    )  # fmt: skip
    assert to_data(recipe) == {
        "type": "Recipe",
        "epochs": 14,
        "batch_size": 128,
        "learning_rate": 0.01,
        "momentum": 0.9,
        "nesterov": True,
        "optimizer": {"type": "AdamW", "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
        "weight_decay": 1e-4,
        "schedule": {"type": "OneCycle", "peak": 0.1, "warmup": 0.3, "start": 0.04, "end": 4e-6},
        "label_smoothing": 0.1,
        "averaging": {"type": "EMA", "decay": 0.99},
        "augmentation": {"type": "Affine", "shift": 2},
        "erasing": {"type": "Erasing", "probability": 0.5, "area": [0.02, 0.4]},
        "dropout": 0.05,
    }
    assert json.loads(json.dumps(to_data(recipe))) == to_data(recipe)


@pytest.mark.parametrize(
    ("step", "native", "torch"),
    [("0", "cefded352aaf", "2accced044ee"), ("A4", "38b78c653d9c", "06c010c0c91e"), ("B4", "c1f9a91122a0", "a643e84cadf5")],
)
def test_new_concepts_leave_the_fingerprints_of_earlier_records_as_they_are(step: str, native: str, torch: str) -> None:
    found = ladders.load("mnist").step(step)
    assert fingerprint(found, MNIST_DIGEST, "native-1") == native
    assert fingerprint(found, MNIST_DIGEST, "torch-1") == torch


def test_data_is_the_same_for_15_and_15_0() -> None:
    whole, float_ = to_data(Affine(rotate=15)), to_data(Affine(rotate=15.0))
    assert repr(whole) == repr(float_) == "{'type': 'Affine', 'rotate': 15}"


@given(networks())
def test_data_survives_json_and_differs_where_networks_differ(network: Network) -> None:
    assert json.loads(json.dumps(to_data(network))) == to_data(network)
    assert to_data(Network([Conv(network.input[0], kernel=1), *network.layers], network.input, 3)) != to_data(network)


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
def test_values_of_every_kind_are_read_back_from_their_data(kind: type) -> None:
    @drawn(50)
    @given(VALUES[kind])
    def read_back(value: object) -> None:
        data = to_data(value)
        for found in (data, json.loads(json.dumps(data, allow_nan=False))):
            assert from_data(found) == value
            assert type(from_data(found)) is kind
            assert to_data(from_data(found)) == data

    read_back()


@given(st.sampled_from(sorted(ladders.names())))
def test_what_a_ladder_says_is_read_back(name: str) -> None:
    ladder = ladders.load(name)
    for value in (ladder.budget, *(step.network for step in ladder.steps), *(step.recipe for step in ladder.steps)):
        assert from_data(to_data(value)) == value


def test_a_field_that_data_has_not_is_off_and_not_its_default() -> None:
    assert from_data({"type": "Conv", "channels": 4, "kernel": 3, "stride": 1, "groups": 1}) == Conv(4, norm=None, activation=None)
    assert from_data({"type": "Recipe", "epochs": 14, "batch_size": 128, "learning_rate": 0.01}) == Recipe(momentum=0)
    assert from_data({"type": "MaxPool", "kernel": 2}) == MaxPool(2)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "found None, expected a spec value as data: an object with a type"),
        ([1], "found [1], expected a spec value as data: an object with a type"),
        ({}, "found an object of type None, expected one of Network, Recipe, Budget, Conv, "),
        ({"type": "Dense"}, "found an object of type 'Dense', expected one of Network, "),
        ({"type": ["Conv"]}, "found an object of type ['Conv'], expected one of Network, "),
        ({"type": "Step", "title": "Plain"}, "found an object of type 'Step', expected one of Network, "),
        ({"type": "EMA", "decay": 0.9, "start": 3}, "EMA has no field 'start', expected decay"),
        ({"type": "Flatten", "start": 3}, "Flatten has no field 'start', expected none"),
        ({"type": "Network", "classes": 10}, "Network: found no layers, expected a list"),
        ({"type": "Network", "layers": "Conv", "input": [1, 28, 28]}, "Network: layers is 'Conv', expected a list of layers"),
        ({"type": "Network", "layers": [{"type": "Recipe"}]}, "epochs is 0, expected a whole number of at least 1"),
        ({"type": "Network", "layers": [[]], "input": [1, 1, 1], "classes": 2}, "layer 1 is [], expected one of Conv, "),
        ({"type": "Linear", "features": "10"}, "features is '10', expected a whole number of at least 1"),
        ({"type": "Linear"}, "features is 0, expected a whole number of at least 1"),
        ({"type": "EMA", "decay": {"type": "EMA", "decay": {"type": "EMA"}}},
         "found objects within one another 3 deep, expected at most 2"),
        ({"type": "EMA", "decay": float("nan")}, "decay is nan, expected a number from 0.0 to below 1.0"),
    ],
)  # fmt: skip
def test_data_that_is_no_value_is_refused_by_what_was_found_and_expected(data: object, message: str) -> None:
    with pytest.raises(SpecError) as refused:
        from_data(data)
    assert message in str(refused.value)


def chain(length: int) -> list[Step]:
    """Steps each after the one before, of two learning rates in turn."""
    steps = [Step("Plain", network=Network(HEAD))]
    for number in range(length):
        steps.append(steps[-1].then(f"Step {number}", learning_rate=0.1 / (2 - number % 2)))
    return steps


def test_chains_of_thousands_of_steps_are_compared_hashed_copied_and_sent() -> None:
    steps, again = chain(2_000), chain(2_000)
    ladder = Ladder("long", Budget(10_000, 15, 0.99), steps)
    assert steps[-1] == again[-1]
    assert hash(steps[-1]) == hash(again[-1])
    again[5] = replace(again[5], note="another")
    other = again[5]
    for step in again[6:]:
        other = replace(step, parent=other)
    assert steps[-1] != other
    assert steps[-1] != steps[-2] != 5
    assert pickle.loads(pickle.dumps(steps[-1])) == copy.deepcopy(steps[-1]) == steps[-1]
    copied = pickle.loads(pickle.dumps(ladder))
    assert copied == ladder
    assert all(copied.steps[place + 1].parent is copied.steps[place] for place in range(2_000))
    assert repr(ladder).count("Step(") == len(ladder.with_epochs(3).steps) == 2_001


def test_a_chain_is_unlike_one_that_begins_later() -> None:
    steps = chain(3)
    assert replace(steps[1], parent=None) != steps[1]
    assert steps[1] != replace(steps[1], parent=None)


def test_values_survive_pickling_and_stay_equal() -> None:
    ladder = ladders.load("mnist")
    copy = pickle.loads(pickle.dumps(ladder))
    assert copy == ladder
    assert [hash(step) for step in copy.steps] == [hash(step) for step in ladder.steps]
    assert copy.step("A4").change == ladder.step("A4").change
