"""The library, as a script or a notebook uses it."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest
import torch
from matplotlib.figure import Figure
from recorded import record_run

import stepladder as sl
from stepladder import Budget, Conv, GlobalAvgPool, Ladder, Network, Recipe, SpecError, Step, data, engine, records
from stepladder.data import DataError
from stepladder.engine import identity
from stepladder.lab import Lab, Result
from stepladder.records import Normalisation, RecordError
from stepladder.records.record import encode
from stepladder.spec import UserError

pytestmark = pytest.mark.usefixtures("in_process")


TINY = Network([Conv(8, stride=2), Conv(16, stride=2), Conv(10, activation=None), GlobalAvgPool()])
PLAIN = Step("Plain", TINY, Recipe(epochs=2, batch_size=100), target="Learn.")
DROPOUT = PLAIN.then("Dropout [p < 0.1]", id="dropout", dropout=0.1)
LADDER = Ladder("tiny", Budget(parameters=5_000, epochs=5, accuracy=0.5, hold=1), [PLAIN, DROPOUT])


@pytest.fixture(scope="module")
def lab(small_mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return sl.Lab(tmp_path_factory.mktemp("lab") / "runs", data=small_mnist, threads=1)


@pytest.fixture(scope="module")
def result(lab: Lab) -> Result:
    """Two steps with two seeds each, trained once for all tests."""
    return lab.run(LADDER, seeds=2, progress=False)


@pytest.fixture
def own(lab: Lab, result: Result, tmp_path: Path) -> Lab:
    """A lab of one's own with the same runs."""
    shutil.copytree(lab.runs, tmp_path / "runs")
    return replace(lab, runs=tmp_path / "runs")


# What a result says


def test_a_step_has_a_target_an_effect_and_what_it_missed(result: Result) -> None:
    assert result["plain"].target.verdict in ("reached", "missed", "undecided", "accurate, not held")
    assert result["plain"].effect is None
    effect = result["dropout"].effect
    assert effect
    assert (effect.n, effect.verdict) == (2, "undecided")
    assert effect.mean == pytest.approx(np.mean([row["test_accuracy"] * (1 if row["step"] == "dropout" else -1) for row in
                                                  result.rows()]) * 2)  # fmt: skip
    missed = result["plain"].missed()
    assert missed[0].missed_by == 2
    assert len(missed) == len(result.evidence["plain"].missed)
    with pytest.raises(SpecError, match="has no step 'nope'; its steps are plain, dropout"):
        result["nope"]


def test_rows_are_what_pandas_takes(result: Result) -> None:
    frame = pd.DataFrame(result.rows())
    assert frame[["step", "seed"]].to_numpy().tolist() == [["plain", 0], ["plain", 1], ["dropout", 0], ["dropout", 1]]
    assert frame["test_accuracy"].between(0.1, 1).all()
    assert frame["parameters"].unique().tolist() == [TINY.parameters]
    assert set(frame["status"]) == {"finished"}


def test_a_result_shows_itself_as_text_and_as_html(result: Result) -> None:
    text, page = str(result), result._repr_html_()
    assert repr(result) == text
    for shown in (text, page):
        assert result["plain"].target.verdict in shown
        assert "undecided" in shown
        assert f"{TINY.parameters:,}" in shown
    assert result.data["headline"] in text
    assert "Dropout [p < 0.1]" in text
    assert "Dropout [p &lt; 0.1]" in page
    assert len({len(line) for line in text.splitlines()[:2]}) == 1  # aligned


def test_a_plot_has_curves_and_effects(result: Result) -> None:
    plot = result.plot()
    assert isinstance(plot, Figure)
    curves, forest = plot.axes
    assert [line.get_label() for line in curves.lines] == ["plain (n = 2)", "dropout (n = 2)", "target"]
    assert [label.get_text() for label in forest.get_yticklabels()] == ["dropout: undecided"]
    assert plot._repr_png_().startswith(b"\x89PNG")


def test_a_report_is_written_and_shown(result: Result, tmp_path: Path) -> None:
    written = result.report(tmp_path / "report")
    assert [path.name for path in written.paths] == ["report.json", "report.md", "report.html", "missed.json"]
    assert written.page.read_text() == (tmp_path / "report" / "report.html").read_text()
    shown = written._repr_html_()
    assert shown.startswith('<iframe srcdoc="&lt;!DOCTYPE html&gt;')
    assert "</iframe>" in shown


