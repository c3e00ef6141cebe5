"""The end of `run`: what came out, where the page is, and a next command that works as typed."""

import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from arms import LABELS, arm
from commands import stepladder
from test_cli import LADDER
from test_quick import TINY

from stepladder import Budget, Ladder, Recipe, Step
from stepladder.cli import closing, ending
from stepladder.evidence import Arm, Evidence, gather

pytestmark = pytest.mark.usefixtures("in_process")

PLAIN = Step("Plain", TINY, Recipe(epochs=2))
DROPOUT = PLAIN.then("Dropout", dropout=0.1)
ROTATED = DROPOUT.then("Smooth", label_smoothing=0.1)
SMALL = Ladder("small", Budget(10_000, 5, 0.99, hold=1), [PLAIN, DROPOUT, ROTATED])


def gathered(accuracies: dict[str, float], seeds: int) -> dict[str, Evidence]:
    """Evidence of so many seeds of each step, a little apart."""
    arms = {}
    for step in SMALL.steps:
        mean = accuracies.get(step.id)
        tests = {} if mean is None else {seed: [mean, mean + seed % 3 / 10_000] for seed in range(seeds)}
        arms[step.id] = arm(step, tests) if tests else Arm([], {})
    return gather(SMALL, arms, LABELS)


@pytest.mark.parametrize(
    ("accuracies", "seeds", "expected"),
    [
        ({"plain": 0.98}, 1, "One run a step: too few to judge. Best so far plain, 98.00 %; the target is 99.00 %."),
        (
            {"plain": 0.98, "dropout": 0.985, "smooth": 0.9852},
            10,
            "No step is shown to reach 99.00 %; 2 of 2 changes are shown to help (dropout and smooth). "
            "Best mean: smooth, 98.53 % over 10 seeds.",
        ),
        (
            {"plain": 0.98, "dropout": 0.995, "smooth": 0.995},
            10,
            "dropout and smooth reach 99.00 %; 1 of 2 changes is shown to help (dropout). "
            "Best mean: dropout, 99.51 % over 10 seeds.",
        ),
        (
            {"plain": 0.995, "dropout": 0.98},
            10,
            "plain reaches 99.00 %; the change is not shown to help. Best mean: plain, 99.51 % over 10 seeds.",
        ),
    ],
)
def test_what_came_out_is_one_sentence_of_verdicts(accuracies: dict[str, float], seeds: int, expected: str) -> None:
    assert closing.sentence(SMALL, gathered(accuracies, seeds)) == expected


def test_arguments_are_left_out_with_their_values() -> None:
    given = ["run", "mine.py", "--seeds", "3", "--runs=seeds", "--seeds=4", "--force", "--data", "my pictures"]
    assert closing.without(given, {"--seeds": 1, "--force": 0}) == ["run", "mine.py", "--runs=seeds", "--data", "my pictures"]


@pytest.mark.parametrize(
    ("seeds", "quick", "expected"),
    [
        (1, True, "run mine.py --seeds 1"),
        (1, False, "run mine.py --quick --seeds 6"),
        (6, False, "report mine.py --quick --open"),
    ],
)
def test_what_to_do_next_goes_by_what_there_is(seeds: int, quick: bool, expected: str) -> None:
    arguments = ["run", "mine.py", "--seeds", "1", "--quick"]
    found = closing.following(arguments, gathered({"plain": 0.98}, seeds), quick)
    assert found.endswith(f"{expected}`")


def test_a_command_goes_by_the_path_of_this_python_where_the_shell_finds_none(tmp_path: Path) -> None:
    python, own = tmp_path / "my env/python", tmp_path / "my env/stepladder"
    python.parent.mkdir()
    with patch.object(ending, "sys", SimpleNamespace(executable=str(python))), patch("shutil.which", return_value=None):
        assert ending.command("show", "mnist") == f"`{shlex.quote(str(python))} -m stepladder show mnist`"
        own.touch()
        assert ending.command("show", "a b.py") == f"`{shlex.quote(str(own))} show 'a b.py'`"
        with patch("shutil.which", return_value=str(own)):
            assert ending.command("show", "mnist") == "`stepladder show mnist`"


def test_a_run_ends_with_what_came_out_the_page_and_a_command_that_works(tmp_path: Path, small_mnist: Path) -> None:
    (tmp_path / "tiny.py").write_text(LADDER)
    ran = stepladder(
        "run", "tiny.py", "--data", str(small_mnist), "--steps", "plain", "--seeds", "6", "--epochs", "1", folder=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    said, page, following = ran.stdout.splitlines()[-3:]
    assert "shown to reach 50.00 %" in said or "plain reaches 50.00 %" in said
    assert page == f"The page: {(tmp_path / 'runs/tiny/report.html').as_uri()}"
    command = following.partition("`")[2].removesuffix("`")
    assert command.endswith(f"report tiny.py --data {small_mnist} --epochs 1 --open")
    done = subprocess.run(f"BROWSER=true {command}", shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done
