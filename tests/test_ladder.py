"""Steps, which change one concept, and the ladders they form."""

import math
from typing import Any

import pytest

from stepladder import AdamW, Budget, Conv, Cosine, GlobalAvgPool, Ladder, Network, OneCycle, Recipe, SpecError, Step, ladders
from stepladder.spec import Layer, UserError
from stepladder.steps import Change

HEAD: tuple[Layer, ...] = (Conv(10, activation=None), GlobalAvgPool())


@pytest.fixture
def root() -> Step:
    return Step("Plain", network=Network([Conv(4), *HEAD]))


def test_then_refuses_two_concepts(root: Step) -> None:
    with pytest.raises(SpecError, match=r"^step 'Both' changes 2 concepts \(dropout, epochs\), expected exactly one of network, "):
        root.then("Both", dropout=0.1, epochs=3)


def test_then_refuses_no_concept(root: Step) -> None:
    with pytest.raises(SpecError, match=r"^step 'Idle' changes no concept, expected exactly one of network, epochs, batch_size, "):
        root.then("Idle", target="Nothing")


def test_no_kept_step_comes_after_one_that_is_not(root: Step) -> None:
    tried = root.then("Tried", dropout=0.1, kept=False)
    with pytest.raises(SpecError, match=r"^step 'On' is kept, but it comes after 'Tried', which is not: expected kept=False$"):
        tried.then("On", epochs=3)
    assert not tried.then("On", epochs=3, kept=False).kept
    with pytest.raises(SpecError, match=r"kept is 'no', expected one of True, False$"):
        root.then("Tried", dropout=0.1, kept="no")  # type: ignore[arg-type]


def test_a_ladder_leads_to_the_last_step_that_is_kept(root: Step) -> None:
    kept, tried = root.then("Kept", epochs=3), root.then("Tried", dropout=0.1, kept=False)
    budget = Budget(parameters=5_000, epochs=14, accuracy=0.9)
    assert Ladder("mine", budget, [root, kept, tried]).last is kept
    with pytest.raises(SpecError, match=r"^ladder 'mine' has no step that is kept$"):
        Ladder("mine", budget, [Step("Alone", root.network, kept=False)])


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


def test_then_refuses_a_concept_that_another_has_made_void(root: Step) -> None:
    cycle, adam = root.then("Cycle", schedule=OneCycle(0.1)), root.then("Adam", optimizer=AdamW())
    for step, concept, reason in (
        (cycle, {"learning_rate": 0.1}, "learning_rate, which changes nothing: the OneCycle schedule has a peak of its own"),
        (adam, {"momentum": 0.5}, "momentum, which changes nothing: AdamW has none"),
        (adam, {"nesterov": True}, "nesterov, which changes nothing: AdamW has none"),
    ):
        with pytest.raises(SpecError, match=f"^step 'Dead' changes {reason}$"):
            step.then("Dead", **concept)


def test_a_concept_may_make_another_void_and_bring_it_back(root: Step) -> None:
    faster = root.then("Faster", learning_rate=0.1)
    back = faster.then("Cycle", schedule=OneCycle(0.1)).then("Cosine", schedule=Cosine())
    assert back.recipe.rate(0) == 0.1
    assert back.then("Slower", learning_rate=0.01).recipe.rate(0) == 0.01


def test_then_names_the_step_whose_value_is_refused(root: Step) -> None:
    with pytest.raises(SpecError, match=r"^step 'Wild': Recipe: dropout is 2, expected a number from 0.0 to below 1.0$"):
        root.then("Wild", dropout=2)
    with pytest.raises(SpecError, match=r"^step 'Wild': network is 5, expected a Network, or what makes a torch.nn.Module$"):
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


@pytest.mark.parametrize("id", ["a.", "con", "NUL", "com1.txt", "x" * 201, ".", "..", "a\n", "é"])
def test_an_id_that_some_system_cannot_have_as_a_folder_is_refused(id: str) -> None:
    with pytest.raises(SpecError, match=r"^step 'Plain'.*id"):
        Step("Plain", Network(HEAD), id=id)
    with pytest.raises(SpecError, match=r"^ladder"):
        Ladder(id, Budget(10_000, 15, 0.99), [Step("Plain", Network(HEAD))])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"title": None}, "step: title is None, expected text (str)"),
        ({"title": 5}, "step: title is 5, expected text (str)"),
        ({"title": b"Plain"}, "step: title is b'Plain', expected text (str)"),
        ({"title": "x" * 201}, "step: title has 201 characters, expected at most 200"),
        ({"title": "two\nlines"}, "step: title holds '\\n', expected text without control characters"),
        ({"title": "\ud800"}, "step: title holds '\\ud800', expected text without control characters"),
        ({"title": ""}, "step '': its id is '', expected letters, digits, '.', '_' and '-', no '.' last (give id=...)"),
        ({"title": " ", "id": "a"}, "step 'a': title is ' ', expected something to read"),
        ({"target": None}, "step 'Plain': target is None, expected text (str)"),
        ({"target": "x" * 10_001}, "step 'Plain': target has 10,001 characters, expected at most 10,000"),
        ({"note": "\x1b[31m"}, "step 'Plain': note holds '\\x1b', expected text without control characters"),
        ({"note": ["mine"]}, "step 'Plain': note is ['mine'], expected text (str)"),
        ({"id": 5}, "step 'Plain': id is 5, expected text (str)"),
        ({"id": None}, "step 'Plain': id is None, expected text (str)"),
    ],
)
def test_words_that_cannot_be_written_are_refused(words: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        Step(**{"title": "Plain", "network": Network(HEAD), **words})
    assert str(refused.value) == message


def test_targets_and_notes_may_have_lines_and_any_script() -> None:
    step = Step("日本 [see note]", Network(HEAD), target="one\n\ttwo", note="é" * 10_000, id="a" * 200)
    assert (step.title, step.target) == ("日本 [see note]", "one\n\ttwo")


def test_a_step_of_other_things_is_refused(root: Step) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"recipe": None}, "recipe is None, expected a Recipe"),
        ({"network": [Conv(10)]}, r"network is \[Conv\(.*\], expected a Network, or what makes a torch.nn.Module"),
        ({"parent": "Plain"}, "parent is 'Plain', expected a Step or None"),
        ({"parent": True}, "parent is True, expected a Step or None"),
    ]
    for values, message in refused:
        with pytest.raises(SpecError, match=f"^step 'Other': {message}$"):
            Step(**{"title": "Other", "network": root.network, **values})


