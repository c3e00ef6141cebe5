"""The ladder that a climb leaves: its words are true of the step they stand on, whatever moves led there."""

from collections.abc import Sequence
from dataclasses import replace

from climbing import plan

from stepladder import Affine, Conv, Flatten, Ladder, Linear, MaxPool, Network, OneCycle, Recipe, Step
from stepladder.climb import sequential
from stepladder.climb.concepts import bare, changed, units
from stepladder.climb.ladder import ladder, titled
from stepladder.climb.moves import candidates
from stepladder.climb.plan import Figure
from stepladder.climb.rule import Climb, Move

NETWORK = Network([Conv(8, padding=1), Conv(8, padding=1), MaxPool(2), Conv(8), MaxPool(2), Flatten(), Linear(10)])
START = Step("Start", NETWORK, Recipe(epochs=14, batch_size=128, learning_rate=0.01))
SHOWN = sequential.Test((0.001, 0.002, 0.001), 4.0, "yes")


def climbed(*names: str, set_back: Sequence[str] = ()) -> Climb:
    """A climb that took the moves of these names, each of the step that stood then, and set some back again."""
    asked = replace(plan(300), start=START, moves=candidates)
    now = Climb(asked, lambda need, guesses: Figure(0.99, 1.0), bare(START))
    for name in names:
        candidate = next(each for each in candidates(now.step, asked.budget) if each.name == name)
        now.step = changed(now.step, candidate.concept, candidate.value) or now.step
        now.history.append(candidate)
    for each in units(START, now.history):
        (now.dropped if each.name in set_back else now.taken).append(Move(each, SHOWN))
    return now


def words(*names: str) -> list[str]:
    """The titles of the steps that these moves came to."""
    return [step.title for step in ladder(climbed(*names), "climbed").steps[1:]]


def test_a_step_that_one_move_makes_is_called_as_that() -> None:
    assert words("batch size x 2") == words("batch size x 2", "batch size x 2", "batch size / 2") == ["Larger batches"]
    assert words("rotate on", "shift on", "rotate off") == words("shift on") == ["Shift up to 1 pixel"]
    assert words("learning rate x 2", "learning rate x 2", "learning rate / 2") == ["Learning rate 0.02"]


def test_a_step_that_several_moves_make_is_called_by_what_it_is() -> None:
    moves = ("batch size / 2", "batch size / 2", "rotate on", "shift on", "one-cycle, peak x 10", "one-cycle, peak / 2")
    made = ladder(climbed(*moves), "one")
    assert [(step.title, step.target) for step in made.steps[1:]] == [
        ("Batches of 32", "What several moves came to together."),
        ("Affine augmentation", "What several moves came to together."),
        ("One-cycle, peak 0.05", "What several moves came to together."),
    ]
    assert made.last.recipe.augmentation == Affine(rotate=10, shift=1)
    assert made.last.recipe.schedule == OneCycle(0.05)


def test_a_network_on_one_that_was_set_back_tells_both_changes_and_the_other_is_no_step() -> None:
    now = climbed("separable convolutions", "blur pooling", set_back=["separable convolutions"])
    made = ladder(now, "climbed")
    assert [step.title for step in made.steps] == ["Start", "Separable convolutions and Anti-aliased pooling"]
    assert [step.title for step in ladder(climbed("separable convolutions", "blur pooling"), "climbed").steps] == [
        "Start",
        "Separable convolutions",
        "Anti-aliased pooling",
    ]


def test_the_story_calls_a_network_by_what_it_adds_to_the_one_kept_before() -> None:
    now = climbed("separable convolutions", "blur pooling", set_back=["blur pooling"])
    assert [titled(now, each) for each in now.history] == ["Separable convolutions", "Anti-aliased pooling"]
    now = climbed("separable convolutions", "blur pooling", set_back=["separable convolutions"])
    assert titled(now, now.history[1]) == "Separable convolutions and Anti-aliased pooling"


def test_what_was_set_back_stands_on_the_end() -> None:
    made = ladder(climbed("blur pooling", "rotate on", set_back=["rotate on"]), "climbed")
    assert isinstance(made, Ladder)
    rotation = made.steps[-1]
    assert (rotation.title, rotation.kept, rotation.parent) == ("Rotation up to 10 degrees", False, made.steps[1])
    assert "On images kept back" in rotation.note


def test_what_was_not_tested_alone_says_so() -> None:
    now = climbed("rotate on")
    now.taken = [Move(now.taken[0].candidate)]
    assert "not tested alone" in ladder(now, "climbed").last.note
