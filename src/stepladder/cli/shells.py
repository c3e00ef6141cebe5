"""Completion in a shell, which asks this program what there is to choose from."""

import os
from pathlib import Path

from typer.completion import completion_init, get_completion_script  # type: ignore[attr-defined]  # typer lists no names there

from stepladder import ladders
from stepladder.spec import UserError

SHELLS = ("bash", "zsh", "fish", "powershell")
ASKED = "_STEPLADDER_COMPLETE"
"""The variable by which a shell asks."""


def script(shell: str) -> str:
    """What a shell is to run at its start; raises UserError for one that is not known."""
    if shell not in SHELLS:
        raise UserError(f"no completion for {shell!r}, expected {', '.join(SHELLS[:-1])} or {SHELLS[-1]}")
    return get_completion_script(prog_name="stepladder", complete_var=ASKED, shell=shell)


def ready() -> None:
    """Be ready to answer a shell, where it is one that asks."""
    if ASKED in os.environ:
        completion_init()


def ladder_names(incomplete: str) -> list[str]:
    """The ladders that begin so: the built-in ones, and the Python files here."""
    files = [path.name for path in sorted(Path().glob("*.py"))]
    return [name for name in (*ladders.names(), *files) if name.startswith(incomplete)]
