"""Finding ladders: the built-in ones by name, anyone's own by the path of a Python file that ends in `ladder = ...`."""

import runpy
import traceback
from pathlib import Path

from stepladder.spec import Ladder, SpecError

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The built-in ladders."""
    return sorted(path.stem.replace("_", "-") for path in _FOLDER.glob("[!_]*.py"))


def load(name: str) -> Ladder:
    """The built-in ladder of this name, or the one that a Python file defines.

    Raises SpecError where there is none, naming the file and line where the file fails.
    """
    if name in names():
        return _from_file(_FOLDER / f"{name.replace('-', '_')}.py")
    path = Path(name)
    if path.is_file():
        return _from_file(path)
    if path.suffix == ".py":
        raise SpecError(f"{name}: file not found")
    raise SpecError(f"no ladder {name!r}: expected {', '.join(names())}, or a Python file that ends in `ladder = ...`")


def _from_file(path: Path) -> Ladder:
    try:
        found = runpy.run_path(str(path)).get("ladder")
    except SyntaxError as error:
        raise SpecError(f"{error.filename}, line {error.lineno}: {error.msg}") from None
    except Exception as error:  # whatever a user's file may raise is the user's to read, at its line
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        kind = "" if isinstance(error, SpecError) else f"{type(error).__name__}: "
        raise SpecError(f"{path}, line {lines[-1] if lines else '?'}: {kind}{error}") from None
    if not isinstance(found, Ladder):
        what = "nothing of that name" if found is None else type(found).__name__
        raise SpecError(f"{path}: expected it to define `ladder`, a Ladder; found {what}")
    return found