def test_what_cannot_be_trained_is_no_step() -> None:
    with pytest.raises(SpecError, match=r"^step 'Idle': its network has no parameters, expected some to train$"):
        Step("Idle", Network([GlobalAvgPool()], (10, 3, 3)))
    with pytest.raises(
        SpecError, match=r"^step 'One': batch_size is 1, expected at least 2: the norm of Conv\(.*\) sees one value"
    ):
        Step("One", Network([Conv(10, kernel=28), GlobalAvgPool()]), Recipe(batch_size=1))


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
    with pytest.raises(SpecError, match=r"^ladder 'a/b': expected letters, digits, '.', '_' and '-', no '.' last$"):
        Ladder("a/b", Budget(10_000, 15, 0.99), [root])
    with pytest.raises(SpecError, match=r"^ladder 'x': budget is 10000, expected Budget\(...\)$"):
        Ladder("x", 10_000, [root])  # type: ignore[arg-type]
    for steps in (None, 5, "plain", {root}, (step for step in [root])):
        with pytest.raises(SpecError, match=r"^ladder 'x': steps is .*, expected a list of steps$"):
            Ladder("x", Budget(10_000, 15, 0.99), steps)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=r"^ladder: name is None, expected text \(str\)$"):
        Ladder(None, Budget(10_000, 15, 0.99), [root])  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=r"^ladder 'x' holds 'plain', expected a Step$"):
        Ladder("x", Budget(10_000, 15, 0.99), ["plain"])  # type: ignore[list-item]


@pytest.mark.parametrize("accuracy", [0, 99.4, float("nan"), True, "99 %"])
def test_an_accuracy_that_is_no_fraction_is_refused(accuracy: float) -> None:
    with pytest.raises(SpecError, match=r"^Budget: accuracy is .*, expected a fraction above 0 and up to 1 \(0.994 is 99.4 %\)$"):
        Budget(10_000, 15, accuracy)


@pytest.mark.parametrize("held", [0, 90, float("nan"), True, "90 %"])
def test_a_share_that_must_hold_is_a_fraction(held: float) -> None:
    with pytest.raises(
        SpecError, match=r"^Budget: held is .*, expected a fraction above 0 and up to 1 \(0.9: nine of ten seeds\)$"
    ):
        Budget(10_000, 15, 0.994, held=held)
    assert Budget(10_000, 15, 0.994).held == 0.9
    assert Budget(10_000, 15, 0.994, held=1).held == 1


def test_the_default_share_is_no_harder_with_more_seeds() -> None:
    # the figures of Budget's docstring: seeds that hold at a true rate pass where at least so many of them do
    for rate, share, n, passes in (
        (0.97, 1.0, 10, 0.74), (0.97, 1.0, 50, 0.22), (0.97, 0.9, 10, 0.97), (0.97, 0.9, 50, 0.996),
        (0.7, 0.9, 10, 0.15), (0.7, 0.9, 50, 0.001),
    ):  # fmt: skip
        least = math.ceil(share * n - 1e-9)
        found = sum(math.comb(n, k) * rate**k * (1 - rate) ** (n - k) for k in range(least, n + 1))
        assert found == pytest.approx(passes, abs=0.005 if passes < 0.99 else 0.0005)


def test_a_budget_names_what_a_step_has_too_much_of() -> None:
    step = ladders.load("mnist").step("A1")
    assert step.exceeds(Budget(10_000, 15, 0.994)) == []
    assert step.exceeds(Budget(9_000, 13, 0.994)) == [("parameters", 9_060, 9_000), ("epochs", 14, 13)]


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


@pytest.mark.parametrize("name", ladders.names())
def test_a_built_in_ladder_keeps_within_its_budget(name: str) -> None:
    assert ladders.load(name).violations() == []


def test_the_second_built_in_ladder_begins_where_the_first_ends() -> None:
    end, start = ladders.load("mnist").step("B4"), ladders.load("mnist-8k").steps[0]
    assert (start.network, start.recipe, start.id) == (end.network, end.recipe, end.id)
    assert start.parent is None


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