def test_a_report_of_more_runs_is_not_replaced_unless_forced(own: Lab) -> None:
    whole = own.result(LADDER).report()
    before = whole.page.read_bytes()
    (gone,) = Path(own.runs).glob("dropout-*/1")
    shutil.rmtree(gone)
    less = own.result(LADDER)
    with pytest.raises(UserError, match=r"report\.json: found a report of 4 runs, these are 3: .*--force"):
        less.report()
    assert whole.page.read_bytes() == before
    less.report(force=True)
    assert whole.page.read_bytes() != before


def test_any_two_steps_can_be_compared(lab: Lab, result: Result) -> None:
    within, alone = result.compare("dropout", "plain"), lab.compare(DROPOUT, PLAIN)
    assert within.mean == alone.mean == -lab.compare(PLAIN, DROPOUT).mean
    assert alone.verdict == "undecided"
    other = DROPOUT.then("Slow", learning_rate=0.001)
    with pytest.raises(UserError, match="slow and plain have no finished seed in common: slow has none, plain has 0, 1"):
        lab.compare(other, PLAIN)


def test_steps_of_one_id_from_two_ladders_are_two(lab: Lab, result: Result) -> None:
    other = replace(DROPOUT, id="plain", title="Plain", parent=None)
    assert result.compare("dropout", "plain").mean == lab.compare(other, PLAIN).mean != 0
    assert lab.compare(other, PLAIN).live


def test_a_run_under_another_seed_with_the_same_weights_is_set_aside(own: Lab) -> None:
    step = PLAIN.then("Third", batch_size=50)
    for seed in (0, 1):
        record_run(own.setup, step, seed, [450, 480 + seed], weights=b"the same")
    for seed in (2, 3):  # where the loss is NaN, so may all weights be
        record_run(own.setup, step, seed, [450], weights=b"not a number", diverged=True)
    arm = own.result(Ladder("twins", LADDER.budget, [PLAIN, step])).arms["third"]
    assert [record.seed for record in arm.records] == [0, 2, 3]
    (reason,) = arm.damaged
    assert reason.endswith("1/run.json: its weights are those of seed 0, to the bit")


def test_a_step_is_not_compared_with_itself(lab: Lab, result: Result) -> None:
    message = "plain and plain have the same network and recipe: their runs are the same"
    with pytest.raises(UserError, match=message):
        lab.compare(PLAIN, PLAIN)
    with pytest.raises(UserError, match=message):
        result.compare("plain", "plain")
    with pytest.raises(SpecError, match="found 'plain', expected a Step"):
        lab.compare("plain", PLAIN)  # type: ignore[arg-type]


def test_a_comparison_with_a_run_that_contradicts_itself_is_refused(own: Lab) -> None:
    (folder,) = Path(own.runs).glob("plain-*")
    shutil.copytree(folder / "0", folder / "5")
    with pytest.raises(RecordError, match="it is the record of fingerprint"):
        own.compare(DROPOUT, PLAIN)


def test_a_result_is_walked_by_the_ids_of_its_steps(result: Result) -> None:
    assert list(result) == ["plain", "dropout"]
    assert "plain" in result
    assert "nope" not in result
    assert result != replace(result)


# A run


@pytest.mark.parametrize("kind", ["array", "tensor", "with channels"])
def test_a_run_gives_its_network_and_the_answers_of_its_record(lab: Lab, result: Result, kind: str) -> None:
    run = result["dropout"].run(seed=1)
    model = run.model()
    assert isinstance(model, torch.nn.Module)
    assert not model.training
    images = lab.images().test_images
    given = {"array": images[:, 0], "tensor": torch.from_numpy(images[:, 0]), "with channels": images}[kind]
    with torch.no_grad():
        logits = model(run.prepare(given))
    torch.testing.assert_close(logits, torch.from_numpy(run.logits()), rtol=0, atol=1e-4)
    assert (run.seed, len(run.history), run.record.classes) == (1, 2, list("0123456789"))


