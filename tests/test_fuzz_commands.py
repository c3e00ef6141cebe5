"""A folder of runs that was tampered with, through every command: the documented exit codes, one line for what is refused, JSON
that is JSON, and no figure that the logits do not give.

STEPLADDER_FUZZ=10000 draws so many examples, others every time.
"""

import json
import shutil
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import commands
import numpy as np
import pytest
from conftest import fuzzed, write_idx_folder
from hypothesis import given
from hypothesis import strategies as st
from inline import Inline
from numpy.typing import NDArray
from recorded import record_run
from safetensors.numpy import load
from tampering import TAMPERINGS, bytes_changed
from test_fuzz_records import FILES

from stepladder import ladders
from stepladder.job import Setup

LADDER = """
from stepladder import Budget, Conv, GlobalAvgPool, Ladder, Network, Recipe, Step

plain = Step("Plain", Network([Conv(10, activation=None), GlobalAvgPool()], input=(1, 4, 4)), Recipe(epochs=2))
ladder = Ladder("tiny", Budget(1_000, 5, 0.8, hold=2), [plain, plain.then("Dropout", dropout=0.1)])
"""
COMMANDS = {
    "check": ("check", "tiny.py"),
    "check --json": ("check", "tiny.py", "--json"),
    "compare": ("compare", "tiny.py", "dropout", "plain"),
    "compare --json": ("compare", "tiny.py", "dropout", "plain", "--json"),
    "report": ("report", "tiny.py", "--force"),
    "run": ("run", "tiny.py", "--seeds", "2", "--force"),
}
OFTEN = st.sampled_from([*["check --json", "compare --json"] * 6, "check", "compare", "report", "run"])
"""The commands, those less often that take half a second."""
SHARES = ("share", "least", "most", "accuracy", "test_accuracy", "train_accuracy", "mean", "worst")

