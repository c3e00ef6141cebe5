"""Finding ladders: the built-in ones by name, anyone's own by the path of a Python file that ends in `ladder = ...`."""

import difflib
import runpy
import sys
import traceback
from pathlib import Path
from typing import Any

from stepladder.spec import SpecError, shown
from stepladder.steps import Ladder

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The built-in ladders."""
    return sorted(path.stem.replace("_", "-") for path in _FOLDER.glob("[!_]*.py"))


def load(name: str) -> Ladder:
    """The built-in ladder of this name, or the one that a Python file defines.

    Raises SpecError where there is none, naming the file and line where the file fails, whatever it raises or ends with.
    """
    if name in names():
        return _from_file(_FOLDER / f"{name.replace('-', '_')}.py")
    path = Path(name)
    try:
        if path.is_dir():
            raise SpecError(f"{name}: found a folder, expected a Python file that ends in `ladder = ...`")
        if path.exists():
            return _from_file(path)
    except OSError as error:
        raise SpecError(f"{name}: {error.strerror}") from None
    if path.suffix == ".py":
        raise SpecError(f"{name}: file not found")
    beside = [f"{name}.py"] if Path(f"{name}.py").is_file() else difflib.get_close_matches(name, names(), 1)
    meant = f"; did you mean {beside[0]}?" if beside else ""
    raise SpecError(f"no ladder {name!r}: expected {', '.join(names())}, or a Python file that ends in `ladder = ...`{meant}")


def _from_file(path: Path) -> Ladder:
    found = read(path, "ladder")
    if type(found) is not Ladder:
        what = "nothing of that name" if found is None else type(found).__name__
        raise SpecError(f"{path}: expected it to define `ladder`, a Ladder; found {what}")
    return found


def read(path: Path, name: str) -> Any:
    """What a Python file defines under a name, None where it does not; raises SpecError, naming file and line, where it fails."""
    if not path.is_file():
        raise SpecError(f"{path}: file not found")
    if (beside := str(path.resolve().parent)) not in sys.path:
        sys.path.append(beside)  # what a file imports may lie beside it, but hides nothing that is installed
    try:
        found = runpy.run_path(str(path)).get(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a user's file may raise is the user's to read, at its line; SystemExit too
        raise SpecError(_failure(path, error)) from None
    for name in ("stdout", "stderr"):
        if getattr(getattr(sys, name), "closed", False):
            raise SpecError(f"{path}: it closes sys.{name}, expected it to leave that open")
    return found


def _failure(path: Path, error: BaseException) -> str:
    """Where in a file, and by what, it failed, on one line."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{error.filename}, line {error.lineno}: {_words(error.msg)}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path) and frame.lineno]
    where = f"{path}, line {lines[-1]}" if lines else str(path)
    if isinstance(error, OSError) and not lines:
        return f"{where}: {error.strerror}"
    if isinstance(error, SystemExit):
        return f"{where}: it ends the program (SystemExit), expected it to go on and define `ladder`"
    kind = "" if isinstance(error, SpecError) else f"{type(error).__name__}: "
    return f"{where}: {kind}{_words(error)}"


def _words(error: object) -> str:
    """What an exception says, on one line; how it is written where it cannot say it."""
    try:
        return " ".join(str(error).split())
    except Exception:
        return shown(error)
