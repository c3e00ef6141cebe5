"""What may not be read, entered or written: one line that names it, and exit code 2; a single run is set aside, with exit code 1.

Root may do everything: where the tests are root's, the commands are nobody's.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

import commands
import numpy as np
import pytest
from conftest import write_idx_folder
from inline import Inline
from recorded import record_run

import stepladder.train  # noqa: F401 - not to be imported by nobody
from stepladder import ladders
from stepladder.job import Job, Setup

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="users and what they may do are other there")

NOBODY = 65534
LADDER = """
from stepladder import Budget, Conv, GlobalAvgPool, Ladder, Network, Recipe, Step

plain = Step("Plain", Network([Conv(10, activation=None), GlobalAvgPool()], input=(1, 4, 4)), Recipe(epochs=2))
ladder = Ladder("tiny", Budget(1_000, 5, 0.8, hold=2), [plain, plain.then("Dropout", dropout=0.1)])
"""
READING: dict[str, tuple[str, ...]] = {
    "report": ("report", "tiny.py", "--force"),
    "check": ("check", "tiny.py", "--json"),
    "compare": ("compare", "tiny.py", "dropout", "plain", "--json"),
}
COMMANDS: dict[str, tuple[str, ...]] = {"run": ("run", "tiny.py", "--seeds", "2", "--force"), **READING}

Command = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A ladder of two steps with two recorded seeds each, all of it nobody's, in a folder that everybody may enter."""
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        made = Path(name)
        made.chmod(0o755)
        (made / "tiny.py").write_text(LADDER)
        images, labels = np.random.default_rng(0).integers(0, 256, (20, 4, 4), np.uint8), np.arange(20, dtype=np.uint8) % 10
        setup = Setup(made / "runs", write_idx_folder(made / "data", [images, labels, images, labels]))
        for step in ladders.load(str(made / "tiny.py")).steps:
            for seed in (0, 1):
                record_run(setup, step, seed, [15, 17 + seed], ladder="tiny")
        give(made)
        patch.chdir(made)
        patch.setattr("stepladder.lab.lab.Workers", Inline)
        for arguments in COMMANDS.values():  # so that nothing is left to be imported by nobody
            assert call(*arguments).returncode in (0, 3)
        give(made)
        yield made


def give(folder: Path) -> None:
    """Let it be nobody's, with all that is in it."""
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)


def call(*arguments: str, data: str = "data") -> CompletedProcess[str]:
    """A command on the runs of the working directory."""
    return commands.stepladder(*arguments, "--data", str(Path(data).absolute()))


@contextmanager
def allowed(mode: int, path: Path) -> Iterator[None]:
    """Nobody may do more with the path than `mode` says; and it is nobody who comes."""
    before, root = path.stat().st_mode, os.geteuid() == 0
    path.chmod(mode)
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        path.chmod(before)


def refused(result: CompletedProcess[str]) -> str:
    """What a command that was refused says; it is one line, and the exit code is 2."""
    assert result.returncode == 2, result
    (line,) = result.stderr.splitlines()
    assert line.startswith("stepladder: ")
    return line.removeprefix("stepladder: ")


def run_of(folder: Path, step: str) -> Path:
    """The folder of the step's first run."""
    (parent,) = (folder / "runs").glob(f"{step}-*")
    return parent / "0"


@pytest.mark.parametrize(("command", "mode"), [*((command, 0o000) for command in COMMANDS), ("check", 0o111), ("run", 0o333)])
def test_runs_that_may_not_be_listed(folder: Path, command: str, mode: int) -> None:
    with allowed(mode, folder / "runs"):
        assert refused(call(*COMMANDS[command])) == "runs: Permission denied"


@pytest.mark.parametrize("command", COMMANDS)
def test_runs_that_may_not_be_entered(folder: Path, command: str) -> None:
    with allowed(0o444, folder / "runs"):
        message = refused(call(*COMMANDS[command]))
    assert message.startswith("runs/")
    assert message.endswith(": Permission denied")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_runs_of_a_step_that_may_not_be_listed(folder: Path, command: str) -> None:
    parent = run_of(folder, "plain").parent
    with allowed(0o000, parent):
        assert refused(call(*COMMANDS[command])) == f"runs/{parent.name}: Permission denied"


def test_runs_that_may_not_be_written_are_read_all_the_same(folder: Path) -> None:
    with allowed(0o555, folder / "runs"):
        assert call(*READING["check"]).returncode == 3
        assert call(*READING["compare"]).returncode == 0
        for command in ("report", "run"):  # nothing is to be trained; the report is
            result = call(*COMMANDS[command])
            assert refused(result).endswith("runs/.tiny.lock: Permission denied")
            assert "plain" in result.stdout
        assert call(*READING["report"], "--output", f"{folder}/elsewhere").returncode == 0


