import base64
import hashlib
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from recorded import built, record_small

from stepladder import data, report
from stepladder.job import Setup
from stepladder.page.trained import examples


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory, small_mnist: Path) -> Setup:
    return Setup(tmp_path_factory.mktemp("runs"), small_mnist)


@pytest.fixture(scope="module")
def folder(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the report of `small_ladder` has been written."""
    ladder, made = record_small(setup), tmp_path_factory.mktemp("report")
    report.write(built(ladder, setup), ladder, setup, made)
    return made


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return read


class Page(HTMLParser):
    """The elements of a page, and a check that they are closed in order."""

    VOID = ("meta", "link", "img", "col")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] for _, attributes in self.elements if attribute in attributes]


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "report.html").read_text())


def test_the_page_asks_for_nothing_and_its_links_lead_somewhere(page: Page, folder: Path) -> None:
    text = (folder / "report.html").read_text()
    assert "http" not in text.replace('<meta http-equiv="Content-Security-Policy"', "")
    assert "@import" not in text
    links = page.values("href") + page.values("xlink:href") + page.values("src")
    links += [link.strip("\"'") for link in re.findall(r"url\(([^)]*)\)", text)]
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert [link for link in links if not link.startswith("data:") and link.removeprefix("#") not in ids] == []
    assert {"#step-plain", "#step-rotation", "#ladder"} <= set(links)
    assert not {tag for tag, _ in page.elements} & {"iframe", "object"}


def test_only_the_pages_own_script_may_run(page: Page, folder: Path) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", (folder / "report.html").read_text(), flags=re.DOTALL)
    (policy,) = [text for text in page.values("content") if "script-src" in text]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")


def test_the_page_begins_with_the_headline_and_an_option_in_it_is_code(folder: Path, found: dict[str, Any]) -> None:
    text = (folder / "report.html").read_text()
    (said,) = re.findall(r'<p class="headline">(.*?)</p>', text)
    assert "<code>--seeds 7</code>" in said
    assert text.index('class="headline"') < text.index('class="budget"')
    plain = re.sub("<[^>]*>", "", said).replace("\N{NO-BREAK SPACE}", " ")
    assert plain == found["headline"].replace("`", "")


def test_an_analysis_is_short_and_its_figures_unfold(folder: Path, found: dict[str, Any]) -> None:
    shown = re.findall(r'<dd class="analysis">(.*?)</dd>', (folder / "report.html").read_text(), flags=re.DOTALL)
    for element, step in zip(shown, found["steps"], strict=True):
        assert len(step["analysis"].split()) < 100
        paragraphs, _, folded = element.partition("<details>")
        assert paragraphs.count("<p>") == 1 + bool(step["next"])
        assert folded.count("<li>") == len(step["figures"])
    assert sum("<details>" in element for element in shown) == 4  # the fifth step is not run


def test_what_an_author_writes_is_text(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    assert "Mind &lt;script&gt;alert(1)&lt;/script&gt; &amp; | pipes." in text


def test_what_intervals_and_p_leave_out_is_said_once_in_the_page_and_in_markdown(folder: Path) -> None:
    for name in ("report.html", "report.md"):
        text = " ".join((folder / name).read_text().replace("\N{NO-BREAK SPACE}", " ").split())
        sampled = "but a sample adds up to 1.50 points to either side at 97.00 % (in squares, not in sum)"
        assert text.count(f"that the 500 test images are {sampled}") == 1
        assert text.count("holds for a number of seeds planned beforehand and looked at once") == 1


def test_a_share_of_seeds_has_its_bound_beside_it(folder: Path) -> None:
    assert "2 of 4</b> held the target, at least 9\N{NO-BREAK SPACE}%" in (folder / "report.html").read_text()
    assert "| 2 of 4, at least 9 % |" in (folder / "report.md").read_text()


def test_a_step_that_is_not_kept_is_marked_in_the_overview_and_at_its_head(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    assert text.count("not kept") == 2
    row = text[text.index('<a href="#step-rotation"><span') :]
    assert row.index("not kept") < row.index("</th>")
    head = text[text.index('id="step-rotation"') :]
    assert head.index("not kept") < head.index("</header>")


def test_every_step_run_has_its_curves_its_matrix_and_its_images(
    page: Page, folder: Path, found: dict[str, Any], setup: Setup
) -> None:
    assert sum(tag == "svg" for tag, _ in page.elements) == 2 * 4 + 5  # curves, and a network each
    shown = [int(kinds[5:]) for kinds in page.values("class") if kinds.startswith("pic p")]
    missed = [image["index"] for step in found["steps"] for image in step["misclassified"]]
    assert Counter(missed) <= Counter(shown)
    assert set(shown) == set(missed) != set()
    images = data.load(setup.data).test_images
    pictures = re.findall(r"\.p(\d+) { background-image: url\(data:image/png;base64,(.*?)\)", (folder / "report.html").read_text())
    assert {int(index) for index, _ in pictures} == {*missed, *examples(data.load(setup.data).test_labels)}
    for index, picture in pictures:
        png = Image.open(io.BytesIO(base64.b64decode(picture)))
        assert np.array_equal(255 - np.asarray(png), images[int(index), 0])


def test_charts_carry_a_reading_for_each_epoch(page: Page, found: dict[str, Any]) -> None:
    readings = [json.loads(text) for text in page.values("data-readings")]
    assert [len(of) for of in readings] == [4] * 2 * 4
    x, test, train, *texts = readings[0][3]
    assert texts == ["4", "97.00 % (96.80 to 97.20)", "98.10 % (98.00 to 98.20)", ""]
    assert 90 < x < 100
    assert 0 < train < test < 100  # percent from the top: the train accuracy is the higher one
    assert [[reading[3] for reading in of] for of in readings] == [["1", "2", "3", "4"]] * 8
    history = found["steps"][4]["history"]["0"]
    own = [f"{100 * history[0][f'{part}_accuracy']:.2f} %" for part in ("test", "train")]
    before = np.mean([epochs[0]["test_accuracy"] for epochs in found["steps"][0]["history"].values()])
    assert readings[6][0][4:] == [*own, f"{100 * before:.2f} %"]


def test_a_misclassified_image_says_without_being_seen_what_it_is(folder: Path, found: dict[str, Any]) -> None:
    text, names = (folder / "report.html").read_text(), found["data"]["classes"]
    for image in found["steps"][0]["misclassified"][:60]:
        answers = " or ".join(names[int(answer)] for answer in image["answers"])
        assert f'aria-label="test image {image["index"]}: {names[image["label"]]}, answered {answers}"' in text
    assert found["steps"][0]["misclassified"]


def test_the_matrix_has_each_labels_share_and_marks_the_worst(folder: Path, found: dict[str, Any]) -> None:
    shares = re.findall(r'<td class="share( worst)?">([\d.]+)\s%</td>', (folder / "report.html").read_text())
    expected = found["steps"][0]["per_class"]
    assert [text for _, text in shares[:10]] == [f"{100 * share:.2f}" for share in expected]
    assert [place for place, (worst, _) in enumerate(shares[:10]) if worst] == [expected.index(min(expected))]
