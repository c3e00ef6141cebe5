"""The report on a phone, on paper, and to those who do not see it."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from chromium import DESKTOP, PAPER, PHONE, Open, violations
from recorded import WIDE, record_climb, record_run

from stepladder import Budget, Ladder, Step
from stepladder.job import Setup

SMALL = """() => [...document.querySelectorAll("a, button, summary, select, input, [role=slider]")]
  .filter((target) => target.checkVisibility())
  .map((target) => [target.outerHTML.slice(0, 90), target.getBoundingClientRect()])
  .filter(([, box]) => box.width < 44 || box.height < 44)
  .map(([text, box]) => `${box.width} x ${box.height}: ${text}`)"""
"""What can be pressed, and is less than 44 pixels wide or high."""


@pytest.fixture(scope="module")
def folder(drawn: Callable[[Callable[[Setup], Ladder]], Path]) -> Path:
    return drawn(partial(record_climb, seeds=2))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing(open_page: Open, small_folder: Path, size: tuple[int, int], scheme: str) -> None:
    assert violations(open_page(size, folder=small_folder, color_scheme=scheme)) == []


def test_a_phone_folds_what_is_long_and_has_room_for_a_finger(open_page: Open) -> None:
    page = open_page(PHONE, is_mobile=True, has_touch=True)
    assert page.locator("details.fold").count() == 4 * 9 - 1 + 2
    assert page.locator("details.fold[open]").count() == 0
    assert page.evaluate(SMALL) == []
    assert open_page().locator("details.fold[open]").count() == 4 * 9 - 1 + 2


def test_a_phone_shows_receptive_field_and_parameters_of_layers_without_scrolling(open_page: Open) -> None:
    page = open_page(PHONE, is_mobile=True)
    layers = page.locator("#step-A1 .layers")
    layers.locator("summary").click()
    for head in ("Receptive field", "Parameters"):
        box = layers.get_by_role("columnheader", name=head).bounding_box()
        assert box
        assert box["x"] + box["width"] <= PHONE[0]


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_step_that_is_read_is_marked(open_page: Open, size: tuple[int, int]) -> None:
    page = open_page(size)
    marked = page.locator("nav [aria-current=location]")
    assert marked.all_inner_texts() == ["Ladder"]
    for step in ("B4", "A2"):
        page.evaluate("step => document.getElementById(`step-${step}`).scrollIntoView()", step)
        page.locator("nav [aria-current]", has_text=step).wait_for()
        assert marked.count() == 1
        box = marked.bounding_box()
        assert box
        assert 0 <= box["x"] <= size[0] - box["width"]


def test_no_printed_page_is_half_empty(open_page: Open, tmp_path: Path) -> None:
    page = open_page(PAPER)
    page.emulate_media(media="print")
    needed = page.evaluate("document.documentElement.scrollHeight") / PAPER[1]
    page.pdf(path=tmp_path / "page.pdf", format="A4", prefer_css_page_size=True)
    pages = len(re.findall(rb"/Type ?/Page\b(?!s)", (tmp_path / "page.pdf").read_bytes()))
    print(f"{pages} pages for what would fill {needed:.1f}")
    assert needed < pages < 1.2 * needed + 1


def test_an_id_with_a_dot_is_found_and_marked(drawn: Callable[[Callable[[Setup], Ladder]], Path], open_page: Open) -> None:
    step = Step("Plain", WIDE, id="A1.2")

    def record(setup: Setup) -> Ladder:
        record_run(setup, step, 0, [450, 484])
        return Ladder("dotted", Budget(2_000, 15, 0.9), [step])

    page = open_page(DESKTOP, folder=drawn(record))
    page.locator("nav a", has_text="A1.2").click()
    page.wait_for_selector('nav a[aria-current]:has-text("A1.2")')
    assert page.locator("button").count() > 3  # which the scripts after it make
