"""`check`, `compare` and `report --open`: what they print of records, and their exit codes."""

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import commands
import pytest
from recorded import record_run

from stepladder import ladders
from stepladder.job import Setup
from stepladder.steps import Ladder

LADDER = """
from stepladder import Affine, Budget, Conv, GlobalAvgPool, Ladder, Network, Recipe, Step

tiny = Network([Conv(8, stride=2), Conv(16, stride=2), Conv(10, activation=None), GlobalAvgPool()])
plain = Step("Plain", network=tiny, recipe=Recipe(epochs=3))
dropout = plain.then("Dropout", dropout=0.1)
rotation = dropout.then("Rotation", augmentation=Affine(rotate=10))
ladder = Ladder("tiny", Budget(parameters=5_000, epochs=5, accuracy=0.97, hold=2), [plain, dropout, rotation])
"""

REACHED, MISSED, OPEN = (489, 490, 491, 490), (480, 481, 482, 481), (480, 490, 486, 491)
"""Right answers of four seeds, of 500 (the target is 485)."""

Climb = tuple[Ladder, Setup]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def climb(tmp_path: Path, small_mnist: Path) -> Climb:
    """A ladder of three steps, in a file, and where its records are expected."""
    (tmp_path / "tiny.py").write_text(LADDER)
    return ladders.load(str(tmp_path / "tiny.py")), Setup(tmp_path / "runs", small_mnist)


@pytest.fixture
def stepladder(tmp_path: Path, small_mnist: Path) -> Command:
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return commands.stepladder(*arguments, "--data", str(small_mnist), folder=tmp_path)

    return call


def record(climb: Climb, step: str, correct: Sequence[int], weights: str = "") -> None:
    """A record for each seed, with this many right answers in the last two of three epochs."""
    ladder, setup = climb
    for seed, right in enumerate(correct):
        record_run(setup, ladder.step(step), seed, [450, right, right], weights=f"{weights or step} {seed}".encode(), ladder="tiny")


def record_all(climb: Climb, last: Sequence[int]) -> None:
    record(climb, "plain", MISSED)
    record(climb, "dropout", MISSED)
    record(climb, "rotation", last)


def test_check_passes_where_the_last_step_reaches_the_target(climb: Climb, stepladder: Command) -> None:
    record_all(climb, REACHED)
    result = stepladder("check", "tiny.py")
    assert result.returncode == 0, result
    rows = {line.split()[0]: line for line in reversed(result.stdout.splitlines()) if line.strip()}  # the table comes first
    assert "missed" in rows["plain"]
    assert "reached" in rows["rotation"]
    assert "98.00%" in rows["rotation"]
    assert result.stdout.splitlines()[-1].startswith("passed: ")


def test_check_fails_where_the_last_step_misses_the_target(climb: Climb, stepladder: Command) -> None:
    record_all(climb, MISSED)
    result = stepladder("check", "tiny.py")
    assert result.returncode == 1
    assert "FAILED: step rotation, the last that is kept, misses the target of 97.00 %: 96.200 % over 4 seeds" in result.stdout


def test_check_judges_the_last_step_that_is_kept(climb: Climb, stepladder: Command, tmp_path: Path) -> None:
    record(climb, "plain", REACHED)
    record(climb, "dropout", REACHED)
    record(climb, "rotation", MISSED)
    written = LADDER.replace("augmentation=", "kept=False, augmentation=")
    assert written != LADDER
    (tmp_path / "tiny.py").write_text(written)
    result = stepladder("check", "tiny.py")
    assert result.returncode == 0, result
    assert result.stdout.splitlines()[-1].endswith("the target is reached by dropout, the last step that is kept")
    assert "FAILED" not in result.stdout


