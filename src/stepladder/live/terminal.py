"""A sweep in a terminal: a bar and a line for each running run on a terminal, a line for each epoch elsewhere."""

from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from stepladder.job import Job
from stepladder.sweep import Progress, Run


def show(sweep: Iterator[Progress], jobs: list[Job]) -> Progress:
    """Follow a sweep of these jobs to its end; returns how it stood then."""
    console = Console()
    total = sum(job.step.recipe.epochs for job in jobs)
    return _live(sweep, total, console) if console.is_terminal else _plain(sweep, total, console)


def _live(sweep: Iterator[Progress], total: int, console: Console) -> Progress:
    columns = (BarColumn(40), MofNCompleteColumn(), TextColumn("epochs"), TimeElapsedColumn(), TextColumn("gone,"))
    # A long period: one epoch of torch takes half a minute, and the pace is to be that of the sweep.
    bar = Bar(*columns, TimeRemainingColumn(), TextColumn("left"), console=console, speed_estimate_period=1800)
    task = bar.add_task("", total=total)
    now = Progress([], [], [])
    with Live(bar, console=console, refresh_per_second=4, transient=True) as live:
        for now in sweep:
            bar.update(task, completed=now.epochs)
            live.update(Group(bar, *(Text(f"  {line(run)}") for run in now.running)))
    return now


def _plain(sweep: Iterator[Progress], total: int, console: Console) -> Progress:
    told: dict[Job, int] = {}
    seen = 0
    now = Progress([], [], [])
    for now in sweep:
        new, seen = now.recorded[seen:], len(now.recorded)
        for run in (*new, *now.running):
            for epoch in range(told.get(run.job, 0), len(run.history)):
                console.print(f"{line(run, epoch + 1)}  ({now.epochs}/{total} in all)", highlight=False, markup=False)
            told[run.job] = len(run.history)
    return now


def line(run: Run, epoch: int | None = None) -> str:
    """How a run stands after an epoch, by default its last."""
    epoch = len(run.history) if epoch is None else epoch
    head = f"{run.job!s:<12} epoch {epoch:>2}/{run.job.step.recipe.epochs}"
    if not epoch:
        return f"{head}  in its first epoch"
    last = run.history[epoch - 1]
    return f"{head}  train {last.train_accuracy:.2%}  test {last.test_accuracy:.2%}  {last.seconds:.1f} s"


def counted(done: Iterable[Any], total: int, what: str) -> Iterator[Any]:
    """Whatever is done, as it comes, while stderr shows how many of a total: a bar on a terminal, a line each elsewhere."""
    console = Console(stderr=True)
    columns = (BarColumn(40), MofNCompleteColumn(), TextColumn(what), TimeElapsedColumn(), TextColumn("gone"))
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        for place, found in enumerate(bar.track(done, total), start=1):
            if not console.is_terminal:
                console.print(f"{place}/{total} {what}", highlight=False, markup=False)
            yield found
