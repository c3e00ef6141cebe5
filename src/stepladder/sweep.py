"""Which runs are missing, and handing them to an executor."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import NamedTuple

from stepladder import records
from stepladder.job import Job
from stepladder.records import Epoch
from stepladder.spec import UserError

POLL_SECONDS = 0.5


class Run(NamedTuple):
    """A run under way or recorded, and its epochs so far; `status` is `running`, `finished` or `diverged`. `share` of the
    epoch under way is done."""

    job: Job
    history: list[Epoch]
    status: str
    share: float = 0.0


class Failure(NamedTuple):
    """A run that ended without a record, and why; `system` where it is the operating system that refused something."""

    job: Job
    reason: str
    system: bool = False


class Progress(NamedTuple):
    """How a sweep stands. `recorded` and `failures` are the sweep's own lists, which grow; `behind` counts the epochs of what is
    recorded: all that a run was to have, also of one that diverged early."""

    running: list[Run]
    recorded: list[Run]
    failures: list[Failure]
    behind: int = 0

    @property
    def epochs(self) -> int:
        """Epochs behind us."""
        return self.behind + sum(len(run.history) for run in self.running)

    @property
    def done(self) -> float:
        """As `epochs`, with the shares of those under way."""
        return self.epochs + sum(run.share for run in self.running)


def missing(jobs: Sequence[Job]) -> list[Job]:
    """The jobs that have no record yet, in order; of those that make the same run, only the first."""
    first: dict[tuple[Path, str, int], Job] = {}
    for job in jobs:
        first.setdefault((job.setup.runs, job.fingerprint, job.seed), job)
    there = {folder: records.recorded(*folder) for folder in {(runs, fingerprint) for runs, fingerprint, _ in first}}
    return [job for (runs, fingerprint, seed), job in first.items() if seed not in there[runs, fingerprint]]


def sweep(jobs: Sequence[Job], executor: Executor, poll: float = POLL_SECONDS) -> Iterator[Progress]:
    """Train all jobs on the executor, which begins them in order, telling how it stands every `poll` seconds and once at the end;
    what that costs depends on the runs under way, not on how many there are.

    Workers and this process share the folder of runs: progress is read from the checkpoints there. A run that raises,
    or whose process dies, becomes a Failure; the others go on.
    """
    ended = SimpleQueue[Future[Path]]()
    futures = {executor.submit(train_job, job): job for job in jobs}
    for future in futures:
        future.add_done_callback(ended.put)
    places = {future: place for place, future in enumerate(futures)}
    waiting, begun = deque(futures), list[Future[Path]]()
    recorded, failures, behind = list[Run](), list[Failure](), 0
    while left := len(futures) - len(recorded) - len(failures):
        for future in sorted(_ended(ended, left, poll), key=places.__getitem__):
            run = _outcome(future, futures[future])
            if isinstance(run, Failure):
                failures.append(run)
            else:
                recorded.append(run)
                behind += run.job.step.recipe.epochs
        while waiting and (waiting[0].done() or waiting[0].running()):
            begun.append(waiting.popleft())
        begun = [future for future in begun if future.running()]
        yield Progress([under_way(futures[each]) for each in begun], recorded, failures, behind)


def _ended(ended: SimpleQueue[Future[Path]], left: int, seconds: float) -> list[Future[Path]]:
    """What ends within so many seconds; at once where all that is left has."""
    found = list[Future[Path]]()
    until = monotonic() + seconds
    with suppress(Empty):
        while len(found) < left:
            found.append(ended.get(timeout=max(0.0, until - monotonic())))
    return found


def _outcome(future: Future[Path], job: Job) -> Run | Failure:
    """What came of a run that has ended."""
    try:
        record = records.read(future.result())
    except Exception as error:  # of whatever kind: it fails this run alone, and is told
        return Failure(job, reason(error), isinstance(error, OSError))
    return Run(job, record.history, record.status)


def under_way(job: Job) -> Run:
    """How far a run is that another process trains."""
    try:
        history = records.progress(job.folder)
    except records.RecordError:
        history = []  # its worker finds the same damage, and that run alone fails by it
    return Run(job, history, "running", records.noted(job.folder, len(history) + 1))


def train_job(job: Job) -> Path:
    """Train a job in a worker, unless it is recorded; returns the folder of its run."""
    from stepladder.train import train  # here, so that the process that only hands out work needs no torch

    return train(job)


def reason(error: BaseException) -> str:
    """Why a run failed, in words."""
    if isinstance(error, BrokenProcessPool):
        return "its worker process was killed or died (out of memory?)"
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}"
