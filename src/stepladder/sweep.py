"""Which runs are missing, and handing them to an executor."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

from stepladder import records
from stepladder.job import Job
from stepladder.records import Epoch

POLL_SECONDS = 0.5


class Running(NamedTuple):
    """A run under way and its epochs so far."""

    job: Job
    history: list[Epoch]


class Failure(NamedTuple):
    """A run that ended without a record, and why."""

    job: Job
    reason: str


class Progress(NamedTuple):
    """How a sweep stands: epochs done and in all, over the runs that it makes."""

    done: int
    total: int
    running: list[Running]
    finished: list[Job]
    failures: list[Failure]


def missing(jobs: Sequence[Job]) -> list[Job]:
    """The jobs that have no record yet, in order."""
    return [job for job in jobs if not records.exists(job.folder)]


def sweep(jobs: Sequence[Job], executor: Executor, poll: float = POLL_SECONDS) -> Iterator[Progress]:
    """Train all jobs on the executor, telling how it stands every `poll` seconds and once at the end.

    Workers and this process share the folder of runs: progress is read from the checkpoints there. A run that raises,
    or whose process dies, becomes a Failure; the others go on.
    """
    futures = {executor.submit(_train, job): job for job in jobs}
    folders = {job: job.folder for job in jobs}
    histories: dict[Job, list[Epoch]] = {job: [] for job in jobs}
    finished: list[Job] = []
    failures: list[Failure] = []
    pending: set[Future[Path]] = set(futures)
    while pending:
        done, pending = wait(pending, timeout=poll)
        running = [futures[future] for future in pending if future.running()]
        for job in (*running, *(futures[future] for future in done)):
            histories[job] = records.progress(folders[job])
        for future in done:
            job = futures[future]
            if reason := _failure(future):
                failures.append(Failure(job, reason))
            else:
                finished.append(job)
        yield Progress(
            done=sum(len(history) for history in histories.values()),
            total=sum(job.step.recipe.epochs for job in jobs),
            running=sorted((Running(job, histories[job]) for job in running), key=lambda run: jobs.index(run.job)),
            finished=list(finished),
            failures=list(failures),
        )


def _train(job: Job) -> Path:
    from stepladder.train import train  # here, so that the process that only hands out work needs no torch

    return train(job)


def _failure(future: Future[Path]) -> str | None:
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        return "its worker process was killed or died (out of memory?)"
    return f"{type(error).__name__}: {error}" if error else None
