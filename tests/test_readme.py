"""The README's code works as printed."""

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


def test_the_example_ladder_runs_with_the_commands_printed_below_it(tmp_path: Path, small_mnist: Path) -> None:
    code, _ = blocks("python")
    (tmp_path / "my_ladder.py").write_text(code)
    commands = [
        line
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith("stepladder") and "my_ladder" in line and "photos" not in line  # for these docs/images.md
    ]
    assert commands
    for command in commands:
        arguments = shlex.split(command, comments=True)[1:]
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


def test_every_command_of_the_readme_is_a_command() -> None:
    for block in blocks("sh"):
        for line in block.splitlines():
            if line.startswith("stepladder "):
                command = shlex.split(line, comments=True)[1]
                assert stepladder(command, "--help").returncode == 0, line


def test_the_make_targets_of_the_readme_are_in_the_makefile() -> None:
    makefile = (Path(__file__).parent.parent / "Makefile").read_text()
    targets = re.findall(r"^make (\w+)", "\n".join(blocks("sh")), flags=re.MULTILINE)
    assert {"run", "test"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
