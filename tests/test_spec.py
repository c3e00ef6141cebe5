import json
import pickle
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from conftest import networks
from hypothesis import given
from hypothesis import strategies as st

from stepladder import (
    Affine,
    Budget,
    Conv,
    Flatten,
    GlobalAvgPool,
    Ladder,
    Linear,
    MaxPool,
    Network,
    Recipe,
    SpecError,
    Step,
    StepLR,
    ladders,
)
from stepladder.spec import Change, Layer, UserError, to_data

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


# Layers and networks


@pytest.mark.parametrize(
    ("layer", "values", "message"),
    [
        (Conv, {"channels": 0}, "groups=1, bias=False, norm='batch', activation='relu'): channels is 0, expected a whole number"),
        (Conv, {"channels": 4.0}, "channels is 4.0, expected a whole number of at least 1"),
        (Conv, {"channels": True}, "channels is True, expected a whole number of at least 1"),
        (Conv, {"channels": 4, "kernel": 0}, "kernel is 0, expected a whole number of at least 1"),
        (Conv, {"channels": 4, "stride": -1}, "stride is -1, expected a whole number of at least 1"),
        (Conv, {"channels": 4, "groups": 0}, "groups is 0, expected a whole number of at least 1"),
        (Conv, {"channels": 4, "padding": -1}, "padding is -1, expected a whole number of at least 0"),
        (Conv, {"channels": 4, "bias": 1}, "bias is 1, expected one of True, False"),
        (Conv, {"channels": 4, "norm": "layer"}, "norm is 'layer', expected one of 'batch', None"),
        (Conv, {"channels": 4, "activation": "gelu"}, "activation is 'gelu', expected one of 'relu', None"),
        (MaxPool, {"kernel": 0}, "MaxPool(kernel=0, stride=None, padding=0): kernel is 0, expected a whole number of at least 1"),
        (MaxPool, {"stride": 0}, "stride is 0, expected a whole number of at least 1"),
        (MaxPool, {"padding": 2}, "MaxPool(kernel=2, stride=None, padding=2): padding is at most half the kernel (1), got 2"),
        (Linear, {"features": 0}, "Linear(features=0, bias=True, activation=None): features is 0, expected a whole number"),
        (Linear, {"features": 10, "activation": "tanh"}, "activation is 'tanh', expected one of 'relu', None"),
    ],
)
def test_a_layer_that_cannot_be_is_refused_by_name_when_made(layer: type, values: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        layer(**values)
    assert message in str(refused.value)
    assert str(refused.value).startswith(f"{layer.__name__}(")


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Conv(4), MaxPool(27), *HEAD], "layer 2, MaxPool(kernel=27, stride=None, padding=0): its 27 x 27 window is larger than "
         "its input, 26 x 26 padded by 0"),
        ([Conv(4, kernel=31, padding=1), *HEAD], "layer 1, Conv(channels=4, kernel=31, stride=1, padding=1, groups=1, bias=False, "
         "norm='batch', activation='relu'): its 31 x 31 window is larger than its input, 28 x 28 padded by 1"),
        ([Conv(4), Linear(10)], "layer 2, Linear(features=10, bias=True, activation=None): its input is 4 x 26 x 26, expected flat "
         "features: put GlobalAvgPool() or Flatten() before it"),
        ([GlobalAvgPool(), Conv(4)], "its input is flat (1 features), expected channels x height x width"),
        ([Flatten(), MaxPool(2)], "layer 2, MaxPool(kernel=2, stride=None, padding=0): its input is flat (784 features)"),
        ([Flatten(), Flatten()], "layer 2, Flatten(): its input is flat (784 features)"),
        ([Flatten(), GlobalAvgPool()], "layer 2, GlobalAvgPool(): its input is flat (784 features)"),
        ([Conv(4), Conv(6, groups=4), *HEAD], "4 groups divide neither or only one of 4 input and 6 output channels"),
        ([Conv(4), GlobalAvgPool()], "GlobalAvgPool(): the network ends in 4 numbers, expected one for each of 10 classes"),
        ([Conv(10)], "the network ends in 10 x 26 x 26 numbers, expected one for each of 10 classes"),
        ([], "Network: it has no layers"),
        ([Conv(4), "relu"], "layer 2 is 'relu', expected one of Conv, MaxPool, GlobalAvgPool, Flatten, Linear"),
    ],
)  # fmt: skip
def test_a_network_that_does_not_fit_is_refused_with_the_layer_named(layers: list[Layer], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        Network(layers)
    assert message in str(refused.value)


@pytest.mark.parametrize("image", [(28, 28), (1, 28, 0), (1, 28.0, 28)])
def test_an_input_that_is_no_image_is_refused(image: tuple[int, int, int]) -> None:
    with pytest.raises(SpecError, match=r"Network: input is .*, expected three whole numbers: channels, height, width"):
        Network(HEAD, input=image)


def test_one_class_is_refused() -> None:
    with pytest.raises(SpecError, match="classes is 1, expected a whole number of at least 2"):
        Network([Conv(1), GlobalAvgPool()], classes=1)


def test_shapes_are_those_before_the_first_layer_and_after_each() -> None:
    network = Network([Conv(6, padding=1), MaxPool(3, stride=2), Conv(8, stride=3, kernel=2), Flatten(), Linear(10)])
    assert network.shapes() == [(1, 28, 28), (6, 28, 28), (6, 13, 13), (8, 4, 4), (128,), (10,)]


@given(
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    kernel=st.integers(1, 8),
    stride=st.integers(1, 5),
    padding=st.integers(0, 4),
)
def test_a_window_has_an_output_for_each_place_it_fits_in(size: tuple[int, int], kernel: int, stride: int, padding: int) -> None:
    places = [len(range(0, side + 2 * padding - kernel + 1, stride)) for side in size]
    conv = Conv(2, kernel=kernel, stride=stride, padding=padding)
    if 0 in places:
        with pytest.raises(SpecError, match=f"its {kernel} x {kernel} window is larger than its input"):
            conv.output((3, *size))
    else:
        assert conv.output((3, *size)) == (2, *places)


@pytest.mark.parametrize(("step", "parameters"), [("0", 9902), ("A1", 9060), ("B1", 7826)])
def test_the_networks_of_the_built_in_ladder_have_their_known_sizes(step: str, parameters: int) -> None:
    assert ladders.load("mnist").step(step).network.parameters == parameters


def test_a_depthwise_convolution_has_one_filter_for_each_channel() -> None:
    assert Conv(8, groups=8, norm=None).parameters((8, 5, 5)) == 8 * 9
    assert Conv(8, groups=8, bias=True).parameters((8, 5, 5)) == 8 * 9 + 8 + 16


# Recipes


def test_a_step_schedule_multiplies_after_every_so_many_epochs() -> None:
    recipe = Recipe(learning_rate=0.01, schedule=StepLR(every=6, factor=0.1))
    assert [recipe.rate(epoch) for epoch in range(14)] == pytest.approx([0.01] * 6 + [0.001] * 6 + [0.0001] * 2, rel=1e-12)


def test_the_learning_rate_is_constant_without_a_schedule() -> None:
    assert {Recipe(learning_rate=0.03).rate(epoch) for epoch in range(14)} == {0.03}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs is 0, expected a whole number of at least 1"),
        ({"batch_size": 12.5}, "batch_size is 12.5, expected a whole number of at least 1"),
        ({"learning_rate": -0.1}, "learning_rate is -0.1, expected a number from 0.0 to below inf"),
        ({"learning_rate": float("nan")}, "learning_rate is nan, expected a number"),
        ({"learning_rate": float("inf")}, "learning_rate is inf, expected a number"),
        ({"momentum": 1}, "momentum is 1, expected a number from 0.0 to below 1.0"),
        ({"dropout": 1.0}, "dropout is 1.0, expected a number from 0.0 to below 1.0"),
        ({"dropout": True}, "dropout is True, expected a number from 0.0 to below 1.0"),
        ({"dropout": "5 %"}, "dropout is '5 %', expected a number from 0.0 to below 1.0"),
        ({"schedule": 6}, "Recipe: schedule is 6, expected StepLR(...) or None"),
        ({"augmentation": StepLR(6)}, "Recipe: augmentation is StepLR(every=6, factor=0.1), expected Affine(...) or None"),
    ],
)
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
    ],
)
def test_a_schedule_or_augmentation_that_cannot_be_is_refused(kind: type, values: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        kind(**values)
    assert str(refused.value).startswith(f"{kind.__name__}(")
    assert message in str(refused.value)


# Steps


def test_then_refuses_two_concepts(root: Step) -> None:
    with pytest.raises(SpecError, match=r"^step 'Both' changes 2 concepts \(dropout, epochs\), expected exactly one of network, "):
        root.then("Both", dropout=0.1, epochs=3)


def test_then_refuses_no_concept(root: Step) -> None:
    with pytest.raises(SpecError, match=r"^step 'Idle' changes no concept, expected exactly one of network, epochs, batch_size, "):
        root.then("Idle", target="Nothing")


def test_then_refuses_an_unknown_concept_and_suggests_the_nearest(root: Step) -> None:
    with pytest.raises(SpecError, match=r"^step 'Typo': unknown concept 'droput'; did you mean 'dropout'\?$"):
        root.then("Typo", droput=0.1)


def test_then_lists_the_concepts_where_none_is_near(root: Step) -> None:
    with pytest.raises(SpecError, match=r"unknown concept 'zzz'; expected one of network, epochs, .*, dropout$"):
        root.then("Odd", zzz=1)


@pytest.mark.parametrize(("concept", "value"), [("dropout", 0.0), ("dropout", 0), ("epochs", 14), ("schedule", None)])
def test_then_refuses_a_value_that_changes_nothing(root: Step, concept: str, value: Any) -> None:
    with pytest.raises(SpecError, match=r"^step 'Same' changes nothing against its parent 'Plain'$"):
        root.then("Same", **{concept: value})


def test_then_refuses_an_equal_network(root: Step) -> None:
    with pytest.raises(SpecError, match=r"^step 'Same' changes nothing against its parent 'Plain'$"):
        root.then("Same", network=Network([Conv(4), *HEAD]))


def test_then_names_the_step_whose_value_is_refused(root: Step) -> None:
    with pytest.raises(SpecError, match=r"^step 'Wild': Recipe\(.*\): dropout is 2, expected a number from 0.0 to below 1.0$"):
        root.then("Wild", dropout=2)
    with pytest.raises(SpecError, match=r"^step 'Wild': network is 5, expected a Network$"):
        root.then("Wild", network=5)


def test_a_step_made_by_hand_is_held_to_one_concept_too(root: Step) -> None:
    with pytest.raises(SpecError, match=r"^step 'Two' changes 2 concepts \(epochs, dropout\), expected exactly one$"):
        Step("Two", root.network, Recipe(epochs=3, dropout=0.1), parent=root)


def test_then_changes_the_network_and_keeps_the_recipe(root: Step) -> None:
    tuned = root.then("Tuned", momentum=0.5)
    wider = Network([Conv(8), *HEAD])
    step = tuned.then("Wider", id="w", network=wider, note="mine")
    assert (step.network, step.recipe, step.parent) == (wider, Recipe(momentum=0.5), tuned)
    assert (step.id, step.note, step.target) == ("w", "mine", "")
    assert step.change == Change("network", root.network, wider)


@pytest.mark.parametrize(("title", "id"), [("Remove the FC layer!", "remove-the-fc-layer"), ("99.4 %, at last", "99-4-at-last")])
def test_a_step_gets_its_id_from_its_title(title: str, id: str) -> None:
    assert Step(title, Network(HEAD)).id == id


@pytest.mark.parametrize(("title", "id"), [("Größe", "a/b"), ("日本", ""), ("up", "../up")])
def test_an_id_that_is_no_folder_name_is_refused(title: str, id: str) -> None:
    with pytest.raises(SpecError, match=rf"^step '{title}': its id is '{id}', expected letters, digits, .* \(give id=\.\.\.\)$"):
        Step(title, Network(HEAD), id=id)


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


# Ladders


def test_a_ladder_may_branch(root: Step) -> None:
    left, right = root.then("Left", dropout=0.1), root.then("Right", epochs=3)
    ladder = Ladder("tree", Budget(10_000, 15, 0.99), [root, left, right, left.then("Leaf", epochs=3)])
    assert [step.parent.title if step.parent else None for step in ladder.steps] == [None, "Plain", "Plain", "Left"]
    assert ladder.step("right") is right


def test_a_ladder_names_its_steps_where_one_is_not_found(root: Step) -> None:
    ladder = Ladder("tree", Budget(10_000, 15, 0.99), [root, root.then("Left", dropout=0.1)])
    with pytest.raises(SpecError, match=r"^ladder 'tree' has no step 'right'; its steps are plain, left$"):
        ladder.step("right")


def test_a_ladder_that_is_no_tree_is_refused(root: Step) -> None:
    budget, left = Budget(10_000, 15, 0.99), root.then("Left", dropout=0.1)
    with pytest.raises(SpecError, match=r"^ladder 'x' has no steps$"):
        Ladder("x", budget, [])
    with pytest.raises(SpecError, match=r"^ladder 'x': 'Plain', the parent of 'Left', is not listed before it$"):
        Ladder("x", budget, [left])
    with pytest.raises(SpecError, match=r"^ladder 'x': 'Left', the parent of 'Leaf', is not listed before it$"):
        Ladder("x", budget, [root, left.then("Leaf", epochs=3), left])
    with pytest.raises(SpecError, match=r"^ladder 'x': 'Other' has no parent; only the first step is a root$"):
        Ladder("x", budget, [root, Step("Other", root.network)])
    with pytest.raises(SpecError, match=r"^ladder 'x' has two steps with the id 'left': give one another id=...$"):
        Ladder("x", budget, [root, left, root.then("Left", dropout=0.2)])


def test_a_ladder_of_other_things_is_refused(root: Step) -> None:
    with pytest.raises(SpecError, match=r"^ladder 'a/b': expected a name of letters, digits, '.', '_' and '-'$"):
        Ladder("a/b", Budget(10_000, 15, 0.99), [root])
    with pytest.raises(SpecError, match=r"^ladder 'x': budget is 10000, expected Budget\(...\)$"):
        Ladder("x", 10_000, [root])  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=r"^ladder 'x' holds 'plain', expected a Step$"):
        Ladder("x", Budget(10_000, 15, 0.99), ["plain"])  # type: ignore[list-item]