@pytest.mark.parametrize(
    ("last", "verdict"),
    [(OPEN, "undecided"), (REACHED[:1], "one run: too few to judge"), (MISSED[:1], "one run: too few to judge")],
)
def test_check_says_neither_yes_nor_no_where_runs_are_too_few_to_tell(
    climb: Climb, stepladder: Command, last: Sequence[int], verdict: str
) -> None:
    record_all(climb, last)
    result = stepladder("check", "tiny.py")
    assert result.returncode == 3, result
    last_line = result.stdout.splitlines()[-1]
    assert last_line.startswith("UNDECIDED: rotation, the last step that is kept, ")
    assert verdict in last_line
    assert "passed" not in result.stdout
    assert stepladder("check", "tiny.py", "--allow-undecided").returncode == 0
    assert json.loads(stepladder("check", "tiny.py", "--json").stdout)["outcome"] == "undecided"


def test_check_cannot_tell_from_fewer_epochs_than_must_hold(climb: Climb, stepladder: Command, tmp_path: Path) -> None:
    record_all(climb, REACHED)
    (tmp_path / "tiny.py").write_text(LADDER.replace("hold=2", "hold=4"))
    result = stepladder("check", "tiny.py")
    assert result.returncode == 3
    assert "too few epochs to judge" in result.stdout.splitlines()[-1]


def test_check_fails_where_the_seeds_are_accurate_and_do_not_hold(climb: Climb, stepladder: Command) -> None:
    ladder, setup = climb
    for seed, right in enumerate(REACHED):
        record_run(setup, ladder.step("rotation"), seed, [450, 480, right], ladder="tiny")
    result = stepladder("check", "tiny.py", "--allow-undecided")
    assert result.returncode == 1
    assert "FAILED: step rotation, the last that is kept, is accurate, not held: 98.000 % over 4 seeds" in result.stdout
    assert "0 of 4 of the seeds held 97.00 %" in result.stdout


def test_check_documents_its_exit_codes() -> None:
    result = commands.stepladder("check", "--help")
    words = " ".join(result.stdout.split())
    assert "Exits with 0 where the last step that is kept reaches the target" in words
    assert "With 1 where" in words
    assert "With 3 where" in words
    assert "--allow-undecided" in words


def test_brackets_and_colons_in_a_title_are_text(climb: Climb, stepladder: Command, tmp_path: Path) -> None:
    title = "Dropout [see note] x[/nope] :smile:"
    (tmp_path / "tiny.py").write_text(LADDER.replace('"Dropout",', f'"{title}", id="dropout",'))
    record_all(climb, REACHED)
    result = stepladder("report", "tiny.py")
    assert result.returncode == 0, result
    assert title in result.stdout
    shown = commands.stepladder("show", "tiny.py", "dropout", folder=tmp_path)
    assert title in shown.stdout


def test_check_fails_where_a_step_changes_nothing(climb: Climb, stepladder: Command) -> None:
    record(climb, "plain", MISSED)
    record(climb, "dropout", MISSED, weights="plain")
    record(climb, "rotation", REACHED)
    result = stepladder("check", "tiny.py")
    assert result.returncode == 1
    assert "FAILED: step dropout is dead, it changes nothing: its weights are those of plain" in result.stdout


def test_check_fails_where_a_step_breaks_the_budget(climb: Climb, stepladder: Command, tmp_path: Path) -> None:
    record_all(climb, REACHED)
    (tmp_path / "tiny.py").write_text(LADDER.replace("5_000", "500"))
    result = stepladder("check", "tiny.py")
    assert result.returncode == 1
    assert "FAILED: step plain is over budget: it has 2,732 parameters, the budget allows 500" in result.stdout
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert all("over budget" in rows[step] for step in ("plain", "dropout", "rotation"))


def test_check_fails_where_the_last_step_is_not_run_or_diverged(climb: Climb, stepladder: Command) -> None:
    record(climb, "plain", REACHED)
    assert "FAILED: step rotation, the last that is kept, has not been run" in stepladder("check", "tiny.py").stdout
    ladder, setup = climb
    record_run(setup, ladder.step("rotation"), 0, [450], diverged=True, ladder="tiny")
    result = stepladder("check", "tiny.py")
    assert result.returncode == 1
    assert "has no finished run: 1 run diverged" in result.stdout


