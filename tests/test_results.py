"""The published results are what the present code makes of their figures."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from stepladder import Ladder, ladders, networks, report
from stepladder.evidence import estimate, held, target
from stepladder.page.html import html
from stepladder.page.markdown import markdown

ROOT = Path(__file__).parent.parent
NAMES = sorted(path.stem for path in (ROOT / "results").glob("*.json"))
FOUND: dict[str, dict[str, Any]] = {name: json.loads((ROOT / "results" / f"{name}.json").read_text()) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_published_report_is_what_the_present_code_writes(name: str) -> None:
    found, ladder = FOUND[name], ladders.load(name)
    assert found["schema"] == report.SCHEMA
    assert markdown(found, ladder) == (ROOT / "results" / f"{name}.md").read_text()
    images = np.zeros((found["images"], *found["data"]["input"]), np.uint8)
    with patch("stepladder.page.views.charts", return_value=None):
        page = html(found, ladder, images)
    assert f"<h1>{name}</h1>" in page
    assert page.count("on a micro-controller, in 8-bit integers") == len(ladder.steps)


@pytest.mark.parametrize("name", NAMES)
def test_what_its_steps_take_on_a_micro_controller_is_what_the_present_code_plans(name: str) -> None:
    planned = [networks.planned(step.network)._asdict() for step in ladders.load(name).steps]
    assert [step["device"] for step in FOUND[name]["steps"]] == planned


@pytest.mark.parametrize("name", NAMES)
def test_a_report_of_before_these_figures_were_told_is_written_without_them(name: str) -> None:
    steps = [{key: value for key, value in step.items() if key != "device"} for step in FOUND[name]["steps"]]
    found, ladder = FOUND[name] | {"steps": steps}, ladders.load(name)
    assert "micro-controller" not in markdown(found, ladder)
    with patch("stepladder.page.views.charts", return_value=None):
        page = html(found, ladder, np.zeros((found["images"], *found["data"]["input"]), np.uint8))
    assert "micro-controller" not in page


@pytest.mark.parametrize("name", NAMES)
def test_its_targets_are_judged_by_the_present_rules(name: str) -> None:
    found, ladder = FOUND[name], ladders.load(name)
    for data, step in zip(found["steps"], ladder.steps, strict=True):
        histories = [[epoch["test_accuracy"] for epoch in data["history"][str(seed)]] for seed in data["seeds"]]
        share = held(histories, ladder.budget.accuracy, ladder.budget.hold)
        judged = target(step, ladder.budget, estimate([history[-1] for history in histories]), share, found["images"])
        assert (data["target_verdict"], data["target_seeds"]) == (judged.verdict, judged.seeds)


# Ladders that built themselves

CLIMBS = sorted(path.parent for path in (ROOT / "results").glob("*/climb.md"))
by_climb = pytest.mark.parametrize("folder", CLIMBS, ids=lambda folder: folder.name)


def climbed(folder: Path) -> tuple[Ladder, dict[str, Any]]:
    return ladders.load(str(folder / f"{folder.name}.py")), json.loads((folder / "report.json").read_text())


@by_climb
def test_the_report_of_a_climbed_ladder_is_what_the_present_code_writes(folder: Path) -> None:
    ladder, found = climbed(folder)
    assert found["schema"] == report.SCHEMA
    assert markdown(found, ladder) == (folder / "report.md").read_text()
    assert sha256((folder / f"{folder.name}.py").read_bytes()).hexdigest() == found["climb"]["ladder_sha256"]  # nobody edited it


@by_climb
def test_its_story_tells_the_decisions_there_were(folder: Path) -> None:
    ladder, found = climbed(folder)
    story, climb = (folder / "climb.md").read_text(), found["climb"]
    decisions = [json.loads(line) for line in (folder / "climb.jsonl").read_text().splitlines()]
    tried = [entry for entry in decisions if "after" in entry]
    assert [(each["move"], each["taken"]) for each in climb["tried"]] == [(each["move"], each["taken"]) for each in tried]
    assert story.count("\n| ") == len(tried) + 2 + sum(step["test_accuracy"] is not None for step in found["steps"])
    for move in climb["kept"]:
        assert f"**{move['title']}** ({move['concept']})" in story
    kept = [move["title"] for move in climb["kept"]]
    assert [step.title for step in ladder.steps if step.kept][-len(kept) :] == kept


@by_climb
def test_the_results_tell_its_figures(folder: Path) -> None:
    _, found = climbed(folder)
    (row,) = [line for line in (ROOT / "docs" / "results.md").read_text().splitlines() if f"results/{folder.name}/" in line]
    measured = [step["test_accuracy"] for step in found["steps"] if step["kept"] and step["test_accuracy"]]
    start, end = (f"{100 * each['mean']:.2f} ± {100 * each['sd']:.2f}" for each in (measured[0], measured[-1]))
    tried = f"{len(found['climb']['tried'])} moves, {found['climb']['runs']} runs"
    assert [start in row, f"**{end}**" in row, tried in row] == [True] * 3
    for move in found["climb"]["kept"]:
        assert move["title"].lower() in row.lower()