def test_runs_that_may_not_be_written_get_no_more(folder: Path) -> None:
    for _ in range(2):  # without images that are kept decoded, and with them
        with allowed(0o555, folder / "runs"):
            result = call("run", "tiny.py", "--seeds", "3")
        assert refused(result).endswith("runs/.try.lock: Permission denied")
        Setup(Path("runs"), Path("data").absolute()).keep()
        give(folder)


@pytest.mark.parametrize(
    ("command", "name", "mode"),
    [
        *((command, ".", 0o000) for command in COMMANDS),
        *(("check", name, 0o000) for name in ("run.json", "weights.safetensors", "logits.safetensors")),
        ("check", ".", 0o444),
    ],
)
def test_a_run_that_may_not_be_read_is_set_aside_and_the_others_are_told(folder: Path, command: str, name: str, mode: int) -> None:
    run = run_of(folder, "plain")
    with allowed(mode, run / name):
        result = call(*COMMANDS[command])
    file = f"runs/{run.parent.name}/0/{'run.json' if name == '.' else name}"
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"set aside: {file}: cannot be read: Permission denied")
    assert result.returncode == 1
    if command == "check":
        assert [step["n"] for step in json.loads(result.stdout)["steps"]] == [1, 2]
    elif command == "compare":
        assert json.loads(result.stdout)["effect"]["n"] == 1
    else:
        if command == "run":  # it is no reason to train it again
            assert "\n4 of 4 runs are recorded in runs, 0 to train." in result.stdout
        found = json.loads((folder / "runs/tiny/report.json").read_text())
        assert [step["seeds"] for step in found["steps"]] == [[1], [0, 1]]


def test_a_folder_that_may_not_be_listed_in_the_place_of_a_run_is_told(folder: Path) -> None:
    place = run_of(folder, "plain").with_name("5")
    place.mkdir()
    give(place)
    with allowed(0o333, place):
        result = call(*COMMANDS["check"])
    place.rmdir()
    assert result.returncode == 1
    assert result.stderr.startswith(f"set aside: runs/{place.parent.name}/5: found no run.json in it, expected a run")


def test_a_checkpoint_that_may_not_be_read_fails_its_run_and_stays(folder: Path) -> None:
    setup = Setup(folder / "runs", folder / "data")
    checkpoint = Job("tiny", ladders.load("tiny.py").step("plain"), 2, setup).folder.with_name("2.checkpoint")
    checkpoint.write_bytes(b"a checkpoint")
    with allowed(0o000, checkpoint):
        result = call("run", "tiny.py", "--seeds", "3", "--steps", "plain")
    assert result.returncode == 1
    assert result.stderr.startswith(f"plain seed 2 failed: runs/{checkpoint.parent.name}/2.checkpoint: not a readable checkpoint")
    assert "Permission denied" in result.stderr
    assert checkpoint.read_bytes() == b"a checkpoint"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_ladder_file_that_may_not_be_read(folder: Path, command: str) -> None:
    with allowed(0o000, folder / "tiny.py"):
        assert refused(call(*COMMANDS[command])) == "tiny.py: Permission denied"


@pytest.mark.parametrize(
    ("command", "name", "mode"),
    [
        *((command, ".", 0o000) for command in COMMANDS),
        ("check", ".", 0o444),
        *(("check", name, 0o000) for name in ("t10k-labels-idx1-ubyte", "train-images-idx3-ubyte")),
    ],
)
def test_data_that_may_not_be_read(folder: Path, command: str, name: str, mode: int) -> None:
    images = np.zeros((20, 4, 4), np.uint8)
    other = write_idx_folder(folder / "other", [images, images[:, 0, 0], images, images[:, 0, 0]])
    give(other)
    with allowed(mode, other / name):
        assert refused(call(*COMMANDS[command], data="other")) == f"{other / name}: cannot be read: Permission denied"


@pytest.mark.parametrize("command", ["report", "run"])
def test_a_report_that_may_not_be_written(folder: Path, command: str) -> None:
    before = (folder / "runs/tiny/report.json").read_bytes()
    (folder / "runs/tiny/missed.json").unlink(missing_ok=True)  # so that there is something to write
    with allowed(0o555, folder / "runs/tiny"):
        assert refused(call(*COMMANDS[command])) == "runs/tiny/report.json: Permission denied"
    assert (folder / "runs/tiny/report.json").read_bytes() == before


def test_a_report_that_may_not_be_read_may_be_one_of_more_runs(folder: Path) -> None:
    assert call("report", "tiny.py", "--force").returncode == 0  # of all runs, whichever test came before
    give(folder)
    before = (folder / "runs/tiny/report.json").read_bytes()
    with allowed(0o000, folder / "runs/tiny/report.json"):
        assert refused(call("report", "tiny.py")) == "runs/tiny/report.json: Permission denied"
        assert call("report", "tiny.py", "--force").returncode == 0
    assert (folder / "runs/tiny/report.json").read_bytes() == before