@pytest.mark.parametrize("accuracy", [0, 99.4, float("nan"), True, "99 %"])
def test_an_accuracy_that_is_no_fraction_is_refused(accuracy: float) -> None:
    with pytest.raises(SpecError, match=r"^Budget: accuracy is .*, expected a fraction above 0 and up to 1 \(0.994 is 99.4 %\)$"):
        Budget(10_000, 15, accuracy)


@pytest.mark.parametrize("field", ["parameters", "epochs", "hold"])
def test_a_budget_of_nothing_is_refused(field: str) -> None:
    values = {"parameters": 10_000, "epochs": 15, "hold": 5} | {field: 0}
    with pytest.raises(SpecError, match=f"{field} is 0, expected a whole number of at least 1"):
        Budget(accuracy=0.99, **values)


def test_violations_name_step_value_and_limit(root: Step) -> None:
    wide = root.then("Wide", network=Network([Conv(1000), *HEAD]))
    ladder = Ladder("mine", Budget(parameters=1000, epochs=13, accuracy=0.99), [root, wide, root.then("Short", epochs=13)])
    assert ladder.violations() == [
        "step plain has 14 epochs, the budget allows 13",
        "step wide has 101,020 parameters, the budget allows 1,000",
        "step wide has 14 epochs, the budget allows 13",
    ]


