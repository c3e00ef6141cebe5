"""A recorded run taken out, by the library and by the command line."""

import json
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from commands import stepladder
from numpy.typing import NDArray
from recorded import record_run
from torch import Tensor, nn

import stepladder as sl
from stepladder import BatchNorm, Budget, Conv, GlobalAvgPool, Ladder, Network, Recipe, Step
from stepladder.cli.exports import sentences
from stepladder.export import onnx_module, torch_file
from stepladder.export.c import device
from stepladder.export.folder import Judged, compared
from stepladder.export.options import Options
from stepladder.inference.program import run
from stepladder.lab import Lab
from stepladder.records import RecordError
from stepladder.spec import SpecError, UserError

pytestmark = pytest.mark.usefixtures("in_process")


class Odd(nn.Module):
    """Borders that no layer has."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 10, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(torch.nn.functional.adaptive_avg_pool2d(self.conv(x), 1), 1)


class Own(nn.Module):
    """A convolution, ReLU, norm and pooling, under names of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, 2), nn.ReLU(), nn.BatchNorm2d(8), nn.Dropout(0.05), nn.Conv2d(8, 10, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).mean((2, 3)).log_softmax(1)  # type: ignore[no-any-return]


TINY = Network([Conv(8, stride=2, norm=None), BatchNorm(), Conv(16, stride=2), Conv(10, activation=None), GlobalAvgPool()])
PLAIN = Step("Plain", TINY, Recipe(epochs=2, batch_size=100))
OWN = PLAIN.then("Own", network=Own)
ODD = PLAIN.then("Odd", network=Odd)
NONE = PLAIN.then("None", dropout=0.2)
LADDER = Ladder("tiny", Budget(parameters=5_000, epochs=5, accuracy=0.5, hold=1), [PLAIN, OWN, ODD, NONE])


