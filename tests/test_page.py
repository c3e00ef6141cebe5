"""The report as a browser shows it."""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import BEYOND, CUT, DESKTOP, FAINT, PAPER, PHONE, Open, chromium
from playwright.sync_api import Locator, Page
from recorded import record_climb

from stepladder import Ladder
from stepladder.job import Setup


@pytest.fixture(scope="module")
def folder(drawn: Callable[[Callable[[Setup], Ladder]], Path]) -> Path:
    """The report of the nine built-in steps with ten seeds each."""
    return drawn(partial(record_climb, seeds=10))


@pytest.fixture(scope="module")
def steps(folder: Path) -> dict[str, Any]:
    return {step["id"]: step for step in json.loads((folder / "report.json").read_text())["steps"]}


def chart(page: Page, step: str, name: str = "accuracy") -> Locator:
    return page.get_by_label(f"Test and train {name} of step {step} by epoch")


def at(chart: Locator, epoch: int) -> tuple[float, float]:
    """A point of the window above this epoch's number on the axis, in the middle of the chart's height."""
    number, whole = chart.locator("text").get_by_text(str(epoch), exact=True).bounding_box(), chart.bounding_box()
    assert number
    assert whole
    return number["x"] + number["width"] / 2, whole["y"] + whole["height"] / 2


def caption(chart: Locator) -> str:
    """The legend above a chart, with its values."""
    return chart.locator("xpath=..").locator("figcaption").inner_text().replace("\n", " ")


def said(step: dict[str, Any], epoch: int) -> tuple[str, str, str]:
    """The parts of the legend of a step's accuracies at an epoch."""
    values = {
        part: [100 * history[epoch - 1][f"{part}_accuracy"] for history in step["history"].values()] for part in ("test", "train")
    }
    texts = [f"{part} {np.mean(of):.2f} % ({min(of):.2f} to {max(of):.2f})" for part, of in values.items()]
    return f"Accuracy after epoch {epoch}", texts[0], texts[1]


def test_the_page_of_nine_steps_and_ten_seeds_is_small_and_opens_from_disk(open_page: Open, folder: Path) -> None:
    assert (folder / "report.html").stat().st_size < 1e6
    page = open_page()
    assert page.title() == "mnist: the climb to 99.40\N{NO-BREAK SPACE}%"
    assert page.evaluate("performance.getEntriesByType('resource').filter((entry) => !entry.name.startsWith('data:'))") == []


def test_the_first_screen_has_the_budget_every_step_and_the_forest_plot(open_page: Open, steps: dict[str, Any]) -> None:
    page = open_page()
    assert page.get_by_text("Budget: 99.40").is_visible()
    rows = page.locator(".ladder tbody tr")
    assert rows.count() == 9
    bottom = rows.last.bounding_box()
    assert bottom
    assert bottom["y"] + bottom["height"] < DESKTOP[1]
    means = page.locator(".forest .mean")
    places = [box["x"] for box in (means.nth(place).bounding_box() for place in range(means.count())) if box]
    effects = [step["effect"]["mean"] for step in steps.values() if step["effect"]]
    assert len(places) == len(effects) == 8
    assert np.corrcoef(places, effects)[0, 1] > 0.999
    for mean, interval in zip(places, page.locator(".forest .interval").all(), strict=True):
        box = interval.bounding_box()
        assert box
        assert box["x"] < mean < box["x"] + box["width"]


def test_every_step_shows_its_verdicts_in_words(open_page: Open, steps: dict[str, Any]) -> None:
    rows = open_page().locator(".ladder tbody tr")
    for row, step in zip(rows.all(), steps.values(), strict=True):
        assert step["target_verdict"] in row.locator(".target").inner_text()
        if step["effect"]:
            assert step["effect"]["verdict"] in row.locator(".verdict").inner_text()


def test_a_pointer_on_a_chart_shows_the_values_of_that_epoch(open_page: Open, steps: dict[str, Any]) -> None:
    page = open_page()
    curves = chart(page, "A4")
    curves.scroll_into_view_if_needed()
    for part in said(steps["A4"], 14):
        assert part in caption(curves)
    for epoch in (2, 8):
        page.mouse.move(*at(curves, epoch))
        for part in said(steps["A4"], epoch):
            assert part in caption(curves)
        guide = curves.locator(".guide").bounding_box()
        assert guide
        assert guide["x"] == pytest.approx(at(curves, epoch)[0], abs=2)
    assert "epoch 14" in caption(chart(page, "A4", "loss"))
    page.mouse.move(0, 0)
    assert "epoch 14" in caption(curves)
    assert not curves.locator(".guide").is_visible()


def test_the_keyboard_reaches_the_steps_and_moves_along_a_chart(open_page: Open, steps: dict[str, Any]) -> None:
    page = open_page()
    reached = []
    for _ in range(80):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        assert focused.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
        reached.append(focused.inner_text())
        if focused.get_attribute("role") == "slider":
            break
    assert reached[:3] == ["Ladder", "0", "A1"]
    curves = chart(page, "0")
    assert curves.evaluate("element => element === document.activeElement")
    for key, epoch in (("ArrowLeft", 13), ("Home", 1), ("ArrowLeft", 1), ("ArrowRight", 2), ("End", 14)):
        page.keyboard.press(key)
        for part in said(steps["0"], epoch):
            assert part in caption(curves)
        assert curves.get_attribute("aria-valuenow") == str(epoch)
        assert f"epoch {epoch}: test" in (curves.get_attribute("aria-valuetext") or "")


