"""A ladder as a Python file: the same ladder when it is loaded, and laid out as ruff has it."""

import ast
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from conftest import networks
from hypothesis import given
from hypothesis import strategies as st
from test_fuzz_spec import networks_of_digits
from torch import nn
from values import attempt, drawn, of_field, of_kind

from stepladder import Affine, Budget, Conv, GlobalAvgPool, Ladder, Network, OneCycle, Recipe, SpecError, Step, ladders
from stepladder.spec import to_data
from stepladder.steps.source import number, source

PLAIN = Network([Conv(8, padding=1), Conv(10, activation=None), GlobalAvgPool()])

pieces = st.sampled_from(
    ["a", "word", "'", '"', '"""', "\\", "\\n", "\n", "\t", "é", "日本", "\u202e", "\u2028", "́", "x" * 90, "{0}"]
)
texts = st.lists(pieces | st.text("abcdef ghijk", max_size=30), max_size=12).map(" ".join)
titles = st.sampled_from(
    ["Dropout", "dropout", "Class", "l", "Max", "ladder", "Match", "3 x 3", "日本", "Conv", "A " * 60]
) | st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
names = st.text("abcXYZ019", min_size=1, max_size=8)
drawn_about = st.just("") | texts
HINTS = get_type_hints(Recipe)


@st.composite
def drawn_ladders(draw: st.DrawFn) -> Ladder:
    """Ladders of up to seven steps of any concepts, on images of any shape."""
    some = draw(st.sampled_from([networks(), networks_of_digits()]))

    def words() -> dict[str, Any]:
        return {
            "title": draw(titles), "id": draw(st.just("") | names), "target": draw(texts), "note": draw(st.just("") | texts)
        }  # fmt: skip

    network = draw(some)
    root = attempt(Step, {**words(), "network": network, "recipe": draw(st.just(Recipe()) | of_kind(Recipe))})
    steps: list[Step] = [root or Step("Plain", network)]
    for _ in range(draw(st.integers(0, 6))):
        parent = draw(st.sampled_from(steps))
        concept = draw(st.sampled_from(["network", *(field.name for field in fields(Recipe))]))
        value = draw(some if concept == "network" else of_field(concept, HINTS[concept]))
        step = attempt(parent.then, {**words(), "kept": parent.kept and draw(st.booleans()), concept: value})
        if step is not None and step.id not in {each.id for each in steps}:
            steps.append(step)
    return Ladder(draw(names), draw(of_kind(Budget)), steps)