@pytest.fixture(scope="module")
def lab(small_mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Three steps, trained once for all tests."""
    made = sl.Lab(tmp_path_factory.mktemp("export") / "runs", data=small_mnist, threads=1)
    made.run(LADDER, seeds=2, steps=["plain"], progress=False)
    made.run(LADDER, steps=["own", "odd"], progress=False)
    return made


@contextmanager
def answering(labels: NDArray[np.uint8]) -> Iterator[None]:
    """Exports to torch that answer these labels."""
    with patch.object(torch_file, "answers", lambda *_: (labels, "an oracle")):
        yield


@pytest.mark.parametrize("step", [PLAIN, OWN], ids=["layers", "module"])
def test_a_run_is_a_program_that_computes_what_its_model_does(lab: Lab, step: Step) -> None:
    found = lab.result(LADDER)[step.id].run()
    np.testing.assert_allclose(
        _shares(run(found.program(), lab.images().test_images)), found.probabilities(lab.images().test_images), atol=1e-4
    )


def _shares(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    return torch.from_numpy(scores).softmax(1).numpy()


@pytest.mark.parametrize("step", ["plain", "own"])
@pytest.mark.parametrize("to", ["onnx", "torch"])
def test_an_export_answers_every_test_image_as_its_record_and_has_a_card(lab: Lab, tmp_path: Path, step: str, to: str) -> None:
    if to == "onnx":
        pytest.importorskip("onnx")
    export = lab.export(step, to, tmp_path / "to", ladder=LADDER)
    assert (export.equal, export.images) == (500, 500)
    card = json.loads((tmp_path / "to" / "model-card.json").read_text())
    arm = lab.result(LADDER)[step]
    assert card == export.card
    assert (card["ladder"], card["step"], card["seed"], card["to"]) == ("tiny", step, 0, to)
    assert card["seeds"]["n"] == len(arm.evidence.seeds)
    assert card["seeds"]["mean"] == pytest.approx(np.mean([each.history[-1].test_accuracy for each in arm.arm.records]))
    assert card["answers"]["correct"] == card["answers"]["recorded_correct"] == arm.run().history[-1].test_correct
    assert (card["classes"], card["input"]) == (list("0123456789"), [1, 28, 28])
    assert card["budget"] == {"type": "Budget", "parameters": 5_000, "epochs": 5, "accuracy": 0.5, "hold": 1, "held": 0.9}
    text = (tmp_path / "to" / "MODEL_CARD.md").read_text()
    assert "500 of 500 test images are answered as the record does" in text
    assert "Permission is hereby granted" in (tmp_path / "to" / "LICENSE").read_text()
    assert {path.name for path in export.paths} == {path.name for path in (tmp_path / "to").iterdir()}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_module_that_is_not_layers_is_written_by_torch_as_it_is_for_any_number_of_images(
    lab: Lab, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    export = lab.export("odd", "onnx", tmp_path / "to", ladder=LADDER)
    assert capfd.readouterr() == ("", "")
    assert (export.equal, export.images, export.card["int8"]) == (500, 500, False)
    assert export.card["answers"]["by"].startswith("onnxruntime")
    path = tmp_path / "to" / "tiny_odd.onnx"
    assert b".py" not in path.read_bytes()  # which tell where this machine's files are
    session, found = onnxruntime.InferenceSession(path), lab.result(LADDER)["odd"].run()
    images = lab.images().test_images
    for some in (images[:1], images[:37]):
        (scores,) = session.run(["scores"], {"images": some})
        np.testing.assert_allclose(_shares(scores), found.probabilities(some), atol=1e-5)
    assert np.ptp(scores, axis=0).min() > 0.01


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_what_writes_a_module_that_is_not_layers_is_named_where_it_is_missing(lab: Lab, tmp_path: Path, package: str) -> None:
    without = patch.object(onnx_module, "find_spec", lambda name: None if name == package else name)
    told = rf"network Odd is not layers: .* which lacks {package}: pip install 'stepladder\[onnx-modules\]'"
    with without, pytest.raises(UserError, match=told):
        lab.export(ODD, "onnx", tmp_path / "to")
    assert not list(tmp_path.iterdir())


def test_a_module_that_torch_writes_for_one_number_of_images_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")

    class Each(nn.Module):
        """One image after another, as many as there were when it was written."""

        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(784, 10)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.fc(image.flatten(1)) for image in x.split(1)])

    each = onnx_module.Trained("Each", Each(), "why", (1, 28, 28), tuple("0123456789"), (0.1,), (0.3,))
    with pytest.raises(UserError, match="network Each as ONNX does not compute what it is for 5 images"):
        onnx_module.write(each, tmp_path, Options("each", "A test.", False, np.zeros((0, 1, 28, 28), np.uint8)))


def test_what_torch_does_not_write_is_told_in_a_sentence(lab: Lab, tmp_path: Path) -> None:
    error = RuntimeError("outer")
    error.__cause__ = ValueError("\nNo decomposition\nof this")
    told = "torch's exporter does not write network Odd as ONNX: ValueError: No decomposition$"
    there = patch.object(onnx_module, "find_spec", lambda name: name)
    with there, patch.object(torch.onnx, "export", side_effect=error), pytest.raises(UserError, match=told):
        lab.export(ODD, "onnx", tmp_path / "to")
    assert not list(tmp_path.iterdir())


def test_eight_bits_are_counted_and_said(lab: Lab, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    export = lab.export(PLAIN, "onnx", tmp_path / "to", int8=True)
    assert 450 <= export.equal <= 500
    assert export.card["int8"]
    assert export.card["budget"] is None
    assert "8 bits" in (tmp_path / "to" / "MODEL_CARD.md").read_text()


def test_a_seed_may_be_chosen_and_the_folder_is_named_after_step_and_kind(lab: Lab) -> None:
    export = lab.export(PLAIN, "torch", seed=1, ladder=LADDER)
    assert export.folder == Path(lab.runs) / "tiny-plain-torch"
    assert export.card["seed"] == 1
    assert lab.result(LADDER)["plain"].evidence.seeds == (0, 1)  # it is no run


def test_an_export_that_disagrees_is_an_error_and_leaves_nothing(lab: Lab, tmp_path: Path) -> None:
    logits = lab.result(LADDER)["plain"].run().logits()
    labels = logits.argmax(1).astype(np.uint8)
    labels[7] = (labels[7] + 1) % 10
    with (
        answering(labels),
        pytest.raises(UserError, match=r"the export disagrees with the record on 1 of 500 images, as on image 7: it answers"),
    ):
        lab.export(PLAIN, "torch", tmp_path / "to")
    assert not list(tmp_path.iterdir())


def test_two_scores_that_are_close_may_change_places() -> None:
    scores = np.array([[0, 1.0, 1.0005], [0, 1.0, 1.002]], np.float32)
    judged = Judged(np.zeros((2, 1, 1, 1), np.uint8), np.array([1, 2], np.uint8), scores)
    close = compared(np.array([1, 2], np.uint8), judged, "it", int8=False)
    assert (close["equal"], close["correct"], close["recorded_correct"]) == (1, 2, 1)
    far = np.array([2, 1], np.uint8)
    with pytest.raises(UserError, match="on 1 of 2 images, as on image 1: it answers 1, the record 2"):
        compared(far, judged, "it", int8=False)
    assert compared(far, judged, "it", int8=True)["equal"] == 1


def test_a_folder_that_exists_is_replaced_only_where_it_is_an_export_and_that_is_forced(lab: Lab, tmp_path: Path) -> None:
    to = tmp_path / "to"
    to.mkdir()
    lab.export(PLAIN, "torch", to)  # an empty one is as good as none
    with pytest.raises(UserError, match=r"to: found an export, choose another folder \(-o\), or force it"):
        lab.export(PLAIN, "torch", to, seed=1)
    (to / "kept").touch()
    assert lab.export(PLAIN, "torch", to, seed=1, force=True).card["seed"] == 1
    assert {path.name for path in tmp_path.iterdir()} == {"to"}
    assert not (to / "kept").exists()
    (to / "model-card.json").unlink()
    with pytest.raises(UserError, match="to: found a folder that is no export"):
        lab.export(PLAIN, "torch", to, force=True)
    with chdir(to), pytest.raises(UserError, match="to: found a folder that is no export"):
        lab.export(PLAIN, "torch", ".")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: found a file, expected a folder"):
        lab.export(PLAIN, "torch", tmp_path / "file", force=True)


def test_what_cannot_be_exported_is_refused_before_anything_is_written(lab: Lab, tmp_path: Path) -> None:
    to = tmp_path / "to"
    with pytest.raises(UserError, match="an export to 'keras' is not known, expected one of onnx, c, torch"):
        lab.export(PLAIN, "keras", to)
    with pytest.raises(UserError, match=r"step none has no finished run to export$"):
        lab.export(NONE, "torch", to)
    with pytest.raises(UserError, match=r"step plain has no finished run of seed 7; its finished seeds are 0, 1"):
        lab.export(PLAIN, "torch", to, seed=7)
    for kind in ("torch", "c", "html"):
        with pytest.raises(
            UserError, match=r"network Odd is no network of layers that could be exported: .*pad.*; only ONNX takes"
        ):
            lab.export(ODD, kind, to)
    with pytest.raises(UserError, match=r"an ONNX file of 8 bits is written from layers, network Odd is none: .*pad"):
        lab.export(ODD, "onnx", to, int8=True)
    with pytest.raises(UserError, match="an export to torch has float weights"):
        lab.export(PLAIN, "torch", to, int8=True)
    with pytest.raises(UserError, match="step is 'plain', expected a Step, or the ladder"):
        lab.export("plain", "torch", to)
    with pytest.raises(SpecError, match="its steps are plain, own"):
        lab.export("nope", "torch", to, ladder=LADDER)
    with pytest.raises(UserError, match="no such folder of runs"):
        replace(lab, runs=tmp_path / "none").export(PLAIN, "torch", to)
    assert not list(tmp_path.iterdir())


def test_a_run_that_diverged_and_one_that_contradicts_itself_are_refused(lab: Lab, tmp_path: Path) -> None:
    own = replace(lab, runs=tmp_path / "runs")
    record_run(own.setup, PLAIN, 0, [450], diverged=True)
    with pytest.raises(UserError, match="step plain has no finished run to export; 1 diverged"):
        own.export(PLAIN, "torch")
    with pytest.raises(UserError, match="the run of seed 0 diverged, it has no network to export; finished seeds: none"):
        own.export(PLAIN, "torch", seed=0)
    record_run(own.setup, PLAIN, 1, [450, 480])
    with pytest.raises(RecordError, match="its weights do not fit its network"):  # recorded without training
        own.export(PLAIN, "torch")
    (weights,) = Path(own.runs).glob("plain-*/1/weights.safetensors")
    weights.write_bytes(b"other")
    with pytest.raises(UserError, match=r"no finished run to export; 1 diverged; set aside: .*damaged"):
        own.export(PLAIN, "torch")


def test_what_a_program_in_c_takes_is_in_the_card_and_printed(lab: Lab, tmp_path: Path) -> None:
    figures = {"arena_bytes": 12_345, "instructions": 6_789_000}
    with patch.object(device, "takes", lambda *_: (figures, "Measured by an oracle.")):
        export = lab.export(PLAIN, "c", tmp_path / "to")
    assert (export.card["figures"], export.card["measured"]) == (figures, "Measured by an oracle.")
    card = (tmp_path / "to" / "MODEL_CARD.md").read_text()
    assert "| instructions | 6,789,000 |" in card
    assert "| measured | Measured by an oracle. |" in card
    printed = sentences(export)
    assert "12,345 arena bytes\n6,789,000 instructions\nMeasured by an oracle.\n500 of 500" in printed
    assert "measured" not in lab.export(PLAIN, "torch", tmp_path / "torch").card


SCRIPT = """
from test_export import LADDER
ladder = LADDER
"""


def test_the_command_writes_an_export_and_says_how_many_answers_are_equal(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(SCRIPT)
    options = ["--runs", str(lab.runs), "--data", str(lab.data), "-o", "out"]
    done = stepladder("export", "tiny.py", "plain", "--to", "torch", *options, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "wrote out/tiny_plain.py" in done.stdout
    assert "500 of 500 test images are answered as the record does" in done.stdout
    again = stepladder("export", "tiny.py", "plain", "--to", "torch", *options, folder=tmp_path)
    assert again.returncode == 2
    assert again.stderr.startswith("stepladder: out: found an export, choose another folder")
    forced = ["--force", "--json", "--seed", "1"]
    data = stepladder("export", "tiny.py", "plain", "--to", "torch", *forced, *options, folder=tmp_path)
    assert json.loads(data.stdout)["seed"] == 1
    unknown = stepladder("export", "tiny.py", "plain", "--to", "paper", *options, folder=tmp_path)
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "an export to 'paper' is not known, expected one of onnx, c, torch" in unknown.stderr
