"""What the operating system refuses the command line: one line that says what, exit code 2, no traceback."""

import os
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import commands
import pytest
from inline import Inline
from test_cli import LADDER

from stepladder.job import Setup

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="uses /dev/full, /proc and limits on processes")

PRINTING = [("list",), ("show", "mnist", "A1", "--json"), ("--help",)]
"""Commands that only print: through rich, through print, through typer."""


def terminal(**variables: str) -> dict[str, str]:
    """The environment, without what tells Python how to print but these."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONUNBUFFERED", "PYTHONIOENCODING")} | variables


def stepladder(*arguments: str, folder: Path, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stepladder", *arguments]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": terminal()} | options
    return subprocess.run(command, text=True, cwd=folder, timeout=120, **streams)  # type: ignore[call-overload, no-any-return]


def refused(result: subprocess.CompletedProcess[str]) -> str:
    """What a command that was refused says; it is one line, and the exit code is 2."""
    assert result.returncode == 2, result
    (line,) = result.stderr.splitlines()
    assert line.startswith("stepladder: ")
    return line.removeprefix("stepladder: ")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny.py").write_text(LADDER)
    (tmp_path / "a file").write_text("no folder")
    return tmp_path


# What it prints to


@pytest.mark.parametrize("command", PRINTING)
def test_a_pipe_that_nobody_reads(folder: Path, command: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert refused(stepladder(*command, folder=folder, stdout=writer)) == "standard output: Broken pipe"
    finally:
        os.close(writer)


def test_a_pipe_that_nobody_reads_on(folder: Path) -> None:
    """The second write is refused, once nobody reads any more."""
    code = "import sys; from stepladder.cli import main; sys.stdout.write(sys.stdin.readline()); sys.stdout.flush(); " \
        "sys.stdin.read(); sys.argv[1:] = ['list']; main()"  # fmt: skip
    started = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert started.stdin
    assert started.stdout
    assert started.stderr
    started.stdin.write("first line\n")
    started.stdin.flush()
    assert started.stdout.readline() == "first line\n"
    started.stdout.close()
    started.stdin.close()
    assert (started.wait(60), started.stderr.read()) == (2, "stepladder: standard output: Broken pipe\n")
    started.stderr.close()


@pytest.mark.parametrize("command", PRINTING)
def test_a_full_disk_behind_the_output(folder: Path, command: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        assert refused(stepladder(*command, folder=folder, stdout=full)) == "standard output: No space left on device"
        at_once = stepladder(*command, folder=folder, stdout=full, env=terminal(PYTHONUNBUFFERED="1"))
        assert refused(at_once) == "standard output: No space left on device"


def test_an_error_that_cannot_be_told_still_has_its_exit_code(folder: Path) -> None:
    with Path("/dev/full").open("w") as full:
        assert stepladder("show", "nope", folder=folder, stderr=full).returncode == 2
        assert stepladder("list", folder=folder, stdout=full, stderr=full).returncode == 2


def test_a_ladder_file_that_closes_the_output_is_refused(folder: Path) -> None:
    (folder / "closes.py").write_text(f"import sys\nsys.stdout.close()\n{LADDER}")
    message = refused(stepladder("show", "closes.py", folder=folder))
    assert message == "closes.py: it closes sys.stdout, expected it to leave that open"
    (folder / "closes.py").write_text(f"import sys\nsys.stderr.close()\n{LADDER}")  # then there is nowhere to tell it
    result = stepladder("show", "closes.py", folder=folder)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", "")


def test_no_output_at_all_is_no_error(folder: Path) -> None:
    result = stepladder("list", "--json", folder=folder, stdout=None, preexec_fn=lambda: os.close(1))
    assert (result.returncode, result.stderr) == (0, "")


ASCII = [
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "C"},
]


@pytest.mark.parametrize("variables", ASCII)
def test_a_terminal_that_knows_ascii_only_gets_question_marks(folder: Path, variables: dict[str, str]) -> None:
    (folder / "tiny.py").write_text(LADDER.replace('"Plain"', '"Größer"').replace('"Learn."', '"学ぶ"'), encoding="utf-8")
    result = stepladder("show", "tiny.py", folder=folder, env=terminal(**variables), encoding="utf-8")
    assert (result.returncode, result.stderr) == (0, "")
    assert "Gr??er" in result.stdout or ("LC_ALL" in variables and "Größer" in result.stdout)  # Python may choose UTF-8 there
    unknown = stepladder("show", "grö.py", folder=folder, env=terminal(**variables), encoding="utf-8")
    assert "file not found" in refused(unknown)


# What it writes to


READING = [("report", "tiny.py"), ("check", "tiny.py"), ("compare", "tiny.py", "plain", "dropout")]


@pytest.mark.parametrize("command", [("run", "tiny.py"), *READING])
def test_runs_that_are_a_file_are_refused_before_anything_is_done(
    folder: Path, small_mnist: Path, command: tuple[str, ...]
) -> None:
    message = refused(commands.stepladder(*command, "--data", str(small_mnist), "--runs", "a file", folder=folder))
    assert message.startswith("a file")


@pytest.mark.parametrize("command", READING)
def test_runs_that_are_not_there_are_refused_and_not_made(folder: Path, small_mnist: Path, command: tuple[str, ...]) -> None:
    message = refused(commands.stepladder(*command, "--data", str(small_mnist), "--runs", "rums", folder=folder))
    assert message.startswith("rums")
    assert not (folder / "rums").exists()


def test_runs_that_may_not_be_written(folder: Path, small_mnist: Path) -> None:
    result = stepladder("run", "tiny.py", "--data", str(small_mnist), "--runs", "/proc/runs", folder=folder)
    assert refused(result).startswith("/proc/runs")


def small_files() -> None:
    """No file may grow beyond 16 kB: what a full disk does, for one process and those it starts."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, 1 << 14))


def test_a_disk_that_is_full_when_the_report_is_written(folder: Path, small_mnist: Path) -> None:
    options = ("--data", str(small_mnist), "--epochs", "1")
    with patch("stepladder.lab.lab.Workers", Inline):
        commands.stepladder("run", "tiny.py", "--steps", "plain", *options, folder=folder)
    result = stepladder("report", "tiny.py", *options, "--output", "elsewhere", folder=folder, preexec_fn=small_files)
    assert "File too large" in refused(result)


def test_a_disk_that_is_full_while_runs_are_made(folder: Path, small_mnist: Path) -> None:
    command = ("run", "tiny.py", "--data", str(small_mnist), "--steps", "plain", "--epochs", "1")
    result = stepladder(*command, folder=folder, preexec_fn=small_files)
    assert re.match(r"runs/\.data/[^/]+/train_images\.npy: File too large$", refused(result))
    assert not [*folder.glob("runs/.data/*"), *folder.glob("runs/.data/.*")]
    Setup(folder / "runs", small_mnist).keep()
    result = stepladder(*command, folder=folder, preexec_fn=small_files)
    assert result.returncode == 2
    assert re.fullmatch(r"plain seed 0 failed: runs/plain-\w+/0\.\S+: File too large\n", result.stderr)
    assert not list(folder.glob("runs/*/*/run.json"))


# What it reads


def test_data_that_the_operating_system_refuses(folder: Path) -> None:
    name = "x" * 300
    (folder / "runs").mkdir()
    result = stepladder("check", "tiny.py", "--data", name, folder=folder)
    assert refused(result) == f"{name}: cannot be read: File name too long"