def test_colour_levels_are_normalised_by_channel(result: Result) -> None:
    run = result["plain"].run()
    colour = Normalisation([0.1, 0.2, 0.3], [0.5, 0.25, 0.125])
    of_colour = replace(run, record=replace(run.record, input=(3, 4, 5), normalisation=colour))
    levels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5), np.uint8)
    expected = (levels / 255 - np.array(colour.mean)[:, None, None]) / np.array(colour.std)[:, None, None]
    np.testing.assert_allclose(of_colour.prepare(levels).numpy(), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"found images of shape \(2, 4, 5\), expected \(n, 3, 4, 5\)"):
        of_colour.prepare(levels[:, 0])


def test_images_of_another_kind_are_refused(result: Result) -> None:
    run = result["plain"].run()
    with pytest.raises(TypeError, match=r"found images of torch.float64, expected grey or colour levels from 0 to 255: uint8"):
        run.prepare(np.zeros((2, 28, 28)))
    with pytest.raises(TypeError, match="found NoneType, expected an array or a tensor of images"):
        run.prepare(None)
    assert run.prepare(np.zeros((2, 28, 28), np.uint8)[::-1]).shape == (2, 1, 28, 28)
    for shape in ((28, 28), (2, 3, 28, 28), (2, 32, 32), (2, 28)):
        with pytest.raises(ValueError, match=r"expected \(n, 28, 28\) or \(n, 1, 28, 28\)"):
            run.prepare(np.zeros(shape, np.uint8))


def test_a_seed_that_was_not_run_is_an_error_that_names_those_that_were(result: Result) -> None:
    with pytest.raises(UserError, match=r"^step plain has no run of seed 7; its seeds are 0, 1$"):
        result["plain"].run(7)


def test_weights_that_were_changed_are_not_used(own: Lab) -> None:
    run = own.result(LADDER)["plain"].run()
    path = run.folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(RecordError, match=r"weights\.safetensors: damaged: its SHA-256 is "):
        run.model()


def test_a_record_of_schema_1_gives_its_network_and_says_what_it_lacks(small_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engine.NUMERICS, "native", 2)  # it was made with
    budget = Budget(parameters=5_000, epochs=5, accuracy=0.5)
    run = sl.Lab(Path(__file__).with_name("schema1"), data=small_mnist).result(Ladder("old", budget, [PLAIN]))["plain"].run()
    images, (mean, std) = data.load(small_mnist).test_images, data.load(small_mnist).normalisation()
    with torch.no_grad():
        logits = run.model()((torch.from_numpy(images).float() / 255 - mean[0]) / std[0])
    torch.testing.assert_close(logits, torch.from_numpy(run.logits()), rtol=0, atol=1e-4)
    with pytest.raises(RecordError, match="a record of schema 1, which lacks input, classes, normalisation, data; expected"):
        run.prepare(images)


# Nothing is trained twice


def test_another_name_of_step_or_ladder_trains_nothing(own: Lab) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(own.runs).glob("*/*/run.json")}
    renamed = replace(PLAIN, title="Called otherwise", id="other", target="Another", note="!")
    ladder = Ladder("renamed", LADDER.budget, [renamed, renamed.then("No drop", dropout=0.1)])
    result = own.run(ladder, seeds=2, progress=False)
    assert [row["seed"] for row in result.rows()] == [0, 1, 0, 1]
    assert {path: path.stat().st_mtime_ns for path in Path(own.runs).glob("*/*/run.json")} == before


def test_two_steps_that_are_the_same_run_are_trained_once(lab: Lab, tmp_path: Path) -> None:
    back = DROPOUT.then("Back", dropout=0.0)
    ladder = Ladder("there-and-back", LADDER.budget, [PLAIN, DROPOUT, back])
    result = replace(lab, runs=tmp_path).run(ladder, steps=["plain", "back"], progress=False)
    assert [(row["step"], row["seed"]) for row in result.rows()] == [("plain", 0), ("back", 0)]
    assert [path.parent.parent.name.split("-")[0] for path in tmp_path.glob("*/*/run.json")] == ["plain"]


def test_records_made_before_are_found_and_used(small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engine.NUMERICS, "native", 2)  # they were made with
    shutil.copytree(Path(__file__).with_name("schema1"), tmp_path / "runs")
    ladder = Ladder("new-name", LADDER.budget, [PLAIN])
    result = sl.Lab(tmp_path / "runs", data=small_mnist).run(ladder, progress=False)
    assert [(row["seed"], row["test_accuracy"]) for row in result.rows()] == [(0, 0.526)]
    assert {path.name for path in (tmp_path / "runs").iterdir()} - {".index.sqlite"} == {"plain-e6dc8d943c49"}


