"""A sweep as it goes, in a terminal, in a notebook, and as plain lines elsewhere."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from stepladder.climb.drive import Standing
from stepladder.job import Job
from stepladder.live import climbing, notebook, terminal
from stepladder.sweep import Progress


def follow(sweep: Iterator[Progress], todo: list[Job]) -> Progress:
    """Show a sweep of the jobs `todo` to its end; returns how it stood then."""
    show = notebook.show if _in_notebook() else terminal.show
    return show(sweep, todo)


def climb(standings: Iterator[Standing]) -> Standing:
    """Show a climb to its end; returns how it stood then."""
    return (notebook.climb if _in_notebook() else climbing.show)(standings)


def begin(recorded: int, todo: int, runs: Path, images: Sequence[str] = ()) -> None:
    """Say what images were found, how many runs there are and how many are to be made."""
    for sentence in images:
        print(sentence)
    print(f"{recorded} of {recorded + todo} runs are recorded in {runs}, {todo} to train.", flush=True)


def tell(sentence: str) -> None:
    """Say what is to be known before it begins."""
    print(sentence, flush=True)


def counted(done: Iterable[Any], total: int, what: str) -> Iterator[Any]:
    """Whatever is done, as it comes, while stderr shows how many of a total."""
    return terminal.counted(done, total, what)


def _in_notebook() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return bool(getattr(shell, "kernel", None))
