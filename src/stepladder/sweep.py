"""Which runs are missing, and handing them to an executor."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
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
    """How a sweep stands."""

    running: list[Run]
    recorded: list[Run]
    failures: list[Failure]

    @property
    def epochs(self) -> int:
        """Epochs behind us: all of a recorded run, also of one that diverged early."""
        return sum(len(run.history) for run in self.running) + sum(run.job.step.recipe.epochs for run in self.recorded)

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
    """Train all jobs on the executor, telling how it stands every `poll` seconds and once at the end.

    Workers and this process share the folder of runs: progress is read from the checkpoints there. A run that raises,
    or whose process dies, becomes a Failure; the others go on.
    """
    futures = {executor.submit(train_job, job): job for job in jobs}
    recorded: list[Run] = []
    failures: list[Failure] = []
    pending: set[Future[Path]] = set(futures)
    while pending:
        done, pending = wait(pending, timeout=poll)
        for future in [future for future in futures if future in done]:
            job = futures[future]
            try:
                record = records.read(future.result())
            except Exception as error:  # of whatever kind: it fails this run alone, and is told
                failures.append(Failure(job, reason(error), isinstance(error, OSError)))
            else:
                recorded.append(Run(job, record.history, record.status))
        running = [futures[future] for future in futures if future in pending and future.running()]
        yield Progress([under_way(job) for job in running], list(recorded), list(failures))


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