# What goes wrong


def test_where_there_are_no_runs_those_under_other_options_are_named(own: Lab) -> None:
    for lab, ladder, expected in (
        (replace(own, holdout=300), LADDER, ", but 4 runs with no --holdout"),
        (replace(own, engine="torch"), LADDER, ", but 4 runs with --engine native"),
        (replace(own, data=None), LADDER, f", but 4 runs with --data {own.data}"),
        (own, LADDER.with_epochs(3), ", but 4 runs with --epochs 2"),
        (own, Ladder("other", LADDER.budget, [Step("Other", TINY, Recipe(learning_rate=0.5, epochs=2))]), ""),
    ):
        result = lab.result(ladder)
        assert result.hint == f"found no runs of ladder {ladder.name!r} in {own.runs} under these options{expected}"
        assert result.hint in str(result)
        with pytest.raises(UserError, match="found no runs of ladder"):
            result.report()
        assert not (Path(own.runs) / ladder.name).exists()
    assert own.result(LADDER).hint is None


def test_a_run_that_contradicts_itself_is_named_and_the_others_are_reported(own: Lab) -> None:
    (folder,) = Path(own.runs).glob("plain-*")
    shutil.copytree(folder / "0", folder / "5")
    result = own.result(LADDER)
    (problem,) = result.problems
    assert problem.startswith(f"set aside: {folder / '5' / 'run.json'}: it is the record of fingerprint")
    assert problem in str(result)
    assert result.evidence["plain"].seeds == (0, 1)


def test_a_record_with_another_normalisation_than_its_images_is_set_aside(own: Lab) -> None:
    """Though it was sealed anew: its network would be used on images made ready in another way."""
    run = own.result(LADDER)["plain"].run(0)
    (run.folder / "run.json").write_bytes(encode(replace(run.record, normalisation=Normalisation([0.5], [0.3]))))
    result = own.result(LADDER)
    (problem,) = result.problems
    assert problem.startswith(f"set aside: {run.folder / 'run.json'}: its normalisation is [[0.5], [0.3]], expected [[")
    assert result.evidence["plain"].seeds == (1,)


def test_a_run_that_fails_is_told_and_the_others_go_on(lab: Lab, tmp_path: Path) -> None:
    own = replace(lab, runs=tmp_path)
    folder = tmp_path / f"plain-{records.fingerprint(PLAIN, own.setup.dataset().digest, identity('native', 'cpu'))}"
    folder.mkdir()
    (folder / "0.checkpoint").write_bytes(b"no checkpoint")
    result = own.run(LADDER, progress=False)
    (problem,) = result.problems
    assert problem.startswith(f"plain seed 0 failed: {folder / '0.checkpoint'}: not a readable checkpoint")
    assert [row["step"] for row in result.rows()] == ["dropout"]


