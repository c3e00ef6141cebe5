"""Whole climbs on a few images: what they leave, how they go on, and that killing them changes nothing."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from inline import Inline

import stepladder as sl
from stepladder import Budget, Conv, GlobalAvgPool, Ladder, MaxPool, Network, Recipe, Step, ladders
from stepladder.climb.moves import candidates
from stepladder.lab import Lab
from stepladder.lab.climb import Wish
from stepladder.spec import UserError

KILLS = int(os.environ.get("STEPLADDER_KILLS", 1))

START = """
from stepladder import Budget, Conv, GlobalAvgPool, Ladder, MaxPool, Network, Recipe, Step

network = Network([Conv(4), MaxPool(2), Conv(6), MaxPool(2), Conv(10, activation=None), GlobalAvgPool()])
tiny = Step("Tiny", network=network, recipe=Recipe(epochs=1, batch_size=50))
ladder = Ladder("tiny", budget=Budget(parameters=1_500, epochs=2, accuracy=0.3, hold=1), steps=[tiny])
"""
TINY = Step(
    "Tiny",
    network=Network([Conv(4), MaxPool(2), Conv(6), MaxPool(2), Conv(10, activation=None), GlobalAvgPool()]),
    recipe=Recipe(epochs=1, batch_size=50),
)
BUDGET = Budget(parameters=1_500, epochs=2, accuracy=0.3, hold=1)


@pytest.fixture
def lab(tmp_path: Path, small_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lab on a few images that trains in this process."""
    monkeypatch.setattr("stepladder.lab.lab.Workers", Inline)
    monkeypatch.chdir(tmp_path)
    return sl.Lab("runs", data=small_mnist, workers=1)


