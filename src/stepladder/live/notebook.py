"""A sweep in a notebook: one output, replaced as it goes on."""

import html
from collections.abc import Iterator

from stepladder.climb.drive import Standing
from stepladder.job import Job
from stepladder.live.climbing import lines
from stepladder.live.terminal import line
from stepladder.sweep import Progress


def show(sweep: Iterator[Progress], jobs: list[Job]) -> Progress:
    """Follow a sweep of these jobs to its end; returns how it stood then."""
    from IPython.display import HTML, display  # there is one wherever a notebook is

    total = sum(job.step.recipe.epochs for job in jobs)
    now = Progress([], [], [])
    handle = display(HTML(_written(now, total)), display_id=True)
    for now in sweep:
        handle.update(HTML(_written(now, total)))
    return now


def climb(standings: Iterator[Standing]) -> Standing:
    """Follow a climb to its end; returns how it stood then."""
    from IPython.display import HTML, display

    handle = display(HTML(""), display_id=True)
    for standing in standings:
        handle.update(HTML(f"<pre>{html.escape(chr(10).join(lines(standing)))}</pre>"))
    return standing


def _written(now: Progress, total: int) -> str:
    running = "\n".join(html.escape(line(run)) for run in now.running)
    failed = f", {len(now.failures)} failed" if now.failures else ""
    return (
        f'<progress value="{now.epochs}" max="{total}"></progress> {now.epochs} of {total} epochs, '
        f"{len(now.recorded)} runs done{failed}<pre>{running}</pre>"
    )
