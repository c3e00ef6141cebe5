"""A sweep in a notebook: one output, replaced as it goes on."""

import html
import time
from collections.abc import Iterator

from stepladder.climb.drive import Standing
from stepladder.job import Job
from stepladder.live.climbing import lines
from stepladder.live.pace import Pace, clock
from stepladder.live.terminal import id_width, line
from stepladder.sweep import Progress

WIDTH = 100
"""Of a line in a notebook, in characters."""


def show(sweep: Iterator[Progress], jobs: list[Job]) -> Progress:
    """Follow a sweep of these jobs to its end; returns how it stood then."""
    from IPython.display import HTML, display  # there is one wherever a notebook is

    pace, now = Pace(sum(job.step.recipe.epochs for job in jobs)), Progress([], [], [])
    width = id_width([job.step.id for job in jobs], WIDTH)
    handle = display(HTML(_written(now, pace, width)), display_id=True)
    for now in sweep:
        pace.see(now.done, time.monotonic())
        handle.update(HTML(_written(now, pace, width)))
    return now


def climb(standings: Iterator[Standing]) -> Standing:
    """Follow a climb to its end; returns how it stood then."""
    from IPython.display import HTML, display

    handle = display(HTML(""), display_id=True)
    for standing in standings:
        handle.update(HTML(f"<pre>{html.escape(chr(10).join(lines(standing)))}</pre>"))
    return standing


def _written(now: Progress, pace: Pace, width: int) -> str:
    running = "\n".join(html.escape(line(run, width=width)) for run in now.running)
    left = f", about {clock(pace.left)} left" if pace.left is not None else ""
    failed = f", {len(now.failures)} failed" if now.failures else ""
    return (
        f'<progress value="{now.done:.2f}" max="{pace.total}"></progress> {now.epochs} of {pace.total} epochs{left}, '
        f"{len(now.recorded)} runs done{failed}<pre>{running}</pre>"
    )
