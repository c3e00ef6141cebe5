"""The end of `run`: what came out, where the page is, and a next command that works as typed."""

import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import typer
from arms import LABELS, arm
from commands import stepladder
from test_cli import LADDER
from test_quick import TINY

from stepladder import Budget, Ladder, Recipe, Step
from stepladder.analysis import headline
from stepladder.cli import app, closing, ending
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


def test_the_first_line_is_the_headline_of_the_report() -> None:
    found = gathered({"plain": 0.98, "dropout": 0.985, "smooth": 0.9852}, 10)
    said, *_ = closing.lines(SMALL, found, Path("report.html"), ["run", "mine.py"], quick=False)
    assert said == headline(SMALL, found)
    assert said.startswith(
        "No step reaches the target of 99.00 %; of 2 changes, dropout and smooth are shown to help (10 seeds each)."
    )
    first, *_ = closing.lines(SMALL, found, Path("report.html"), ["run", "mine.py", "--quick"], quick=True)
    assert first == "A first look, of few epochs and images: it decides nothing. Best so far: smooth, 98.53 %."


def test_arguments_are_left_out_with_their_values() -> None:
    given = ["run", "mine.py", "--seeds", "3", "--runs=seeds", "--seeds=4", "--force", "--data", "my pictures"]
    assert closing.without(given, {"--seeds": 1, "--force": 0}) == ["run", "mine.py", "--runs=seeds", "--data", "my pictures"]


def test_seeds_are_asked_for_until_each_change_of_the_ladder_can_be_shown() -> None:
    # Two changes: p 2 / 2^6 doubled by Holm is 0.06, 2 / 2^7 doubled is 0.03.
    for seeds, expected in ((1, "run mine.py --seeds 7"), (6, "run mine.py --seeds 7"), (7, "report mine.py --open")):
        found = gathered({"plain": 0.98, "dropout": 0.98, "smooth": 0.98}, seeds)
        assert closing.following(["run", "mine.py"], found, quick=False).endswith(f"{expected}`")


@pytest.mark.parametrize(
    ("seeds", "quick", "expected"),
    [
        (1, True, "run mine.py --seeds 1"),
        (1, False, "run mine.py --quick --seeds 2"),  # which will do for a mean so far from the target
        (6, False, "report mine.py --quick --open"),
    ],
)
def test_what_to_do_next_goes_by_what_there_is(seeds: int, quick: bool, expected: str) -> None:
    arguments = ["run", "mine.py", "--seeds", "1", "--quick"]
    found = closing.following(arguments, gathered({"plain": 0.98}, seeds), quick)
    assert found.endswith(f"{expected}`")


def test_the_options_of_run_alone_are_left_out_of_the_next_command() -> None:
    run, report = (
        {option for each in found.params for option in each.opts if option.startswith("--")}
        for name, found in typer.main.get_group(app).commands.items()
        if name in ("run", "report")
    )
    assert closing.OWN.keys() - {"--force"} == run - report  # what was forced once is not forced again


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
    assert said.startswith(
        "Too few epochs to judge the target of 50.00 %, which must hold for the last 5 (6 seeds). Best mean: plain, "
    )
    assert page == f"The page: {(tmp_path / 'runs/tiny/report.html').as_uri()}"
    command = following.partition("`")[2].removesuffix("`")
    assert command.endswith(f"report tiny.py --data {small_mnist} --epochs 1 --open")
    done = subprocess.run(f"BROWSER=true {command}", shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done
