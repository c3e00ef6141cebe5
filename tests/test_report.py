import base64
import hashlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stepladder import data, ladders, records, report
from stepladder.job import Job, Setup
from stepladder.page import views, words
from stepladder.page.charts import Curves, accuracy_chart, loss_chart
from stepladder.page.tree import Rail, rails
from stepladder.records import Epoch, Record, RecordError
from stepladder.spec import Affine, Budget, Change, Conv, GlobalAvgPool, Ladder, Linear, MaxPool, Network, Step, StepLR, to_data

GOLDEN = Path(__file__).parent / "golden" / "report.md"
IMAGES = 500  # test images of small_mnist
ENVIRONMENT = {"processor": "Abacus 3000", "threads": 1, "torch": "2.13.0", "commit": "abc", "date": "2026-11-23T13:56:21+00:00"}

WIDE = Network([Conv(8), MaxPool(2), Conv(12), GlobalAvgPool(), Linear(10)])
NARROW = Network([Conv(8), MaxPool(2), Conv(10, activation=None), GlobalAvgPool()])


def make_ladder() -> Ladder:
    """A fork, a dead step, a step that diverged once and one that is not run."""
    plain = Step("Plain", WIDE, target="See what it learns.", note="Mind <script>alert(1)</script> & | pipes.")
    narrow = plain.then("Narrow", network=NARROW, target="The same with less.")
    dropout = narrow.then("Dropout", dropout=0.05, target="Close the gap.")
    decay = dropout.then("Decay", schedule=StepLR(every=2), target="Calm the end.")
    rotation = plain.then("Rotation", augmentation=Affine(rotate=15), target="Harder images.")
    return Ladder(
        "small", Budget(parameters=1_200, epochs=4, accuracy=0.97, hold=2), [plain, narrow, dropout, decay, rotation]
    ).with_epochs(4)


def record_run(
    setup: Setup, step: Step, seed: int, correct: Sequence[int], weights: bytes = b"", *, diverged: bool = False
) -> None:
    """Write a record whose test set is answered right `correct[epoch]` times; in the end the first images are missed."""
    job = Job("small", step, seed, setup)
    labels = data.load(setup.data).test_labels.astype(int)
    answers = labels.copy()
    answers[: IMAGES - correct[-1]] = (labels[: IMAGES - correct[-1]] + 1 + seed) % 10
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (labels, answers), 1)
    history = [
        Epoch(epoch, step.recipe.rate(epoch - 1), 0.5 / epoch, 0.94 + epoch / 100 + seed / 1000,
              0.4 / epoch, right / IMAGES, right, 1.0)
        for epoch, right in enumerate(correct, start=1)
    ]  # fmt: skip
    weights = weights or f"{step.id} {seed}".encode()
    record = Record(
        records.SCHEMA, "small", step.id, step.title, seed, job.fingerprint, "diverged" if diverged else "finished",
        step.network.parameters, step.recipe.epochs, history, None if diverged else confusion.tolist(),
        hashlib.sha256(weights).hexdigest(), ENVIRONMENT, to_data(step.network), to_data(step.recipe), "",
    )  # fmt: skip
    records.write(job.folder, record, weights, None if diverged else np.eye(10, dtype=np.float32)[answers])


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory, small_mnist: Path) -> Setup:
    """The records of `make_ladder`."""
    made = Setup(tmp_path_factory.mktemp("runs"), small_mnist)
    plain, narrow, dropout, _, rotation = make_ladder().steps
    for seed, last in enumerate((484, 486, 485)):
        record_run(made, plain, seed, [450, 470, 480, last])
        record_run(made, narrow, seed, [450, 470, 486, last + seed], weights=f"narrow {seed}".encode())
        record_run(made, dropout, seed, [450, 470, 486, last + seed], weights=f"narrow {seed}".encode())
    record_run(made, narrow, 3, [450, 300], diverged=True)
    record_run(made, rotation, 0, [450, 470, 490, 488])
    return made


@pytest.fixture(scope="module")
def found(setup: Setup) -> dict[str, Any]:
    return report.build(make_ladder(), setup)


