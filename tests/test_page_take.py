"""What of the report can be taken away, and that its drawings can be read."""

import csv
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest
from chromium import DESKTOP, PHONE, Open
from PIL import Image
from playwright.sync_api import Page
from recorded import record_climb

from stepladder import Ladder
from stepladder.job import Setup

COLLISIONS = """() => [...document.querySelectorAll(".axes span, svg")].flatMap((axis) => {
  const labels = [...axis.querySelectorAll("i, text")].filter((label) => label.checkVisibility());
  const boxes = labels.map((label) => label.getBoundingClientRect());
  const meet = (one, other) =>
    one.left < other.right && other.left < one.right && one.top + 2 < other.bottom && other.top + 2 < one.bottom;
  return labels.filter((_, place) => boxes.some((box, other) => other < place && meet(box, boxes[place])))
    .map((label) => label.textContent);
})"""
"""Labels of axes that lie on others."""


@pytest.fixture(scope="module")
def folder(drawn: Callable[[Callable[[Setup], Ladder]], Path]) -> Path:
    return drawn(partial(record_climb, seeds=2))


def saved(page: Page, label: str) -> tuple[str, bytes]:
    """The name and the bytes of what a button saves."""
    with page.expect_download() as download:
        page.get_by_label(label, exact=True).click()
    return download.value.suggested_filename, download.value.path().read_bytes()


@pytest.mark.parametrize("width", [PHONE[0], 920, DESKTOP[0]])
def test_no_label_of_an_axis_lies_on_another(open_page: Open, width: int) -> None:
    page = open_page((width, 900))
    assert page.locator(".axes i").count() >= 4
    assert page.evaluate(COLLISIONS) == []


def test_a_text_that_is_cut_has_all_of_it_on_hover(open_page: Open) -> None:
    found = open_page((920, 900)).evaluate(
        "() => [...document.querySelectorAll('.brief')].filter((text) => text.scrollHeight > text.clientHeight + 1).map((text) => "
        "[text.title, text.lastChild.textContent.trim()])"
    )
    assert found
    assert [title for title, said in found if title not in said] == []


def test_a_figure_is_saved_as_a_drawing_that_stands_alone(open_page: Open) -> None:
    page = open_page(color_scheme="light")
    name, raw = saved(page, "Save as SVG: Step A4: accuracy by epoch")
    assert name == "step-a4-accuracy-by-epoch.svg"
    root = ElementTree.fromstring(raw)
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")] + [
        text.text for text in root.iter("{http://www.w3.org/2000/svg}tspan")
    ]
    assert {"Step A4: accuracy by epoch", "99 %", "epoch", "test", "train", "A3", "target"} <= set(texts)
    assert b"var(" not in raw
    assert b"#1766a8" in raw  # the page's colour of test


def test_a_figure_is_saved_as_a_picture_with_something_in_it(open_page: Open) -> None:
    name, raw = saved(open_page(color_scheme="dark"), "Save as PNG: Step A4: accuracy in the late epochs by epoch")
    assert name.endswith(".png")
    image = Image.open(io.BytesIO(raw)).convert("RGB")
    assert image.width > 1_000
    assert image.getpixel((0, 0)) == (0x15, 0x18, 0x1B)
    assert (0x6F, 0xB2, 0xF0) in {color for _, color in image.getcolors(1 << 20) or []}


def test_a_table_is_copied_as_csv(open_page: Open) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.get_by_label("Copy as CSV: Layers of step B4").click()
    page.get_by_text("copied").wait_for()
    rows = list(csv.DictReader(io.StringIO(page.evaluate("navigator.clipboard.readText()"))))
    numbers = [int(row["Parameters"]) for row in rows[1:-1]]
    assert sum(numbers) == int(rows[-1]["Parameters"]) > 1_000
    page.get_by_label("Copy as CSV: The ladder").click()
    page.get_by_text("copied").nth(1).wait_for()
    table = list(csv.reader(io.StringIO(page.evaluate("navigator.clipboard.readText()"))))
    assert len(table) == 1 + 9
    assert len({len(row) for row in table}) == 1


def test_without_a_script_nothing_is_offered_that_does_nothing(open_page: Open) -> None:
    page = open_page(java_script_enabled=False)
    assert page.locator("svg").count() == 9 * 4
    assert page.locator("button").count() == 0