Call = Callable[[str], CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ladder of two steps with two recorded seeds each, on 20 test images; `whole` are the runs that nobody touches."""
    made = tmp_path_factory.mktemp("commands")
    (made / "tiny.py").write_text(LADDER)
    images = np.random.default_rng(0).integers(0, 256, (30, 4, 4), np.uint8)
    labels = np.arange(30, dtype=np.uint8) % 10
    setup = Setup(made / "whole", write_idx_folder(made / "data", [images, labels, images[:20], labels[:20]]))
    for step in ladders.load(str(made / "tiny.py")).steps:
        for seed in (0, 1):
            record_run(setup, step, seed, [15, 17 + seed], ladder="tiny")
    return made


@pytest.fixture(scope="module")
def labels(folder: Path) -> NDArray[np.uint8]:
    return Setup(folder, folder / "data").dataset().test_labels


@pytest.fixture
def call(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """A command on the runs, whatever is trained in this process."""
    monkeypatch.setattr("stepladder.lab.lab.Workers", Inline)
    monkeypatch.chdir(folder)
    data = str(folder / "data")
    return lambda command: commands.stepladder(*COMMANDS[command], "--data", data)


def refusals(result: CompletedProcess[str], command: str) -> list[str]:
    """The lines about runs that were set aside or failed; the exit code is that of what was told."""
    lines = result.stderr.split("\n")[:-1]
    assert all(line.isprintable() for line in lines), result
    aside = [line for line in lines if line.startswith("set aside: ") or " failed: " in line]
    rest = [line for line in lines if line not in aside and " diverged: " not in line]
    if result.returncode == 2:
        assert len(rest) == 1, result
        assert rest[0].startswith("stepladder: ")
        assert result.stdout == "" or command == "run"
    else:
        assert rest == [], result
        assert result.returncode in ((0, 1, 3) if command.startswith("check") else (0, 1))
        assert result.returncode == 1 or not aside, result
    return aside


def believed(folder: Path, step: str, aside: list[str], labels: NDArray[np.uint8]) -> dict[int, float]:
    """The accuracy that each finished run's logits give, of those that were not set aside."""
    found = dict[int, float]()
    (fingerprint,) = {path.name.rpartition("-")[2] for path in (folder / "whole").glob(f"{step}-*")}
    for path in sorted(folder.glob(f"runs/*-{fingerprint}/*/run.json")):
        run = path.parent
        named = any(f"{run.relative_to(folder)}{end}" in line for line in aside for end in ("/", ":"))
        if not named and run.name == str(int(run.name)) and (run / "logits.safetensors").is_file():
            logits = load((run / "logits.safetensors").read_bytes())["logits"]
            found.setdefault(int(run.name), float((logits.argmax(1) == labels).mean()))
    return found


def is_mean(estimate: dict[str, Any] | None, of: dict[int, float]) -> None:
    """An estimate is that of these accuracies."""
    if estimate is None:
        assert not of
    else:
        assert estimate["mean"] == pytest.approx(np.mean([*of.values()]), abs=1e-9)


def is_sound(value: Any, name: str = "") -> None:
    """No number is anything but finite; a share lies between 0 and 1."""
    if isinstance(value, dict):
        for key, item in value.items():
            is_sound(item, "" if name in ("effect", "mcnemar") else key)
    elif isinstance(value, list):
        for item in value:
            is_sound(item, name)
    elif isinstance(value, float):
        assert isfinite(value), name
        assert name not in SHARES or -1e-12 <= value <= 1 + 1e-12, (name, value)


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def judge(folder: Path, command: str, result: CompletedProcess[str], labels: NDArray[np.uint8]) -> None:
    """Whatever a command printed and wrote is what the runs that it believed show."""
    aside = refusals(result, command)
    known = {step: believed(folder, step, aside, labels) for step in ("plain", "dropout")}
    if result.returncode == 2:
        return
    if command == "check --json":
        found = json.loads(result.stdout, parse_constant=no_constant)
        is_sound(found)
        for step in found["steps"]:
            assert step["n"] == len(known[step["id"]]), result
            is_mean(step["test_accuracy"], known[step["id"]])
    elif command == "compare --json":
        found = json.loads(result.stdout, parse_constant=no_constant)
        is_sound(found)
        shared = known["plain"].keys() & known["dropout"].keys()
        assert found["effect"]["n"] == len(shared)
        assert found["effect"]["mean"] == pytest.approx(
            np.mean([known["dropout"][s] - known["plain"][s] for s in shared]), abs=1e-9
        )
        for step, estimate in found["test_accuracy"].items():
            is_mean(estimate, known[step])
    elif command in ("report", "run"):
        judge_report(folder / "runs/tiny", known, aside)


def judge_report(report: Path, known: dict[str, dict[int, float]], aside: list[str]) -> None:
    found = json.loads((report / "report.json").read_text(encoding="utf-8"), parse_constant=no_constant)
    is_sound(found)
    assert len(found["damaged"]) == len([line for line in aside if line.startswith("set aside: ")])
    for step in found["steps"]:
        accuracies = known[step["id"]]
        assert step["seeds"] == sorted(accuracies)
        is_mean(step["test_accuracy"], accuracies)
        for seed, accuracy in accuracies.items():
            assert step["history"][str(seed)][-1]["test_accuracy"] == pytest.approx(accuracy, abs=1e-9)
            assert len(step["history"][str(seed)]) == step["epochs"]
        if accuracies:
            assert np.trace(step["confusion"]) == pytest.approx(20 * sum(accuracies.values()))
            assert np.sum(step["confusion"]) == 20 * len(accuracies)
            assert sum(image["missed_by"] for image in step["misclassified"]) == pytest.approx(
                sum(20 * (1 - accuracy) for accuracy in accuracies.values())
            )
    for name in ("report.md", "report.html"):
        assert not {"nan", "inf"} & set((report / name).read_text(encoding="utf-8").lower().split())


@given(st.data(), OFTEN)
@fuzzed(40)
def test_no_command_believes_or_falls_over_what_was_tampered_with(
    folder: Path, labels: NDArray[np.uint8], call: Call, drawn: st.DataObject, command: str
) -> None:
    runs = folder / "runs"
    shutil.rmtree(runs, ignore_errors=True)
    shutil.copytree(folder / "whole", runs)
    run, other = next(runs.glob("plain-*")) / "0", next(runs.glob("dropout-*")) / "1"
    before = [(run / name).read_bytes() for name in FILES]
    tamper = drawn.draw(st.sampled_from(TAMPERINGS))
    tamper(drawn, run)
    if drawn.draw(st.booleans()):
        drawn.draw(st.sampled_from(TAMPERINGS))(drawn, other)
    result = call(command)
    judge(folder, command, result, labels)
    if tamper is bytes_changed and [(run / name).read_bytes() for name in FILES] != before:
        assert result.returncode in (1, 2)
        assert "set aside: runs/plain-" in result.stderr
