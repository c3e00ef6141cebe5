"""The published results are what the present code makes of their figures."""

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from stepladder import ladders, networks, report
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
