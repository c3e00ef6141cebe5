"""A sweep in a terminal: a bar and a line for each running run on a terminal, a line for each epoch elsewhere."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stepladder.job import Job
from stepladder.live.pace import Pace, clock
from stepladder.sweep import Progress, Run

LONGEST, SHORTEST = 40, 8
"""Columns of a bar, and of the ids of the steps where the terminal is narrow."""
FIGURES = 62
"""Columns of a line beside its id."""


def show(sweep: Iterator[Progress], jobs: list[Job]) -> Progress:
    """Follow a sweep of these jobs to its end; returns how it stood then."""
    console = Console()
    total = sum(job.step.recipe.epochs for job in jobs)
    return _live(sweep, jobs, total, console) if console.is_terminal else _plain(sweep, jobs, total, console)


def _live(sweep: Iterator[Progress], jobs: list[Job], total: int, console: Console) -> Progress:
    pace, now = Pace(total), Progress([], [], [])
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        for now in sweep:
            pace.see(now.done, time.monotonic())
            live.update(screen(now, pace, jobs, console.width))
    return now


def screen(now: Progress, pace: Pace, jobs: Sequence[Job], width: int) -> Group:
    """How a sweep of these jobs stands, on a terminal of so many columns."""
    aligned = id_width([job.step.id for job in jobs], width)
    return Group(_bar(now, pace, width), *(Text(f"  {line(run, width=aligned)}") for run in now.running))


def _bar(now: Progress, pace: Pace, width: int) -> Table:
    """How much of a sweep is done, as a bar and in words, on one line."""
    left = f", about {clock(pace.left)} left" if pace.left is not None else ""
    words = f"{now.epochs}/{pace.total} epochs, {clock(pace.gone)} gone{left}"
    row = Table.grid(padding=(0, 1, 0, 0))
    row.add_column(width=max(SHORTEST, min(LONGEST, width - len(words) - 2)))
    row.add_column()
    row.add_row(ProgressBar(total=pace.total, completed=now.done), words)
    return row


def _plain(sweep: Iterator[Progress], jobs: list[Job], total: int, console: Console) -> Progress:
    told: dict[Job, int] = {}
    pace, now = Pace(total), Progress([], [], [])
    seen, width = 0, max(cell_len(job.step.id) for job in jobs)
    for now in sweep:
        pace.see(now.done, time.monotonic())
        left = f", about {clock(pace.left)} left" if pace.left else ""
        new, seen = now.recorded[seen:], len(now.recorded)
        for run in (*new, *now.running):
            for epoch in range(told.get(run.job, 0), len(run.history)):
                text = f"{line(run, epoch + 1, width)}  ({now.epochs}/{total} in all{left})"
                console.print(text, highlight=False, markup=False, soft_wrap=True)
            told[run.job] = len(run.history)
    return now


def id_width(ids: Sequence[str], width: int) -> int:
    """So many columns ids may take on a terminal, so that the lines of all runs are aligned and fit where that is possible."""
    return min(max(map(cell_len, ids)), max(SHORTEST, width - FIGURES))


def line(run: Run, epoch: int | None = None, width: int = 12) -> str:
    """How a run stands after an epoch, by default its last; its step's id takes so many columns, and more where it is not cut."""
    epoch = len(run.history) if epoch is None else epoch
    name = run.job.step.id
    shown = name if cell_len(name) <= width else f"{set_cell_size(name, width - 1)}…"
    epochs = run.job.step.recipe.epochs
    head = f"{set_cell_size(shown, width)} seed {run.job.seed:<2} epoch {epoch:>2}/{epochs:<2}"
    if not epoch:
        share = f", {run.share:.0%} of it" if run.share else ""
        return f"{head}  in its first epoch{share}"
    last = run.history[epoch - 1]
    return f"{head}  train {last.train_accuracy:.2%}  test {last.test_accuracy:.2%}  {last.seconds:.1f} s"


def counted(done: Iterable[Any], total: int, what: str) -> Iterator[Any]:
    """Whatever is done, as it comes, while stderr shows how many of a total: a bar on a terminal, a line each elsewhere."""
    console = Console(stderr=True)
    columns = (BarColumn(LONGEST), MofNCompleteColumn(), TextColumn(what), TimeElapsedColumn(), TextColumn("gone"))
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        for place, found in enumerate(bar.track(done, total), start=1):
            if not console.is_terminal:
                console.print(f"{place}/{total} {what}", highlight=False, markup=False, soft_wrap=True)
            yield found