def test_check_prints_the_same_as_data(climb: Climb, stepladder: Command) -> None:
    record_all(climb, MISSED)
    result = stepladder("check", "tiny.py", "--json")
    found = json.loads(result.stdout)
    assert result.returncode == 1
    assert [step["id"] for step in found["steps"]] == ["plain", "dropout", "rotation"]
    assert [step["target_verdict"] for step in found["steps"]] == ["missed"] * 3
    assert found["steps"][0]["effect"] is None
    assert found["steps"][1]["effect"]["mean"] == 0
    assert found["steps"][1]["effect"]["verdict"] == "undecided"
    assert found["outcome"] == "failed"
    assert len(found["failures"]) == 1


def test_compare_pairs_any_two_steps_over_the_seeds_that_both_have(climb: Climb, stepladder: Command) -> None:
    record(climb, "plain", MISSED)
    record(climb, "rotation", REACHED[:3])
    result = stepladder("compare", "tiny.py", "rotation", "plain")
    assert result.returncode == 0, result
    assert result.stdout.splitlines()[0] == "rotation: 98.000 % over 3 seeds, 95 % interval 97.503 to 98.497 %"
    assert "Against plain, paired over 3 seeds, it is +1.80 points" in result.stdout
    back = json.loads(stepladder("compare", "tiny.py", "plain", "rotation", "--json").stdout)
    assert back["effect"]["mean"] == pytest.approx(-0.018)
    assert back["effect"]["n"] == 3
    assert back["effect"]["p"] == 0.25
    assert back["effect"]["verdict"] == "undecided"
    assert back["test_accuracy"]["plain"]["n"] == 4


def test_compare_of_single_runs_tells_what_they_cannot(climb: Climb, stepladder: Command) -> None:
    record(climb, "plain", [480])
    record(climb, "dropout", [484])
    result = stepladder("compare", "tiny.py", "dropout", "plain")
    assert "4 images only this run answers right, 0 only the other (McNemar p 0.125)" in result.stdout
    assert "cannot tell a change from the seed; one pair: too few to judge." in result.stdout


def test_what_is_printed_as_data_is_json_whatever_the_records(climb: Climb, stepladder: Command) -> None:
    for last in ((500,), (500, 500), (0, 500)):
        record(climb, "plain", last)
        record(climb, "dropout", last)
        for command in (("check", "tiny.py", "--json"), ("compare", "tiny.py", "dropout", "plain", "--json")):
            json.loads(stepladder(*command).stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        shutil.rmtree(climb[1].runs)


def test_compare_refuses_what_cannot_be_paired(climb: Climb, stepladder: Command) -> None:
    record(climb, "plain", MISSED)
    result = stepladder("compare", "tiny.py", "plain", "dropout")
    assert result.returncode == 2
    assert "plain and dropout have no finished seed in common: plain has 0, 1, 2, 3, dropout has none" in result.stderr
    assert "has no step 'nothing'" in stepladder("compare", "tiny.py", "plain", "nothing").stderr


def test_report_opens_the_page_in_the_browser(
    climb: Climb, stepladder: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(climb, "plain", MISSED)
    opened = list[str]()

    def browser(address: str) -> bool:
        opened.append(address)
        return True

    monkeypatch.setattr("webbrowser.open", browser)
    result = stepladder("report", "tiny.py", "--open")
    assert result.returncode == 0, result
    assert opened == [(tmp_path / "runs" / "tiny" / "report.html").as_uri()]
    assert (tmp_path / "runs" / "tiny" / "report.html").is_file()
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    result = stepladder("report", "tiny.py", "--open")
    assert (result.returncode, "no browser was found to open" in result.stderr) == (2, True)