def test_a_budget_spent_to_the_last_is_kept(root: Step) -> None:
    assert Ladder("mine", Budget(root.network.parameters, 14, 0.99), [root]).violations() == []


def test_with_epochs_sets_every_step_and_keeps_each_change() -> None:
    ladder = ladders.load("mnist")
    short = ladder.with_epochs(2)
    assert {step.recipe.epochs for step in short.steps} == {2}
    assert [step.change for step in short.steps] == [step.change for step in ladder.steps]
    assert [(step.id, step.target) for step in short.steps] == [(step.id, step.target) for step in ladder.steps]
    assert {step.recipe.epochs for step in ladder.steps} == {14}


def test_with_epochs_refuses_a_ladder_whose_concept_is_the_epochs(root: Step) -> None:
    ladder = Ladder("mine", Budget(10_000, 15, 0.99), [root, root.then("Short", epochs=3)])
    with pytest.raises(SpecError, match=r"^step short changes epochs; the epochs of its ladder cannot be set for all steps$"):
        ladder.with_epochs(2)


def test_with_epochs_refuses_none() -> None:
    with pytest.raises(SpecError, match="epochs is 0, expected a whole number of at least 1"):
        ladders.load("mnist").with_epochs(0)


def test_spec_errors_are_a_users_to_put_right() -> None:
    assert issubclass(SpecError, UserError)
    assert issubclass(UserError, ValueError)


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


def test_data_is_the_same_for_15_and_15_0() -> None:
    whole, float_ = to_data(Affine(rotate=15)), to_data(Affine(rotate=15.0))
    assert repr(whole) == repr(float_) == "{'type': 'Affine', 'rotate': 15}"


@given(networks())
def test_data_survives_json_and_differs_where_networks_differ(network: Network) -> None:
    assert json.loads(json.dumps(to_data(network))) == to_data(network)
    assert to_data(Network([Conv(network.input[0], kernel=1), *network.layers], network.input, 3)) != to_data(network)


def test_values_survive_pickling_and_stay_equal() -> None:
    ladder = ladders.load("mnist")
    copy = pickle.loads(pickle.dumps(ladder))
    assert copy == ladder
    assert [hash(step) for step in copy.steps] == [hash(step) for step in ladder.steps]
    assert copy.step("A4").change == ladder.step("A4").change
