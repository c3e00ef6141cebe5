"""The README's first screen is short, and its code works as printed."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands import stepladder

pytestmark = pytest.mark.usefixtures("in_process")


README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_first_screen_is_a_screen() -> None:
    screen = README.split("\n## ")[0]
    assert len([line for line in screen.splitlines() if line.strip()]) < 25
    words = re.sub(r"```.*?```|\]\(.*?\)", "", screen, flags=re.DOTALL).split()
    assert len(words) < 150
    sh, python = re.findall(r"```\w+\n(.*?)```", screen, flags=re.DOTALL)
    assert [line.split()[0] for line in sh.splitlines()] == ["make", "make"]
    assert len(python.splitlines()) <= 12
    assert screen.count("(n = ") == 3


def test_the_example_ladder_runs_with_the_commands_printed_below_it(tmp_path: Path, small_mnist: Path) -> None:
    code, _ = blocks("python")
    (tmp_path / "my_ladder.py").write_text(code)
    commands = [line for block in blocks("sh") for line in block.splitlines() if "my_ladder" in line]
    assert len(commands) == 3
    for command in commands:
        arguments = shlex.split(command.replace("--seeds 8", "--seeds 2"), comments=True)[1:]
        if arguments[0] == "run":
            arguments += ["--data", str(small_mnist), "--epochs", "1", "--threads", "1"]
        done = stepladder(*arguments, folder=tmp_path)
        assert done.returncode == 0, (command, done.stderr)
    assert (tmp_path / "runs/mine/report.html").exists()


def test_the_library_is_called_as_printed(tmp_path: Path, small_mnist: Path) -> None:
    ladder, library = blocks("python")
    lab = f'Lab("runs", data={str(small_mnist)!r}, threads=1)'
    quick = library.replace('Lab("runs")', lab).replace("seeds=3", "epochs=5, progress=False")
    assert quick.count(str(small_mnist)) == quick.count("epochs=5") == 1
    (tmp_path / "script.py").write_text(f"{ladder}\n{quick}\nprint(sum(found.numel() for found in model.parameters()))")
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "one run: too few to judge one pair: too few to judge"