def test_a_climb_leaves_a_ladder_its_story_and_a_report(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    climbed = lab.climb(TINY, BUDGET, runs=60, difference=0.02, progress=False)
    written = ladders.load("climbed.py")
    assert written == climbed.ladder
    assert written.steps[0].network == TINY.network
    assert written.last.network.parameters <= BUDGET.parameters
    for step in written.steps[1:]:
        assert step.change  # one concept each
    story = Path("runs/climbed/climb.md").read_text()
    assert story.startswith("# The climb climbed\n\nTried ")
    assert str(climbed) == re.sub(r", which the climb opened on [\d-]+", "", story)
    entries = [json.loads(line) for line in Path("runs/climbed/climb.jsonl").read_text().splitlines()]
    assert entries[0]["runs"] == 60
    assert len(climbed.climb.figures) == climbed.climb.spent <= 60 - 20
    assert {need.seed for need in climbed.climb.figures} & set(range(10)) == set()
    assert climbed.result
    confirmed = [name for name in climbed.result if climbed.result[name].evidence.seeds == tuple(range(10))]
    assert {written.steps[0].id, written.last.id} <= set(confirmed)
    report = json.loads(Path("runs/climbed/report.json").read_text())
    assert report["climb"]["headline"] in story
    assert "How this ladder was climbed" in Path("runs/climbed/report.html").read_text()


def test_a_climb_that_is_done_trains_nothing_and_says_the_same(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    once = lab.climb(TINY, BUDGET, runs=30, locked=True, progress=False)
    text, log = Path("climbed.py").read_text(), Path("runs/climbed/climb.jsonl").read_text()
    monkeypatch.setattr(Inline, "submit", None)
    again = lab.climb(TINY, BUDGET, runs=30, locked=True, progress=False)
    assert again.climb.decisions == once.climb.decisions
    assert (Path("climbed.py").read_text(), Path("runs/climbed/climb.jsonl").read_text()) == (text, log)


def test_a_locked_climb_leaves_the_test_set_unread(lab: Lab) -> None:
    climbed = lab.climb(TINY, BUDGET, runs=30, locked=True, progress=False)
    assert climbed.result is None
    records = [json.loads(path.read_text()) for path in Path("runs").glob("*/*/run.json")]
    assert records
    assert all(record["data"]["holdout"] for record in records)
    assert "The test set was not read" in Path("runs/climbed/climb.md").read_text()


def test_what_was_begun_with_something_else_is_not_gone_on_with(lab: Lab) -> None:
    lab.climb(TINY, BUDGET, runs=25, locked=True, progress=False)
    with pytest.raises(UserError, match=r"begun with runs 25, found 26: give it another name"):
        lab.climb(TINY, BUDGET, runs=26, locked=True, progress=False)
    log = Path("runs/climbed/climb.jsonl")
    lines = log.read_text().splitlines()
    log.write_text("\n".join([lines[0], lines[1].replace('"taken": false', '"taken": true'), *lines[2:]]) + "\n")
    with pytest.raises(UserError, match=r"climb.jsonl: decision 1 was .* by the records it is"):
        lab.climb(TINY, BUDGET, runs=25, locked=True, progress=False)


def test_a_file_that_it_did_not_write_is_left_alone(lab: Lab) -> None:
    Path("mine.py").write_text("ladder = None\n")
    with pytest.raises(UserError, match=r"mine.py: found something that this climb did not write"):
        lab.climb(TINY, BUDGET, runs=3, locked=True, progress=False, output="mine.py")
    lab.climb(TINY, BUDGET, runs=3, locked=True, progress=False)
    Path("climbed.py").write_text(Path("climbed.py").read_text() + "# a remark\n")
    with pytest.raises(UserError, match=r"climbed.py: found something"):
        lab.climb(TINY, BUDGET, runs=3, locked=True, progress=False)
    assert Path("climbed.py").read_text().endswith("# a remark\n")
    with pytest.raises(UserError, match=r"the climb would be called 'a b\?'"):
        lab.climb(TINY, BUDGET, runs=3, locked=True, progress=False, output="a b?.py")


def test_hours_are_seconds_of_runs(lab: Lab) -> None:
    climbed = lab.climb(TINY, BUDGET, hours=0.002, locked=True, progress=False)
    assert climbed.climb.plan.total == pytest.approx(0.002 * 3600 * 0.85)
    assert 0 < climbed.climb.spent < 2 * climbed.climb.plan.total


def test_a_climb_may_begin_with_nothing_or_a_ladder(lab: Lab) -> None:
    ladder = Ladder("tiny", BUDGET, [TINY, TINY.then("Dropout", dropout=0.1, kept=False)])
    assert lab.climb(ladder, BUDGET, runs=3, locked=True, progress=False).ladder.steps[0].title == "Tiny"
    plain = lab.climb(None, BUDGET, runs=3, locked=True, progress=False, output="plain.py").ladder.steps[0]
    assert plain.network.parameters <= BUDGET.parameters


def test_a_start_that_is_over_the_budget_is_narrowed(lab: Lab) -> None:
    small = Budget(parameters=500, epochs=1, accuracy=0.3)
    start = Step("Wide", TINY.network, Recipe(epochs=3, batch_size=50))
    root = lab.climb(start, small, runs=3, locked=True, progress=False).ladder.steps[0]
    assert root.title == "Wide, within the budget"
    long = Step("Long", TINY.network, Recipe(epochs=3, batch_size=50))
    root_of_long = lab.climb(long, BUDGET, runs=3, locked=True, progress=False, output="long.py").ladder.steps[0]
    assert (root_of_long.network, root_of_long.recipe.epochs) == (TINY.network, 2)  # fewer epochs, and no more channels
    assert 300 < root.network.parameters <= 500
    assert root.recipe.epochs == 1


def test_asking_for_what_cannot_be_is_refused_before_anything_is_trained(lab: Lab) -> None:
    small = Budget(parameters=50, epochs=2, accuracy=0.3)
    with pytest.raises(
        UserError,
        match=r"step tiny has .* with the narrowest layers, the budget .* allows 50: start from less",
    ):
        lab.climb(TINY, small, runs=30)
    with pytest.raises(UserError, match=r"expected one of them"):
        lab.climb(TINY, BUDGET)
    with pytest.raises(UserError, match=r"expected one of them"):
        lab.climb(TINY, BUDGET, runs=3, hours=1.0)
    with pytest.raises(UserError, match=r"runs is 0, expected"):
        lab.climb(TINY, BUDGET, runs=0)
    with pytest.raises(UserError, match=r"about 29 runs fit, of which 20 are for fresh seeds"):
        lab.climb(TINY, BUDGET, runs=29)
    with pytest.raises(UserError, match=r"difference is 1e-05, 0.001 points: too little for 24 pairs to show"):
        lab.climb(TINY, BUDGET, runs=30, difference=0.00001)
    with pytest.raises(UserError, match=r"no plain network .* the narrowest has [\d,]+ bytes of RAM of 10$"):
        lab.climb(None, Budget(parameters=1_500, epochs=2, accuracy=0.3, ram=10), runs=30)
    with pytest.raises(
        UserError, match=r"step tiny has [\d,]+ bytes of RAM with the narrowest layers, .* allows 10: start from less"
    ):
        lab.climb(Step("Tiny", TINY.network, Recipe(epochs=9)), Budget(parameters=1_500, epochs=2, accuracy=0.3, ram=10), runs=30)
    Path("runs/tiny").mkdir(parents=True)
    Path("runs/tiny/report.json").write_text("{}")
    with pytest.raises(UserError, match=r"found the report of another ladder of this name"):
        lab.climb(TINY, BUDGET, runs=30, output="tiny.py")
    assert not Path("runs").exists() or not list(Path("runs").glob("*/*/run.json"))


def test_candidates_whose_last_batch_would_be_one_image_are_passed_over(lab: Lab) -> None:
    point = Network([Conv(4), MaxPool(2), Conv(6), MaxPool(2), Conv(6, 5), Conv(10, 1, activation=None), GlobalAvgPool()])
    start = Step("Point", network=point, recipe=Recipe(epochs=1, batch_size=50))
    assert point.point_norm
    wish = Wish(Budget(parameters=3_000, epochs=1, accuracy=0.3), runs=30, locked=True)
    images = len(lab.images().train_images)
    left = images - images // 6
    single = [size for size in range(16, left) if left % size == 1]
    size = next(size for size in single if left % (2 * size) != 1 and 1 not in (images % size, images % (2 * size)))
    with pytest.raises(UserError, match=rf"the last of its batches of {size} has 1 of {left:,} images"):
        lab.planned(replace(start, recipe=replace(start.recipe, batch_size=size)), wish)
    twice = replace(start, recipe=replace(start.recipe, batch_size=2 * size))
    plan, _, _ = lab.planned(twice, wish)
    made = {each.value for each in plan.moves(plan.start, plan.budget) if each.concept == "batch_size"}
    assert size not in made
    assert size in {each.value for each in candidates(plan.start, plan.budget) if each.concept == "batch_size"}


def test_a_start_whose_first_epoch_diverges_is_refused_where_time_is_told_by_it(lab: Lab) -> None:
    hot = Step("Hot", network=TINY.network, recipe=Recipe(epochs=1, batch_size=50, weight_decay=999.0))
    with pytest.raises(UserError, match=r"step hot: its loss is not finite in its first epoch: start from a smaller learning rate"):
        lab.climb(hot, BUDGET, hours=0.01, locked=True, progress=False)


def test_runs_that_diverged_are_told(lab: Lab) -> None:
    hot = Step("Hot", network=TINY.network, recipe=Recipe(epochs=1, batch_size=50, weight_decay=999.0))
    lab.climb(hot, BUDGET, runs=6, locked=True, progress=False)
    assert "runs diverged, and counted as 3 of these differences worse." in Path("runs/climbed/climb.md").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process group")
def test_a_climb_that_is_killed_again_and_again_ends_with_the_same_ladder(tmp_path: Path, small_mnist: Path) -> None:
    """`STEPLADDER_KILLS=20` kills that often, and in a climb that goes on to its confirmation."""
    (tmp_path / "start.py").write_text(START)
    runs = str(18 if KILLS == 1 else 34 + 4 * KILLS)
    images = ("--data", str(small_mnist), "--difference", "2", *(["--locked"] if KILLS == 1 else []))
    command = [sys.executable, "-m", "stepladder", "climb", "start.py", *images, "--runs-budget", runs]
    assert subprocess.run([*command, "-o", "whole.py", "--runs", "whole"], cwd=tmp_path, check=False).returncode == 0
    draw, killed, there = random.Random(0), 0, dict[Path, int]()
    while killed < KILLS:
        process = subprocess.Popen([*command, "-o", "killed.py"], cwd=tmp_path, start_new_session=True)
        before = _files(tmp_path)
        while process.poll() is None and _files(tmp_path) == before:
            time.sleep(0.02)
        time.sleep(draw.uniform(0, 0.3))
        if process.poll() is not None:
            break  # it was done
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        there |= {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*/*/run.json")}
        killed += 1
    assert killed == KILLS
    assert subprocess.run([*command, "-o", "killed.py"], cwd=tmp_path, check=False).returncode == 0
    one, two = ((tmp_path / name).read_text() for name in ("whole.py", "killed.py"))
    assert one.replace('"whole"', '"killed"') == two
    logs = [(tmp_path / name / "climb.jsonl").read_text() for name in ("whole/whole", "runs/killed")]
    assert logs[0] == logs[1]
    assert there or KILLS == 1
    assert all(path.stat().st_mtime_ns == made for path, made in there.items())  # nothing that was recorded is trained again


def _files(folder: Path) -> set[Path]:
    """Whatever lies among the runs: records, checkpoints, locks and what is half written."""
    return set((folder / "runs").rglob("*"))
