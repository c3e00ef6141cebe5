import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from recorded import NARROW, built, record_climb, record_run, record_small, small_ladder

from stepladder import data, evidence, records, report
from stepladder.data import Reading
from stepladder.evidence import SUSPECTS
from stepladder.job import Job, Setup
from stepladder.lab.result import Result
from stepladder.page import words

GOLDEN = Path(__file__).parent / "golden" / "report.md"
IMAGES = 500  # test images of small_mnist


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory, small_mnist: Path) -> Setup:
    """The records of `small_ladder`."""
    made = Setup(tmp_path_factory.mktemp("runs"), small_mnist)
    record_small(made)
    return made


@pytest.fixture(scope="module")
def found(setup: Setup) -> dict[str, Any]:
    return built(small_ladder(), setup)


@pytest.fixture(scope="module")
def folder(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a report has been written."""
    made = tmp_path_factory.mktemp("report") / "new"
    report.write(built(small_ladder(), setup), small_ladder(), setup, made)
    return made


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
    assert found["budget"] == {"parameters": 1_200, "epochs": 4, "accuracy": 0.97, "hold": 2, "held": 0.9}
    assert found["images"] == IMAGES
    assert found["sampling"] == pytest.approx(1.96 * (0.97 * 0.03 / IMAGES) ** 0.5, rel=1e-4)
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


def test_the_share_that_holds_has_its_exact_bounds(found: dict[str, Any]) -> None:
    assert found["steps"][0]["held"] == {"share": 0.0, "least": 0.0, "most": pytest.approx(1 - 0.05 ** (1 / 3)), "n": 3}


def test_a_step_with_the_weights_of_its_parent_is_dead(found: dict[str, Any]) -> None:
    verdicts = [step["effect"] and step["effect"]["verdict"] for step in found["steps"]]
    assert verdicts == [None, "undecided", "dead", None, "one pair: too few to judge"]


def test_errors_are_summed_over_seeds(found: dict[str, Any], setup: Setup) -> None:
    step = found["steps"][0]  # misses the first 16, 14 and 15 images
    labels = data.load(setup.data).test_labels.tolist()
    assert [image["index"] for image in step["misclassified"]] == list(range(16))
    assert [image["missed_by"] for image in step["misclassified"]] == [3] * 14 + [2, 1]
    assert step["misclassified"][14] == {
        "index": 14, "label": labels[14], "missed_by": 2, "suspect": False,
        "answers": {str((labels[14] + 1) % 10): 1, str((labels[14] + 3) % 10): 1},
    }  # fmt: skip
    matrix = np.array(step["confusion"])
    assert matrix.sum() == 3 * IMAGES
    assert np.trace(matrix) == 484 + 486 + 485
    assert matrix.sum(axis=1).tolist() == (3 * np.bincount(labels)).tolist()
    assert step["per_class"] == pytest.approx(np.diag(matrix) / matrix.sum(axis=1))


def test_the_target_and_every_effect_have_a_verdict(found: dict[str, Any]) -> None:
    assert [step["target_verdict"] for step in found["steps"]] == [
        *["undecided"] * 3, "not run", "one run: too few to judge",
    ]  # fmt: skip
    # 0 of 3 no seed can mend; one seed of 97.6 needs 6 to have an interval above 97, and its effect 7
    assert [found["steps"][place]["target_seeds"] for place in (0, 3, 4)] == [None, None, 7]
    assert [step["target_open"] for step in found["steps"]] == [
        "too few seeds hold for it to be reached", *["interval contains the target"] * 2, None, None,
    ]  # fmt: skip
    effect = found["steps"][1]["effect"]  # the pairs differ by 0, 1 and 2 of 500 images
    assert (effect["verdict"], effect["reason"]) == ("undecided", "too few pairs to show any")
    assert (effect["p"], effect["won"]) == (0.5, 2 / 3)
    assert effect["p_holm"] == 1.0  # twice, for this effect and that of the dead step
    assert effect["mcnemar"] is None
    one = found["steps"][4]["effect"]
    assert (one["n"], one["verdict"], one["p_holm"]) == (1, "one pair: too few to judge", 1.0)
    assert one["mcnemar"] == {"only_child": 4, "only_parent": 0, "p": 0.125}


def test_the_missed_images_are_a_file_of_their_own(folder: Path, found: dict[str, Any]) -> None:
    missed = json.loads((folder / "missed.json").read_text())
    assert list(missed) == [step["id"] for step in found["steps"]]
    assert missed["decay"] == []
    assert [image["index"] for image in missed["plain"]] == list(range(16))
    assert missed["plain"][15] == found["steps"][0]["misclassified"][15] | {"of": 3}
    assert max(len(line) for line in (folder / "missed.json").read_text().splitlines()) <= 140


def test_suspect_labels_are_marked_in_mnist_alone(tmp_path: Path, found: dict[str, Any]) -> None:
    setup = Setup(tmp_path)
    climbed = built(record_climb(setup, 1), setup)
    suspects = [image["index"] for step in climbed["steps"] for image in step["misclassified"] if image["suspect"]]
    assert 0 < len(set(suspects)) <= 15
    assert set(suspects) <= SUSPECTS
    assert not any(image["suspect"] for step in found["steps"] for image in step["misclassified"])


def test_the_images_that_a_step_fixed_and_broke_are_those_that_most_seeds_missed_before_or_miss_now(found: dict[str, Any]) -> None:
    plain, narrow, *_ = found["steps"]
    assert (plain["fixed"], plain["broken"]) == (None, None)
    wrong = [{image["index"] for image in step["misclassified"] if 2 * image["missed_by"] > 3} for step in (plain, narrow)]
    assert (narrow["fixed"], narrow["broken"]) == (sorted(wrong[0] - wrong[1]), sorted(wrong[1] - wrong[0]))
    assert narrow["fixed"]


def test_a_step_without_records_is_not_run(found: dict[str, Any]) -> None:
    decay = found["steps"][3]
    assert decay["n"] == 0
    assert (decay["analysis"], decay["next"], decay["figures"]) == ("Not run.", "", [])
    for name in (
        "test_accuracy",
        "train_accuracy",
        "sampling",
        "held",
        "best",
        "effect",
        "confusion",
        "per_class",
        "fixed",
        "broken",
    ):
        assert decay[name] is None
    assert (decay["target_verdict"], decay["over_budget"]) == ("not run", [])
    assert decay["parameters"] == NARROW.parameters
    assert decay["layers"][0]["rf_out"] == 3


def test_the_file_is_strict_json_of_short_lines_and_its_fields_are_documented(folder: Path, found: dict[str, Any]) -> None:
    text = (folder / "report.json").read_text()
    read = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert read == json.loads(json.dumps(found))
    steps = found["steps"]
    long = [found["headline"], *(told for step in steps for told in (step["analysis"], step["next"], *step["figures"]))]
    written = [json.dumps(told, ensure_ascii=False) for told in long]
    assert max(len(line) for line in text.splitlines() if not any(told in line for told in written)) <= 140
    names = {*found, *(name for step in steps for name in step), *steps[1]["effect"], *steps[4]["effect"]["mcnemar"]}
    names |= {*found["budget"], *steps[1]["held"]}
    names |= set(steps[0]["misclassified"][0])
    assert [name for name in names if f"`{name}`" not in (report.__doc__ or "")] == []


def test_the_same_records_give_the_same_bytes(folder: Path, setup: Setup, tmp_path: Path) -> None:
    paths = report.write(built(small_ladder(), setup), small_ladder(), setup, tmp_path)
    assert paths == [tmp_path / name for name in ("report.json", "report.md", "report.html", "missed.json")]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    for path in paths:
        assert path.read_bytes() == (folder / path.name).read_bytes()


@pytest.mark.parametrize("name", report.FILES)
def test_a_report_that_would_be_the_same_is_known_until_a_byte_of_it_is_another(setup: Setup, tmp_path: Path, name: str) -> None:
    found, ladder = built(small_ladder(), setup), small_ladder()
    assert not report.is_written(found, ladder, setup, tmp_path)
    report.write(found, ladder, setup, tmp_path)
    assert report.is_written(found, ladder, setup, tmp_path)
    assert not report.is_written(found | {"engine": "torch"}, ladder, setup, tmp_path)
    raw = bytearray((tmp_path / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / name).write_bytes(raw)
    assert not report.is_written(found, ladder, setup, tmp_path)


def test_a_record_that_cannot_be_believed_is_set_aside_and_named(small_mnist: Path, tmp_path: Path) -> None:
    ladder, made = small_ladder(), Setup(tmp_path / "runs", small_mnist)
    for seed in (0, 1):
        record_run(made, ladder.steps[0], seed, [400, 450, 470, 480])
    file = Job("small", ladder.steps[0], 1, made).folder / "run.json"
    file.write_text(file.read_text().replace('"test_correct": 480', '"test_correct": 481'))
    found = built(ladder, made)
    assert found["steps"][0]["seeds"] == [0]
    (reason,) = found["damaged"]
    assert reason.startswith(f"{file}: its bytes do not have the SHA-256")


FIGURES = {"arena_bytes": 7_840, "multiply_adds": 165_304, "flash_bytes": 5_635, "stack_bytes": 168, "instructions": 2_137_680}
LINE = (
    "c, 8 bits, seed 1: 498 of 500 images answered as the record does, 7,840 arena bytes, 165,304 multiply adds, "
    "5,635 flash bytes, 168 stack bytes, 2,137,680 instructions. By an <oracle>."
)


def write_card(setup: Setup, folder: str, seed: int = 1, **other: Any) -> None:
    """A card of an export of the first step's run, but for what is given."""
    record = records.read(Job("small", small_ladder().steps[0], 1, setup).folder)
    known = {"fingerprint": record.fingerprint, "weights_sha256": record.weights_sha256, "to": "c", "int8": True, "seed": seed}
    answers = {"images": 500, "equal": 498, "correct": 480, "recorded_correct": 480, "by": "cc"}
    card = known | {"answers": answers, "figures": FIGURES, "measured": "By an <oracle>."} | other
    (setup.runs / folder).mkdir()
    (setup.runs / folder / "model-card.json").write_text(json.dumps(card))


def result(setup: Setup) -> Result:
    ladder = small_ladder()
    arms = evidence.load(ladder.steps, setup)
    return Result(ladder, setup, arms, evidence.gather(ladder, arms, setup.dataset(10).test_labels))


def test_exports_beside_the_runs_are_told_in_the_section_of_their_step(small_mnist: Path, tmp_path: Path) -> None:
    made = Setup(tmp_path / "runs", small_mnist)
    for seed in (0, 1):
        record_run(made, small_ladder().steps[0], seed, [400, 450, 470, 480])
    before = result(made).data
    write_card(made, "small-plain-c-int8")
    write_card(made, "the-same-again")
    write_card(made, "small-plain-onnx", to="onnx", int8=False, figures={}, measured="")
    first, *others = result(made).data["steps"]
    told = {"to": "c", "int8": True, "seed": 1, "images": 500, "equal": 498, "figures": FIGURES, "measured": "By an <oracle>."}
    onnx = {"to": "onnx", "int8": False, "seed": 1, "images": 500, "equal": 498, "figures": {}}
    assert first == before["steps"][0] | {"exports": [told, onnx]}
    assert others == before["steps"][1:]
    written = result(made).report(tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text()
    short = "- onnx, float32, seed 1: 498 of 500 images answered as the record does."
    assert f"**Exports.**\n\n- {LINE.replace('<', '&lt;')}\n{short}\n" in text
    assert LINE.replace("<", "&lt;").replace(">", "&gt;") in written.page.read_text()
    assert all(f"`{name}`" in (report.__doc__ or "") for name in ["exports", "exports_unread", *told])


@pytest.mark.parametrize(
    "other",
    [
        *({"fingerprint": "0" * 12}, {"weights_sha256": "0" * 64}, {"seed": 0}, {"seed": True}, {"int8": 1}, {"to": "<b>"}),
        *({"figures": {"a b": 1}}, {"figures": {"ram": -1}}, {"figures": []}, {"answers": {}}, {"measured": 3}, {"to": None}),
    ],
    ids=str,
)
def test_a_card_of_something_else_is_passed_over(small_mnist: Path, tmp_path: Path, other: dict[str, Any]) -> None:
    made = Setup(tmp_path / "runs", small_mnist)
    for seed in (0, 1):
        record_run(made, small_ladder().steps[0], seed, [400, 450, 470, 480])
    before = result(made).data
    write_card(made, "export", **other)
    assert result(made).data == before


def test_a_card_that_is_broken_is_passed_over_and_one_that_cannot_be_read_is_told(small_mnist: Path, tmp_path: Path) -> None:
    made = Setup(tmp_path / "runs", small_mnist)
    record_run(made, small_ladder().steps[0], 1, [400, 450, 470, 480])
    before = result(made).data
    for name, content in {"a": b"{", "b": b"\xff", "c": b"[" * 100_000, "d": b"[]", "e": b"1" * (2 << 20)}.items():
        (made.runs / name).mkdir()
        (made.runs / name / "model-card.json").write_bytes(content)
    assert result(made).data == before
    (made.runs / "f" / "model-card.json").mkdir(parents=True)
    found = result(made).data
    assert found == before | {"exports_unread": [f"{made.runs / 'f' / 'model-card.json'}: cannot be read: Is a directory"]}
    assert words.measured(found).endswith(" 1 export beside the runs could not be read.")


def test_what_a_killed_process_left_of_a_report_goes_with_the_next(setup: Setup, tmp_path: Path) -> None:
    for name in ("report.html.tmp-11", "report.json.tmp-12", "mine.tmp-13"):
        (tmp_path / name).write_text("half")
    report.write(built(small_ladder(), setup), small_ladder(), setup, tmp_path)
    assert [path.name for path in tmp_path.glob("*tmp*")] == ["mine.tmp-13"]


@pytest.mark.parametrize("failing", ["report.json", "report.md", "report.html", "missed.json"])
def test_a_report_is_written_whole_or_not_at_all(setup: Setup, tmp_path: Path, failing: str) -> None:
    found, names = built(small_ladder(), setup), ("report.json", "report.md", "report.html", "missed.json")
    for name in names:
        (tmp_path / name).write_text("before")
    write_text = Path.write_text

    def full(path: Path, content: str, encoding: str | None = None) -> int:
        if path.name.startswith(failing):
            write_text(path, content[:10], encoding)
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_text(path, content, encoding)

    with (
        patch("stepladder.page.views.charts", return_value=None),
        patch.object(Path, "write_text", full),
        pytest.raises(OSError, match="No space left") as refused,
    ):
        report.write(found, small_ladder(), setup, tmp_path)
    assert refused.value.filename == str(tmp_path / failing)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(names, "before")


def test_markdown_is_as_agreed(folder: Path) -> None:
    assert (folder / "report.md").read_text() == GOLDEN.read_text()


def test_a_report_of_held_out_images_says_so_and_points_into_them(tmp_path: Path, small_mnist: Path) -> None:
    setup = Setup(tmp_path / "runs", small_mnist, reading=Reading(holdout=400))
    ladder = small_ladder()
    for seed, right in enumerate((390, 392)):
        record_run(setup, ladder.steps[0], seed, [350, 360, 380, right])
    found = built(ladder, setup)
    assert found["holdout"] == 400
    labels = setup.dataset(10).test_labels
    assert [image["label"] for image in found["steps"][0]["misclassified"]] == labels[:10].tolist()
    report.write(found, ladder, setup, tmp_path)
    for name in ("report.md", "report.html"):
        assert "400 training images kept back: the test set was not read" in (tmp_path / name).read_text()


def test_json_is_on_one_line_where_it_fits_and_a_tuple_always_is() -> None:
    longer = {"shape": (14, 26, 26), "words": "x" * 140, "list": [1, [2.5, None], {}], "none": {}}
    assert report.text({"a": 1, "b": [True, {"c": "ä"}]}) == '{"a": 1, "b": [true, {"c": "ä"}]}'
    assert report.text(longer) == (
        '{\n "shape": [14, 26, 26],\n "words": "' + "x" * 140 + '",\n "list": [1, [2.5, null], {}],\n "none": {}\n}'
    )
    assert report.text(["y" * 90, "z" * 90, 3]) == '[\n "' + "y" * 90 + '",\n "' + "z" * 90 + '",\n 3\n]'
    assert json.loads(report.text(longer)) == json.loads(json.dumps(longer))
