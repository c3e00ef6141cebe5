"""Runs that wait for a worker of a cluster."""

import threading
from collections import deque
from collections.abc import Set
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from stepladder.job import Job


@dataclass(eq=False)
class Run:
    """A run to be made, what becomes of it, and the workers that have lost it since its last epoch, each with the reason."""

    job: Job
    future: Future[Path] = field(default_factory=Future)
    lost: list[tuple[str, str]] = field(default_factory=list)


class Queue:
    """Runs in the order in which they are to begin; once it has ended it gives none."""

    def __init__(self) -> None:
        self.ended = False
        self._runs = deque[Run]()
        self._changed = threading.Condition()

    def put(self, run: Run, first: bool = False) -> None:
        """Add a run behind all others, or in front of them; one that comes too late is cancelled."""
        with self._changed:
            if not self.ended:
                (self._runs.appendleft if first else self._runs.append)(run)
                self._changed.notify_all()
                return
        _cancel(run)

    def take(self, worker: str, among: Set[str], seconds: float) -> Run | None:
        """The first run for a worker, which begins now: none that it has lost itself, unless so have all others `among` whom it is.
        None where there is none within so many seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.ended or self._for(worker, among), seconds) or self.ended:
                return None
            run = self._for(worker, among)
            assert run
            self._runs.remove(run)
        return run if run.future.running() or run.future.set_running_or_notify_cancel() else None

    def clear(self) -> list[Run]:
        """Take out all that wait."""
        with self._changed:
            runs, self._runs = [*self._runs], deque()
        return runs

    def end(self) -> None:
        """Cancel all that wait, and all that come."""
        with self._changed:
            self.ended = True
            self._changed.notify_all()
        for run in self.clear():
            _cancel(run)

    def _for(self, worker: str, among: Set[str]) -> Run | None:
        return next((run for run in self._runs if worker not in (lost := dict(run.lost)) or among <= lost.keys()), None)


def _cancel(run: Run) -> None:
    if not run.future.cancel():  # it had begun
        run.future.set_exception(InterruptedError("the command has ended"))