def test_a_finger_on_a_chart_shows_the_values_and_they_stay(open_page: Open, steps: dict[str, Any]) -> None:
    page = open_page(PHONE, has_touch=True, is_mobile=True)
    curves = chart(page, "B2")
    curves.scroll_into_view_if_needed()
    page.touchscreen.tap(*at(curves, 4))
    for part in said(steps["B2"], 4):
        assert part in caption(curves)


def test_without_script_the_page_reads_on_with_the_last_epoch(open_page: Open, steps: dict[str, Any]) -> None:
    curves = chart(open_page(java_script_enabled=False), "A1")
    for part in said(steps["A1"], 14):
        assert part in caption(curves)
    assert curves.get_attribute("role") == "img"
    assert curves.get_attribute("tabindex") is None


def test_any_two_steps_are_compared_as_the_evidence_would(open_page: Open, steps: dict[str, Any]) -> None:
    page = open_page()
    step, against = page.locator("#compare select").all()
    step.select_option("B2 Dropout")
    against.select_option("B1 Fewer parameters")
    effect = steps["B2"]["effect"]
    mean, low, high = (f"{100 * effect[name]:+.2f}".replace("-", "\N{MINUS SIGN}") for name in ("mean", "low", "high"))
    said = page.locator(".difference").inner_text().replace("\N{NO-BREAK SPACE}", " ")
    assert f"B2 is {mean} points from B1 in test accuracy (95 % interval {low} to {high}), over 10 pairs" in said
    fixed, broken = page.locator("#compare .turned h4").all_inner_texts()
    told = page.locator("#step-B2 .exchange summary").inner_text()
    assert re.findall(r"\d+(?= image)", f"{fixed} {broken}") == re.findall(r"\d+(?= image)", told)
    assert page.locator("#compare .gallery .pic").count() == page.locator("#step-B2 .exchange .pic").count() > 0
    against.select_option("B2 Dropout")
    assert page.locator(".difference").inner_text() == "The same step twice."


def test_a_dead_step_is_said_in_red(open_page: Open, small_folder: Path) -> None:
    page = open_page(folder=small_folder)
    banner = page.locator("#step-dropout").get_by_text("This change is dead")
    red, green, blue = map(int, re.findall(r"\d+", banner.evaluate("element => getComputedStyle(element).color"))[:3])
    assert red > 4 * max(green, blue)
    assert page.locator(".ladder").get_by_text("dead", exact=True).is_visible()
    assert page.get_by_text("This change is dead").count() == 1


def test_a_dark_system_has_a_dark_page(open_page: Open) -> None:
    lightness = "Math.max(...getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3))"
    assert open_page(color_scheme="light").evaluate(lightness) > 240
    assert open_page(color_scheme="dark").evaluate(lightness) < 40


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(open_page: Open, small_folder: Path, scheme: str) -> None:
    assert open_page(color_scheme=scheme).evaluate(FAINT) == []
    assert open_page(color_scheme=scheme, folder=small_folder).evaluate(FAINT) == []


@pytest.mark.parametrize("size", [PHONE, (768, 1024), (1024, 768), DESKTOP])
def test_a_page_is_never_wider_than_the_window(open_page: Open, small_folder: Path, size: tuple[int, int]) -> None:
    for page in (open_page(size), open_page(size, folder=small_folder)):
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]
        assert page.evaluate(BEYOND) == []


def test_a_phone_shows_the_tree_and_the_forest_plot_too(open_page: Open) -> None:
    page = open_page(PHONE, is_mobile=True)
    assert page.locator(".rail .dot").first.is_visible()
    boxes = [mean.bounding_box() for mean in page.locator(".forest .mean").all()]
    assert len(boxes) == 8
    assert all(box and 0 < box["x"] < PHONE[0] - box["width"] for box in boxes)


def test_print_is_light_and_cuts_nothing(open_page: Open, small_folder: Path) -> None:
    for page in (open_page(PAPER, color_scheme="dark"), open_page(PAPER, folder=small_folder)):
        page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = false))")
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(34, 38, 43)"
        assert page.evaluate("document.documentElement.scrollWidth") == PAPER[0]
        assert page.evaluate(BEYOND) == []
        assert page.evaluate(CUT) == []
        assert not page.locator("nav").is_visible()
        for table in page.locator("table").all():
            assert table.evaluate("element => element.checkVisibility() && element.getBoundingClientRect().height > 50")


@pytest.mark.parametrize(
    ("environment", "outcome"),
    [
        ({}, pytest.skip.Exception),
        ({"STEPLADDER_REQUIRE_CHROMIUM": "1"}, pytest.fail.Exception),
        ({"CI": "true"}, pytest.fail.Exception),
    ],
)
def test_a_missing_chromium_is_passed_over_but_where_it_is_required(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, str], outcome: type[BaseException]
) -> None:
    for name in ("CI", "STEPLADDER_REQUIRE_CHROMIUM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(outcome), chromium():
        pass
