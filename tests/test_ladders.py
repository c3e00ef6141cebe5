"""Finding a ladder, and files that do not define one: an error that names file and line, whatever they do."""

import os
import sys
from pathlib import Path

import pytest

from stepladder import Ladder, SpecError, ladders

GOOD = """
from stepladder import Budget, Conv, GlobalAvgPool, Ladder, Network, Step
network = Network([Conv(10, activation=None), GlobalAvgPool()])
ladder = Ladder("mine", Budget(10_000, 15, 0.99), [Step("Plain", network)])
"""


def load(folder: Path, source: str | bytes) -> Ladder:
    """The ladder of a file of this source."""
    path = folder / "mine.py"
    path.write_bytes(source.encode() if isinstance(source, str) else source)
    return ladders.load(str(path))


def refused(folder: Path, source: str | bytes) -> str:
    """What is said of a file of this source, without the folder's name; one line."""
    with pytest.raises(SpecError) as error:
        load(folder, source)
    assert error.value.__cause__ is None
    assert "\n" not in str(error.value)
    return str(error.value).replace(f"{folder}{os.sep}", "")


def test_a_file_that_defines_a_ladder_is_one(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD).name == "mine"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import sys; sys.exit()", "it ends the program (SystemExit), expected it to go on and define `ladder`"),
        ("raise SystemExit(0)", "it ends the program (SystemExit), expected it to go on and define `ladder`"),
        ("exit(3)", "it ends the program (SystemExit), expected it to go on and define `ladder`"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("raise GeneratorExit", "GeneratorExit:"),
        ("raise MemoryError", "MemoryError:"),
        ("raise BaseException('odd')", "BaseException: odd"),
        ("raise SyntaxError('mine')", "SyntaxError: mine"),
        ("def again(): again()\nagain()", "RecursionError: maximum recursion depth exceeded"),
        ("class Mute(Exception):\n    def __str__(self): return 1 / 0\nraise Mute('it')", "Mute: Mute('it')"),
        ("Conv(0)", "Conv(channels=0, kernel=3, stride=1, padding=0, groups=1, bias=False, norm='batch', activation='relu', "
         "dilation=1): channels is 0, expected a whole number of at least 1"),
        ("open('/nowhere/at/all')", "FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/at/all'"),
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
    ],
)  # fmt: skip
def test_a_file_that_fails_or_ends_the_program_is_named_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    found = refused(tmp_path, f"{GOOD}{line}\n")
    number = 4 + len(line.splitlines()) - ("again" in line)
    assert found.startswith(f"mine.py, line {number}: {message}")


def test_a_file_that_is_interrupted_stays_interrupted(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        load(tmp_path, "raise KeyboardInterrupt")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = (1", "mine.py, line 1: '(' was never closed"),
        ("\nif True:\nx = 1", "mine.py, line 3: expected an indented block"),
        (b"\nx = '\xff'", "utf-8"),
        (b"ladder = 1\0", "null bytes"),
        ("# coding: klingon", "klingon"),
        ("x = " + "(" * 1_000 + ")" * 1_000, "too many nested parentheses"),
        ("x = " + "-" * 100_000 + "1", "mine.py"),
    ],
)
def test_a_file_that_is_no_python_is_named(tmp_path: Path, source: str | bytes, message: str) -> None:
    found = refused(tmp_path, source)
    assert found.startswith("mine.py")
    assert message in found


@pytest.mark.parametrize(
    ("source", "found"),
    [("", "nothing of that name"), ("ladder = None", "nothing of that name"), ("ladder = 3", "int"), ("ladder = Ladder", "type")],
)
def test_a_file_that_defines_something_else_says_what_it_is(tmp_path: Path, source: str, found: str) -> None:
    message = f"mine.py: expected it to define `ladder`, a Ladder; found {found}"
    assert refused(tmp_path, f"from stepladder import Ladder\n{source}") == message


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for name, message in (
        (str(tmp_path), "found a folder, expected a Python file that ends in `ladder = ...`"),
        (str(tmp_path / "none.py"), "file not found"),
        ("mnits", "no ladder 'mnits': expected mnist, mnist-8k, mnist-smallest, or a Python file"),
        ("mnst", "or a Python file that ends in `ladder = ...`; did you mean mnist?"),
        ("a" * 5_000, "File name too long"),
        ("a\0b.py", "not found"),
        ("", "found a folder"),
    ):
        with pytest.raises(SpecError) as error:
            ladders.load(name)
        assert message in str(error.value)


def test_a_file_that_lies_here_is_what_its_bare_name_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "first.py").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=r"no ladder 'first': .*; did you mean first.py\?$"):
        ladders.load("first")


def test_a_file_may_import_what_lies_beside_it_and_that_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", sys.path.copy())
    (tmp_path / "beside_it.py").write_text("CHANNELS = 10\n")
    (tmp_path / "numpy.py").write_text("raise RuntimeError\n")
    assert load(tmp_path, f"from beside_it import CHANNELS\nimport numpy\nnumpy.zeros(CHANNELS)\n{GOOD}").name == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").touch(mode=0)
    with pytest.raises(SpecError, match=r"mine.py: Permission denied$"):
        ladders.load(str(tmp_path / "mine.py"))


def test_a_fault_of_the_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: str) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "mine.py").touch()
    monkeypatch.setattr("runpy.run_path", fails)
    with pytest.raises(SpecError, match=r"mine.py: Permission denied$"):
        ladders.load(str(tmp_path / "mine.py"))