def test_what_cannot_be_is_said_before_anything_is_trained(lab: Lab, tmp_path: Path) -> None:
    own = replace(lab, runs=tmp_path / "none")
    large = Ladder("large", LADDER.budget, [Step("Large", Network([Conv(10), GlobalAvgPool()], input=(1, 32, 32)))]).with_epochs(1)
    refusal = patch("stepladder.engine.refusal", lambda network, engine: f"layer 1: unknown to {engine}")
    with refusal, pytest.raises(UserError, match=r"step plain: layer 1: unknown to native"):
        own.run(LADDER)
    with pytest.raises(DataError, match="the images are 1 x 28 x 28, the network expects 1 x 32 x 32"):
        own.run(large)
    few = Ladder("few", LADDER.budget, [Step("Few", Network([Conv(3), GlobalAvgPool()], classes=3))]).with_epochs(1)
    with pytest.raises(DataError, match=r"^MNIST, as no data is named: label out of range: label 0 of the training images is 5"):
        replace(own, data=None).run(few)
    with pytest.raises(DataError, match=rf"^{re.escape(str(own.data))}: label out of range: .* \(3 classes of the network\)$"):
        own.run(few)
    point = Step("Point", Network([Conv(10, kernel=28), GlobalAvgPool()]), Recipe(epochs=1, batch_size=1999))
    with pytest.raises(
        UserError, match=r"step point: the last of its batches of 1,999 has 1 of 2,000 images, .*choose another batch"
    ):
        replace(own, engine="torch").run(Ladder("point", replace(LADDER.budget, parameters=9_000), [point]))
    with pytest.raises(SpecError, match="breaks its budget: step plain has 9 epochs, the budget allows 5"):
        own.run(LADDER, epochs=9)
    with pytest.raises(SpecError, match="has no step 'z'"):
        own.run(LADDER, steps=["z"])
    with pytest.raises(UserError, match=r"steps is 'plain', expected several ids, as in steps=\['plain'\]"):
        own.run(LADDER, steps="plain")
    with pytest.raises(UserError, match="steps names no step"):
        own.run(LADDER, steps=[])
    for seeds in (0, True, 1.5, "3", 10**9):
        with pytest.raises(UserError, match=r"seeds is .*, expected a whole number from 1 to 100,000"):
            own.run(LADDER, seeds=seeds)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="expected a Ladder"):
        own.run("mnist")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no such folder of runs"):
        own.result(LADDER)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "jax"}, "unknown engine 'jax': expected native or torch"),
        ({"device": "tpu"}, "unknown device 'tpu': expected cpu or cuda"),
        ({"device": "cuda", "engine": "native"}, "the native engine runs on cpu, not on cuda"),
        ({"threads": 100_000}, "threads is 100000, expected a whole number from 1 to 1,024"),
        ({"workers": 0}, "workers is 0, expected a whole number of at least 1"),
        ({"holdout": -1}, "holdout is -1, expected a whole number of at least 0"),
        ({"split": 1.0}, r"split is 1.0, expected a share of the images, as 0.2"),
        ({"size": (28, 0)}, r"size is \(28, 0\), expected \(height, width\) of 1 to 4,096 pixels"),
        ({"channels": 4}, r"channels is 4, expected 1 \(grey\) or 3 \(colour\)"),
        ({"data": 3}, "data is 3, expected a path"),
    ],
)
def test_a_lab_that_cannot_be_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        sl.Lab("runs", **options)  # type: ignore[arg-type]


def test_a_file_is_no_folder_of_runs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: found a file, expected a folder of runs"):
        sl.Lab(tmp_path / "file")


def test_a_step_over_the_budget_is_reported_so(lab: Lab, tmp_path: Path) -> None:
    own = replace(lab, runs=tmp_path)
    for seed in (0, 1, 2):
        record_run(own.setup, PLAIN, seed, [450, 480 + seed])
    narrow = replace(LADDER, budget=replace(LADDER.budget, parameters=2_000))
    assert own.result(narrow)["plain"].target.verdict == "over budget"


# Scripts

SCRIPT = """
import stepladder as sl
from stepladder import Budget, Conv, GlobalAvgPool, Ladder, Network, Recipe, Step

print("once")
tiny = Network([Conv(8, stride=2), Conv(16, stride=2), Conv(10, activation=None), GlobalAvgPool()])
plain = Step("Plain", network=tiny, recipe=Recipe(epochs=1, batch_size=100))
ladder = Ladder("mine", budget=Budget(parameters=5_000, epochs=5, accuracy=0.5, hold=1), steps=[plain])
result = sl.Lab("runs", data=DATA, workers=2).run(ladder, seeds=2)
print(result["plain"].target.verdict)
"""


def test_a_script_needs_no_guard_and_a_ladder_of_its_own_trains_in_workers(small_mnist: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT.replace("DATA", repr(str(small_mnist))))
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("once") == 1
    assert "0 of 2 runs are recorded in runs, 2 to train." in done.stdout
    assert json.loads(next((tmp_path / "runs").glob("plain-*/0/run.json")).read_text())["status"] == "finished"
    assert done.stdout.splitlines()[-1] in ("missed", "undecided", "reached")


def test_the_lab_is_a_public_name_that_loads_what_it_needs_only_when_asked() -> None:
    code = (
        "import sys, stepladder as sl; seen = sys.modules; print('numpy' in seen); sl.Lab; print('numpy' in seen, 'torch' in seen)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False"]
