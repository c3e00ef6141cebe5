"""The command line: exit codes, and what is printed where; in real processes where these matter."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from commands import stepladder

from stepladder import __version__

pytestmark = pytest.mark.usefixtures("in_process")

LADDER = """
from stepladder import Budget, Conv, GlobalAvgPool, Ladder, Network, Recipe, Step


tiny = Network([Conv(8, stride=2), Conv(16, stride=2), Conv(10, activation=None), GlobalAvgPool()])
plain = Step("Plain", network=tiny, recipe=Recipe(epochs=2, batch_size=100), target="Learn.")
dropout = plain.then("Dropout", dropout=0.1, target="Learn less by heart.", kept=False)
ladder = Ladder("tiny", budget=Budget(parameters=5_000, epochs=5, accuracy=0.5), steps=[plain, dropout])
"""


def process(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The real command."""
    command = [sys.executable, "-m", "stepladder", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny.py").write_text(LADDER)
    return tmp_path


def refused(result: subprocess.CompletedProcess[str]) -> str:
    """The message of a command that was refused: one line on stderr, exit code 2, no traceback."""
    assert result.returncode == 2, result
    assert "Traceback" not in result.stderr
    return result.stderr


def test_help_lists_the_commands() -> None:
    result = process("--help")
    assert result.returncode == 0
    for command in ("run", "report", "show", "list"):
        assert command in result.stdout


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; import stepladder.cli; print([name for name in ('torch', 'numpy', 'scipy', 'jinja2') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_version_is_the_package_s() -> None:
    assert process("--version").stdout.strip() == __version__


def test_list_names_the_built_in_ladder() -> None:
    assert "mnist" in stepladder("list").stdout
    (found,) = (ladder for ladder in json.loads(stepladder("list", "--json").stdout) if ladder["ladder"] == "mnist")
    assert found["steps"] == ["0", "A1", "A2", "A3", "A4", "B1", "B2", "B3", "B4"]
    assert found["budget"] == {"parameters": 10_000, "epochs": 15, "accuracy": 0.994, "hold": 5, "held": 0.9}


def test_show_prints_a_step_s_layers_as_data() -> None:
    found = json.loads(stepladder("show", "mnist", "A1", "--json").stdout)
    assert found["step"] == "A1"
    assert found["parameters"] == 9060 == sum(layer["parameters"] for layer in found["layers"])
    assert found["macs"] == sum(layer["macs"] for layer in found["layers"])
    assert found["layers"][2] == {
        "operation": "maxpool", "input": [7, 24, 24], "output": [7, 12, 12], "kernel": 2, "padding": 0, "stride": 2,
        "parameters": 0, "macs": 0, "jump_in": 1, "jump_out": 2, "rf_in": 5, "rf_out": 6,
        "norm": None, "norm_parameters": 0, "activation": None, "dropout": 0.0,
    }  # fmt: skip


def test_show_prints_the_steps_of_a_ladder_and_the_layers_of_a_step(folder: Path) -> None:
    ladder = stepladder("show", "tiny.py", folder=folder).stdout
    assert "Dropout (not kept)" in ladder
    assert "Plain (not kept)" not in ladder
    assert "5,000 parameters" in ladder
    step = stepladder("show", "tiny.py", "dropout", folder=folder).stdout
    assert "global average pool" in step
    assert "2,732" in step  # the total of all layers


def test_show_tells_which_steps_are_over_the_budget(folder: Path) -> None:
    assert "Over the budget" not in stepladder("show", "tiny.py", folder=folder).stdout
    tight = (folder / "tiny.py").read_text().replace("parameters=5_000", "parameters=2_000")
    (folder / "tight.py").write_text(tight)
    told = stepladder("show", "tight.py", folder=folder).stdout
    assert "Over the budget: step dropout has 2,732 parameters, the budget allows 2,000." in told.splitlines()


def test_run_trains_writes_the_report_and_does_nothing_twice(folder: Path, small_mnist: Path) -> None:
    command = ("run", "tiny.py", "--data", str(small_mnist))
    first = process(*command, folder=folder)
    assert first.returncode == 0, first.stderr
    assert "plain   seed 0" in first.stdout
    assert "epoch  2/2" in first.stdout
    assert "Dropout (not kept)" in first.stdout
    for name in ("report.html", "report.md", "report.json"):
        assert f"wrote {Path('runs/tiny') / name}" in first.stdout
        assert (folder / "runs/tiny" / name).stat().st_size
    report = (folder / "runs/tiny/report.json").read_text()
    assert [step["n"] for step in json.loads(report)["steps"]] == [1, 1]

    runs = {path: path.read_bytes() for path in folder.glob("runs/*/0/run.json")}
    assert len(runs) == 2
    second = stepladder(*command, folder=folder)
    assert "2 of 2 runs are recorded" in second.stdout
    assert {path: path.read_bytes() for path in folder.glob("runs/*/0/run.json")} == runs
    assert (folder / "runs/tiny/report.json").read_text() == report

    rewritten = stepladder("report", "tiny.py", "--data", str(small_mnist), folder=folder)
    assert rewritten.returncode == 0
    assert (folder / "runs/tiny/report.json").read_text() == report


def test_run_takes_steps_seeds_epochs_and_threads(folder: Path, small_mnist: Path) -> None:
    options = ("--steps", "dropout", "--seeds", "2", "--epochs", "1", "--threads", "1", "--engine", "torch", "--runs", "elsewhere")
    result = stepladder("run", "tiny.py", "--data", str(small_mnist), *options, folder=folder)
    assert result.returncode == 0, result.stderr
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("elsewhere/*/*/run.json"))]
    assert [(run["step"], run["seed"], run["epochs"], run["environment"]["engine"]) for run in found] == [
        ("dropout", 0, 1, "torch"),
        ("dropout", 1, 1, "torch"),
    ]


def interrupted(command: tuple[str, ...], folder: Path, number: int, group: bool) -> tuple[int, str]:
    """Begin a sweep and send it a signal once a run has a new checkpoint; its exit code, and what it says."""
    started = subprocess.Popen(
        [sys.executable, "-m", "stepladder", *command],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    before, deadline = checkpoints(folder), time.monotonic() + 60
    while checkpoints(folder) == before:
        assert started.poll() is None, started.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (os.killpg if group else os.kill)(started.pid, number)
    _, error = started.communicate(timeout=30)
    return started.returncode, error


def checkpoints(folder: Path) -> dict[Path, int]:
    """When each checkpoint was written."""
    found = {}
    for path in folder.glob("runs/*/*.checkpoint"):
        with suppress(FileNotFoundError):  # its run is recorded now
            found[path] = path.stat().st_mtime_ns
    return found


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
def test_an_interrupted_run_leaves_nothing_behind_and_goes_on(folder: Path, small_mnist: Path) -> None:
    command = ("run", "tiny.py", "--data", str(small_mnist), "--epochs", "5", "--engine", "torch", "--threads", "1")
    whole = stepladder(*command, "--runs", "whole", folder=folder)
    assert whole.returncode == 0, whole.stderr

    # Ctrl-C goes to all processes of a terminal, SIGTERM to the one that is named.
    for number, group in ((signal.SIGINT, True), (signal.SIGTERM, False)):
        code, error = interrupted(command, folder, number, group)
        assert code == 128 + number
        assert "Interrupted. The same command goes on" in error
        assert "Traceback" not in error
        assert len(list(folder.glob("runs/*/0/run.json"))) < 2
        assert checkpoints(folder) or list(folder.glob("runs/*/0/run.json"))

    assert stepladder(*command, folder=folder).returncode == 0
    weights = [[path.read_bytes() for path in sorted(folder.glob(f"{runs}/*/0/weights.safetensors"))] for runs in ("whole", "runs")]
    assert len(weights[0]) == 2
    assert weights[0] == weights[1]
    assert not list(folder.glob("runs/*/*tmp*"))


def test_a_diverged_run_is_told_and_recorded_and_the_others_go_on(folder: Path, small_mnist: Path) -> None:
    text = LADDER.replace('dropout=0.1, target="Learn less by heart."', "weight_decay=999.0")
    (folder / "steep.py").write_text(text)
    result = stepladder("run", "steep.py", "--data", str(small_mnist), "--threads", "1", folder=folder)
    assert result.returncode == 0
    assert "dropout seed 0 diverged: its loss was not finite in epoch 1." in result.stderr
    assert {json.loads(path.read_text())["status"] for path in folder.glob("runs/*/0/run.json")} == {"finished", "diverged"}


def test_a_sweep_of_which_every_run_diverged_exits_with_1(folder: Path, small_mnist: Path) -> None:
    (folder / "steep.py").write_text(LADDER.replace("batch_size=100", "batch_size=100, weight_decay=999.0"))
    result = stepladder("run", "steep.py", "--steps", "plain", "--data", str(small_mnist), "--threads", "1", folder=folder)
    assert result.returncode == 1
    assert "plain seed 0 diverged" in result.stderr
    assert (folder / "runs/tiny/report.html").is_file()


def test_a_run_damaged_after_a_report_is_named_and_the_others_are_reported(folder: Path, small_mnist: Path) -> None:
    command = ("tiny.py", "--data", str(small_mnist), "--epochs", "1")
    assert stepladder("run", *command, "--seeds", "2", "--steps", "plain", folder=folder).returncode == 0
    (run,) = folder.glob("runs/plain-*/0/run.json")
    run.write_text(run.read_text().replace('"train_loss": ', '"train_loss": 1'))
    for again in (("report", *command), ("run", *command, "--steps", "plain"), ("check", *command, "--json")):
        result = stepladder(*again, folder=folder)
        assert result.returncode == 1, again
        assert "runs/plain-" in result.stderr
        assert "its bytes do not have the SHA-256 that its last line gives" in result.stderr
        if again[0] == "check":
            assert [step["n"] for step in json.loads(result.stdout)["steps"]] == [1, 0]
    assert [step["n"] for step in json.loads((folder / "runs/tiny/report.json").read_text())["steps"]] == [1, 0]
    assert "1 run set aside, as what it holds contradicts itself." in (folder / "runs/tiny/report.md").read_text()


def test_options_under_which_there_are_runs_are_named(folder: Path, small_mnist: Path) -> None:
    command = ("tiny.py", "--data", str(small_mnist))
    assert stepladder("run", *command, "--epochs", "1", "--steps", "plain", folder=folder).returncode == 0
    found = "found no runs of ladder 'tiny' in runs under these options, but 1 run with --epochs 1"
    assert found in refused(stepladder("report", *command, folder=folder))
    assert found in refused(stepladder("compare", "tiny.py", "plain", "dropout", *command[1:], folder=folder))
    checked = stepladder("check", *command, folder=folder)
    assert checked.returncode == 1
    assert found in checked.stderr


def test_a_report_goes_where_it_is_asked_to_and_replaces_more_runs_only_when_forced(folder: Path, small_mnist: Path) -> None:
    command = ("tiny.py", "--data", str(small_mnist), "--epochs", "1")
    assert stepladder("run", *command, "--seeds", "2", "--steps", "plain", folder=folder).returncode == 0
    assert stepladder("report", *command, "--output", "mine", folder=folder).returncode == 0
    assert (folder / "mine/report.html").is_file()
    shutil.rmtree(next(folder.glob("runs/plain-*/1")))
    assert "found a report of 2 runs, these are 1" in refused(stepladder("report", *command, folder=folder))
    assert stepladder("report", *command, "--force", folder=folder).returncode == 0


def test_a_report_on_images_of_another_size_is_refused(folder: Path, small_mnist: Path) -> None:
    (folder / "large.py").write_text(LADDER.replace("GlobalAvgPool()])", "GlobalAvgPool()], input=(1, 32, 32))"))
    (folder / "runs").mkdir()
    for command in ("report", "check"):
        message = refused(stepladder(command, "large.py", "--data", str(small_mnist), folder=folder))
        assert "the images are 1 x 28 x 28, the network expects 1 x 32 x 32" in message


def test_a_failed_run_is_reported_at_the_end_and_costs_the_others_nothing(folder: Path, small_mnist: Path) -> None:
    first = stepladder("run", "tiny.py", "--data", str(small_mnist), "--steps", "plain", folder=folder)
    assert first.returncode == 0
    (run,) = folder.glob("runs/plain-*/0")
    checkpoint = run.with_name("1.checkpoint")
    checkpoint.write_bytes(b"not a checkpoint")
    result = stepladder("run", "tiny.py", "--data", str(small_mnist), "--seeds", "2", "--threads", "1", folder=folder)
    assert result.returncode == 1
    assert "plain seed 1 failed" in result.stderr
    assert str(checkpoint.relative_to(folder)) in result.stderr
    assert [step["n"] for step in json.loads((folder / "runs/tiny/report.json").read_text())["steps"]] == [1, 2]


def test_mistakes_are_refused_with_what_was_found_and_expected(folder: Path) -> None:
    assert "no ladder 'nope': expected mnist" in refused(stepladder("run", "nope"))
    assert "missing.py: file not found" in refused(stepladder("show", "missing.py"))
    assert "no step 'Z'; its steps are plain, dropout" in refused(stepladder("run", "tiny.py", "--steps", "Z", folder=folder))
    assert "unknown engine 'jax': expected native or torch" in refused(
        stepladder("run", "tiny.py", "--engine", "jax", folder=folder)
    )
    assert "native engine runs on cpu" in refused(
        stepladder("run", "tiny.py", "--engine", "native", "--device", "cuda", folder=folder)
    )
    assert "9 epochs, the budget allows 5" in refused(stepladder("run", "tiny.py", "--epochs", "9", folder=folder))
    assert "nowhere: no such file or folder" in refused(stepladder("run", "tiny.py", "--data", "nowhere", folder=folder))
    assert "seeds is 0, expected a whole number from 1" in refused(stepladder("run", "tiny.py", "--seeds", "0", folder=folder))
    assert not list(folder.glob("runs/*/*/run.json"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ladder = 3", "expected it to define `ladder`, a Ladder; found int"),
        ("x = 1", "found nothing of that name"),
        ("x = (", "bad.py, line 1"),
        ("\nx = missing", "bad.py, line 2: NameError"),
        ("from stepladder import Conv\nConv(0)", "bad.py, line 2: Conv(channels=0"),
    ],
)
def test_a_ladder_file_that_fails_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.py").write_text(text)
    assert message in refused(stepladder("show", "bad.py", folder=tmp_path))


def test_a_budget_that_is_broken_is_refused_before_anything_is_trained(folder: Path) -> None:
    (folder / "big.py").write_text(LADDER.replace("parameters=5_000", "parameters=2_000"))
    message = refused(stepladder("run", "big.py", folder=folder))
    assert "step plain has 2,732 parameters, the budget allows 2,000" in message
    assert not (folder / "runs").exists()