@pytest.fixture(scope="module")
def folder(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a report has been written."""
    made = tmp_path_factory.mktemp("report") / "new"
    report.write(report.build(make_ladder(), setup), make_ladder(), setup, made)
    return made


class Page(HTMLParser):
    """The elements of a page, and a check that they are closed in order."""

    VOID = ("meta", "link", "img")

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


def test_importing_the_report_loads_no_torch() -> None:
    code = "import sys, stepladder.report; print(sorted({'torch', 'matplotlib.pyplot'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_steps_come_in_ladder_order_with_what_they_changed(found: dict[str, Any]) -> None:
    assert [(step["id"], step["parent"]) for step in found["steps"]] == [
        ("plain", None), ("narrow", "plain"), ("dropout", "narrow"), ("decay", "dropout"), ("rotation", "plain"),
    ]  # fmt: skip
    changes = [step["change"] for step in found["steps"]]
    assert changes[0] is None
    assert changes[1]["concept"] == "network"
    assert changes[1]["new"]["layers"][-1] == {"type": "GlobalAvgPool"}
    assert changes[2] == {"concept": "dropout", "old": 0, "new": 0.05}
    assert changes[3] == {"concept": "schedule", "old": None, "new": {"type": "StepLR", "every": 2, "factor": 0.1}}
    assert found["budget"] == {"parameters": 1_200, "epochs": 4, "accuracy": 0.97, "hold": 2}
    assert found["machines"] == [{"processor": "Abacus 3000", "threads": 1, "torch": "2.13.0", "commit": "abc"}]
    assert found["made"] == "2026-11-23"


def test_accuracies_are_those_of_the_last_epoch_over_the_finished_seeds(found: dict[str, Any]) -> None:
    narrow = found["steps"][1]
    assert (narrow["n"], narrow["seeds"], narrow["diverged"]) == (3, [0, 1, 2], [3])
    assert narrow["test_accuracy"]["mean"] == pytest.approx((484 + 487 + 487) / 3 / IMAGES)
    assert narrow["test_accuracy"]["worst"] == 484 / IMAGES
    half = 4.302653 * 0.001 / 3**0.5  # t(0.975, 2), from a table
    train = {"mean": 0.981, "sd": 0.001, "low": 0.981 - half, "high": 0.981 + half, "worst": 0.98}
    assert narrow["train_accuracy"] == pytest.approx(train, rel=1e-6)
    assert narrow["best"] == {"accuracy": 487 / IMAGES, "epochs": 4, "seeds": 3}
    assert narrow["effect"]["n"] == 3
    assert narrow["effect"]["mean"] == pytest.approx((0 + 1 + 2) / 3 / IMAGES)
    assert [len(narrow["history"][seed]) for seed in ("0", "1", "2", "3")] == [4, 4, 4, 2]


def test_a_seed_that_diverged_does_not_hold_the_target(found: dict[str, Any]) -> None:
    shares = [step["held"] and (step["held"]["share"], step["held"]["n"]) for step in found["steps"]]
    # 0.97 of 500 is 485: plain is below it in its third epoch
    assert shares == [(0.0, 3), (0.5, 4), (2 / 3, 3), None, (1.0, 1)]


def test_a_step_with_the_weights_of_its_parent_is_dead(found: dict[str, Any]) -> None:
    assert [step["live"] for step in found["steps"]] == [None, True, False, None, True]


def test_errors_are_summed_over_seeds(found: dict[str, Any], setup: Setup) -> None:
    step = found["steps"][0]  # misses the first 16, 14 and 15 images
    labels = data.load(setup.data).test_labels.tolist()
    assert [image["index"] for image in step["misclassified"]] == list(range(16))
    assert [image["missed_by"] for image in step["misclassified"]] == [3] * 14 + [2, 1]
    assert step["misclassified"][14] == {
        "index": 14, "label": labels[14], "missed_by": 2,
        "answers": {str((labels[14] + 1) % 10): 1, str((labels[14] + 3) % 10): 1},
    }  # fmt: skip
    matrix = np.array(step["confusion"])
    assert matrix.sum() == 3 * IMAGES
    assert np.trace(matrix) == 484 + 486 + 485
    assert matrix.sum(axis=1).tolist() == (3 * np.bincount(labels)).tolist()


def test_a_step_without_records_is_not_run(found: dict[str, Any]) -> None:
    decay = found["steps"][3]
    assert decay["n"] == 0
    assert decay["analysis"] == "Not run."
    for name in ("test_accuracy", "train_accuracy", "held", "best", "effect", "live", "confusion"):
        assert decay[name] is None
    assert decay["parameters"] == NARROW.parameters
    assert decay["layers"][0]["rf_out"] == 3


def test_the_file_is_strict_json_of_short_lines_and_its_fields_are_documented(folder: Path, found: dict[str, Any]) -> None:
    text = (folder / "report.json").read_text()
    read = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert read == json.loads(json.dumps(found))
    assert max(len(line) for line in text.splitlines() if '"analysis"' not in line) <= 140
    names = {*found, *(name for step in found["steps"] for name in step)}
    assert [name for name in names if f"`{name}`" not in (report.__doc__ or "")] == []


def test_the_same_records_give_the_same_bytes(folder: Path, setup: Setup, tmp_path: Path) -> None:
    paths = report.write(report.build(make_ladder(), setup), make_ladder(), setup, tmp_path)
    assert paths == [tmp_path / name for name in ("report.json", "report.md", "report.html")]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    for path in paths:
        assert path.read_bytes() == (folder / path.name).read_bytes()


def test_a_record_that_cannot_be_read_leaves_the_old_report_whole(small_mnist: Path, tmp_path: Path) -> None:
    ladder, made = make_ladder(), Setup(tmp_path / "runs", small_mnist)
    record_run(made, ladder.steps[0], 0, [400, 450, 470, 480])
    paths = report.write(report.build(ladder, made), ladder, made, tmp_path / "report")
    before = [path.read_bytes() for path in paths]
    file = Job("small", ladder.steps[0], 0, made).folder / "run.json"
    file.write_text(file.read_text().replace('"schema": 1', '"schema": 99'))
    with pytest.raises(RecordError, match="found schema 99, expected 1"):
        report.write(report.build(ladder, made), ladder, made, tmp_path / "report")
    assert [path.read_bytes() for path in paths] == before


def test_markdown_is_as_agreed(folder: Path) -> None:
    assert (folder / "report.md").read_text() == GOLDEN.read_text()


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
    assert not {tag for tag, _ in page.elements} & {"script", "iframe", "object"}


def test_what_an_author_writes_is_text(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    assert "Mind &lt;script&gt;alert(1)&lt;/script&gt; &amp; | pipes." in text


def test_every_step_run_has_its_curves_its_matrix_and_its_images(page: Page, found: dict[str, Any], setup: Setup) -> None:
    assert sum(tag == "svg" for tag, _ in page.elements) == 2 * 4
    pictures = [attributes["src"] for tag, attributes in page.elements if tag == "img"]
    missed = [image["index"] for step in found["steps"] for image in step["misclassified"]]
    assert len(pictures) == len(missed) > 0
    images = data.load(setup.data).test_images
    for picture, index in zip(pictures, missed, strict=True):
        png = Image.open(io.BytesIO(base64.b64decode(picture.removeprefix("data:image/png;base64,"))))
        assert np.array_equal(255 - np.asarray(png), images[index])


def test_the_gallery_stops_at_sixty(setup: Setup) -> None:
    images = data.load(setup.data).test_images
    missed = [{"index": index, "label": 0, "missed_by": 1, "answers": {}} for index in range(70)]
    shown = views.gallery(missed, images)
    assert [image["index"] for image in shown] == list(range(60))


def test_a_verdict_needs_every_seed_to_hold_within_the_budget(found: dict[str, Any]) -> None:
    budget = found["budget"]
    verdicts = [views.verdict(step, budget) for step in found["steps"]]
    assert [verdict.kind for verdict in verdicts] == ["missed", "partly", "partly", "unknown", "met"]
    texts = ["held by 0 of 3", "held by 2 of 4", "held by 2 of 3", "not run", "held by 1 of 1"]
    assert [verdict.text for verdict in verdicts] == texts
    over = views.verdict(found["steps"][4], budget | {"parameters": 1_000})
    assert (over.kind, over.text) == ("missed", "over the budget: 1,106 parameters")
    assert views.verdict(found["steps"][4], budget | {"hold": 5}).text == "too few epochs"


def test_the_overview_axis_holds_target_and_seeds(found: dict[str, Any]) -> None:
    axis = views.axis(found)
    assert axis.low < 484 / IMAGES
    assert axis.high > 488 / IMAGES
    assert axis.place(axis.low) == 0
    assert axis.place(axis.high) == 100
    assert axis.target == axis.place(0.97)
    strip = views.strip(found["steps"][0], axis)
    assert strip is not None
    assert strip.seeds == [axis.place(correct / IMAGES) for correct in (484, 486, 485)]
    assert strip.mean == axis.place(485 / IMAGES)
    assert views.strip(found["steps"][3], axis) is None


def test_charts_draw_every_seed_and_the_mean() -> None:
    curves = [[0.9, 0.98, 0.99], [0.91, 0.97, 1.0], [0.92, 0.96, 0.985]]
    many = accuracy_chart("many", Curves(curves, curves[:1], [], [[0.5, 0.1]]), 0.99, (0.1, 1.0), drops=[2])
    assert many.count("stroke: var(--train)") == 3 + 1
    assert many.count("stroke: var(--test)") == 1 + 1  # one seed is its own mean; one diverged
    assert many.count("stroke: var(--target)") == 1
    assert ">99.5 %<" in many
    assert "nan" not in many
    assert "#0000" not in many


@pytest.mark.parametrize("value", [1.0, 0.99, 0.00001, 0.0])
def test_a_flat_curve_at_any_height_has_an_axis(value: float) -> None:
    curves = Curves([[value, value]], [[value]])
    for svg in (
        accuracy_chart("accuracy", curves, 0.99, (value, value), []),
        loss_chart("loss", curves, (value, value), []),
    ):
        assert len(re.findall(r"<text[^>]*text-anchor: end", svg)) >= 2
        assert "nan" not in svg


def test_charts_are_repeatable_and_share_no_ids() -> None:
    curves = Curves([[0.5, 0.25]], [[0.4, 0.3]])
    first, again, other = (loss_chart(name, curves, (0.2, 0.5), []) for name in ("a", "a", "b"))
    assert first == again
    ids = [set(re.findall(r'id="([^"]*)"', svg)) for svg in (first, other)]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_branches_keep_their_lanes() -> None:
    steps = [{"id": step.id, "parent": step.parent.id if step.parent else None} for step in ladders.load("mnist").steps]
    found = rails(steps)
    assert found[0] == Rail(lane=0, above=[], below=[0], forks=[1])
    assert found[3] == Rail(lane=0, above=[0, 1], below=[0, 1], forks=[])
    assert found[4] == Rail(lane=0, above=[0, 1], below=[1], forks=[])
    assert found[5] == Rail(lane=1, above=[1], below=[1], forks=[])
    assert found[8] == Rail(lane=1, above=[1], below=[], forks=[])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (Change("dropout", 0.0, 0.043), "dropout: none → 4.3 % of activations"),
        (Change("augmentation", None, Affine(rotate=15, shift=2)), "augmentation: none → rotation up to 15°, shift up to 2 pixels"),
        (Change("augmentation", Affine(scale=0.1), Affine(shear=5)), "augmentation: scale by 0.9 to 1.1 → shear up to 5°"),
        (Change("schedule", None, StepLR(6)), "schedule: constant learning rate → learning rate x 0.1 after every 6 epochs"),
        (Change("learning_rate", 0.01, 0.1), "learning rate: 0.01 → 0.1"),
        (Change("batch_size", 128, 1024), "batch size: 128 images → 1,024 images"),
        (Change("network", WIDE, NARROW),
         "network: … · Conv(12) · GlobalAvgPool() · Linear(10) → … · Conv(10, activation=None) · GlobalAvgPool()"),
    ],
)  # fmt: skip
def test_a_change_is_told_in_words(change: Change, text: str) -> None:
    assert words.brief(change) == text