def checked(folder: Path) -> None:
    """Ruff, in its own settings, would change nothing in a folder, nor the order of imports, and finds nothing."""
    for command in (["format", "--diff"], ["check", "--extend-select", "I"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", "--no-cache", str(folder)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_drawn_ladder_is_the_same_when_its_file_is_loaded_and_ruff_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    written: list[Ladder] = []

    @drawn(25)
    @given(ladder=drawn_ladders(), about=drawn_about)
    def check(ladder: Ladder, about: str) -> None:
        written.append(ladder)
        path = tmp_path / f"ladder_{len(written)}.py"
        path.write_text(source(ladder, about), encoding="utf-8")
        found = ladders.load(str(path))
        assert found == ladder
        for mine, theirs in zip(found.steps, ladder.steps, strict=True):
            assert to_data(mine.network) == to_data(theirs.network)
            assert to_data(mine.recipe) == to_data(theirs.recipe)

    check()
    assert sum(len(ladder.steps) for ladder in written) > 2 * len(written)
    checked(tmp_path)


WIDE = Network([Conv(8, padding=1), Conv(12), Conv(12), Conv(12), Conv(10, kernel=1, activation=None), GlobalAvgPool()])


def climbed() -> Ladder:
    start = Step("Plain", PLAIN, Recipe(epochs=5), id="0", target="See what it can learn.")
    cycle = start.then("One-cycle", schedule=OneCycle(peak=0.1))
    decayed = cycle.then(
        "Weight decay", weight_decay=5e-4, target='Regularise "all" weights.', note="No.\n" + "More of it. " * 9, kept=False
    )
    wider = cycle.then("Wider", network=WIDE, target="More channels.")
    again = wider.then("Plain", network=PLAIN, id="P", kept=False)
    turned = wider.then("class", augmentation=Affine(rotate=10.0))
    return Ladder("climbed", Budget(8_000, 15, 0.994), [start, cycle, decayed, wider, again, turned])


CLIMBED = '''"""What a climb found."""

from stepladder import (
    Affine,
    Budget,
    Conv,
    GlobalAvgPool,
    Ladder,
    Network,
    OneCycle,
    Recipe,
    Step,
)

plain_network = Network(
    [Conv(8, padding=1), Conv(10, activation=None), GlobalAvgPool()]
)
wider_network = Network(
    [
        Conv(8, padding=1),
        Conv(12),
        Conv(12),
        Conv(12),
        Conv(10, kernel=1, activation=None),
        GlobalAvgPool(),
    ]
)

plain = Step(
    "Plain",
    id="0",
    network=plain_network,
    recipe=Recipe(epochs=5),
    target="See what it can learn.",
)
one_cycle = plain.then("One-cycle", schedule=OneCycle(peak=0.1))
weight_decay = one_cycle.then(
    "Weight decay",
    weight_decay=5e-4,
    target='Regularise "all" weights.',
    note=(
        "No.\\n"
        "More of it. More of it. More of it. More of it. More of it. More of it. More "
        "of it. More of it. More of it. "
    ),
    kept=False,
)
wider = one_cycle.then("Wider", network=wider_network, target="More channels.")
plain_p = wider.then("Plain", id="P", network=plain_network, kept=False)
class_step = wider.then("class", augmentation=Affine(rotate=10))

ladder = Ladder(
    "climbed",
    budget=Budget(parameters=8_000, epochs=15, accuracy=0.994),
    steps=[plain, one_cycle, weight_decay, wider, plain_p, class_step],
)
'''


def test_a_ladder_is_written_as_a_person_would_write_it() -> None:
    assert source(climbed(), "What a climb found.") == CLIMBED


def test_the_built_in_ladders_are_the_same_when_they_are_written_and_loaded(tmp_path: Path) -> None:
    for name in ladders.names():
        path = tmp_path / f"{name}.py"
        path.write_text(source(ladders.load(name)), encoding="utf-8")
        assert ladders.load(str(path)) == ladders.load(name)
    checked(tmp_path)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (5e-4, "5e-4"),
        (1.25e-5, "1.25e-5"),
        (0.001, "0.001"),
        (0.1, "0.1"),
        (15.0, "15"),
        (8_000, "8_000"),
        (1024, "1024"),
        (0, "0"),
    ],
)
def test_numbers_are_written_as_people_write_them(found: float, expected: str) -> None:
    assert number(found) == expected
    assert float(expected) == found


def test_no_variable_hides_another_name_and_each_is_there_once() -> None:
    titles = ["lambda", "Max", "l", "ladder", "match", "3 x 3", "日本", "Plain", "Plain", "plain-2", "x" * 60, "x" * 61]
    steps = [Step("The first of all steps that there are", PLAIN)]
    for place, title in enumerate(titles):
        steps.append(steps[0].then(title, epochs=place + 1, id=f"I{place}"))
    tree = ast.parse(source(Ladder("names", Budget(10_000, 15, 0.9), steps)))
    found = [node.targets[0].id for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]
    assert found == [
        *(
            "the_first_of_all_steps_that",
            "lambda_step",
            "max_step",
            "l_step",
            "ladder_step",
            "match_step",
            "step_3_x_3",
            "i6",
            "plain",
            "plain_i8",
        ),
        *("plain_2", "x" * 32, f"{'x' * 32}_i11", "ladder"),
    ]


class Small(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(784, 10))


def test_a_torch_module_is_refused() -> None:
    steps = [Step("Start", PLAIN)]
    steps.append(steps[0].then("Module", network=Small))
    with pytest.raises(SpecError, match=rf"^step 'Module': its network is a module of {__file__}: write it as layers first$"):
        source(Ladder("modules", Budget(10_000, 15, 0.9), steps))


def test_what_a_file_says_of_itself_is_text() -> None:
    with pytest.raises(SpecError, match=r"^source: about holds"):
        source(climbed(), "\0")
