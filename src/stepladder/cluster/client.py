"""An executor whose runs are made by the workers of a Dask cluster, one by each at a time.

This process hands the runs out, in order: a thread for each worker takes the next one and has it trained there, some seconds at a
time. After each part its checkpoint comes back into the folder of runs, so that progress is read there as that of any run, and
a run whose worker died goes on elsewhere, with the same bits. The scheduler never holds more than one part for each worker:
what is asked for ends with whoever asked.
"""

import asyncio
import logging
import pickle
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Executor, Future
from concurrent.futures import wait as wait_for
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client, KilledWorker, LocalCluster

from stepladder import __version__, records
from stepladder.cluster import arrivals, worker
from stepladder.cluster.worker import Order, Part
from stepladder.data import Dataset
from stepladder.job import Job
from stepladder.records import RecordError
from stepladder.spec import UserError

PART_SECONDS = 5.0
"""After so long a worker ends the epoch under way and sends the checkpoint."""
ATTEMPTS = 3
"""So many workers may die under a run, or send what cannot be used, without an epoch between, before the run is given up."""
WAIT_SECONDS = 60.0
"""So long a cluster may be without workers."""
POLL_SECONDS = 0.5


class Lost(Exception):
    """A part of a run did not come back, or cannot be used: whose fault it was is said."""


@dataclass
class _Run:
    job: Job
    future: Future[Path] = field(default_factory=Future)
    lost: list[str] = field(default_factory=list)


class Cluster(Executor):
    """The workers of a cluster: that of a scheduler's address, of a client, or "local:4" processes here, which end with it.

    Workers that come later are used as well. Those with another Stepladder are not, nor with `same_bits` those with another
    processor or torch than this process. Raises UserError where there is no scheduler, or no worker that can be used.
    """

    def __init__(self, where: "str | Client", same_bits: bool = False) -> None:
        self._local, self._client = _opened(where)
        self._mine = not isinstance(where, Client)
        self._same_bits = same_bits
        self._changed = threading.Condition()
        self._waiting = deque[_Run]()
        self._futures = list[Future[Path]]()
        self._threads = dict[str, threading.Thread]()
        self._workers = frozenset[str]()
        self._refused = dict[str, str]()
        self._ended = False
        self.remarks: list[str] = []
        """What is to be known of its workers, a sentence each."""
        self._watch = threading.Thread(target=self._watched, daemon=True)
        try:
            self._wait_for_workers()
            self._watch.start()
        except BaseException:
            self.kill()
            raise

    @property
    def count(self) -> int:
        """How many workers there are now."""
        return len(self._workers)

    def told(self) -> list[str]:
        """How many workers there are, where to watch them, and what is to be known of them."""
        many = f"{self.count} worker{'' if self.count == 1 else 's'}"
        try:
            watched = f", watched at {self._client.dashboard_link}"
        except KeyError:  # a scheduler without a dashboard
            watched = ""
        return [f"cluster: {many}{watched}", *self.remarks]

    def submit(self, task: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a job trained; the one task there is here is `sweep.train_job`."""
        (job,) = args
        run = _Run(replace(job, known=job.fingerprint))
        self._futures.append(run.future)
        with self._changed:
            self._waiting.append(run)
            self._changed.notify()
        return run.future

    def kill(self) -> None:
        """End what is under way, at the latest with its epoch, and cancel what is waiting."""
        with self._changed:
            self._ended = True
            waiting = [*self._waiting]
            self._waiting.clear()
            self._changed.notify_all()
        for run in waiting:
            run.future.cancel()
        for thread in [self._watch, *self._threads.values()]:
            if thread.is_alive():
                thread.join(4 * POLL_SECONDS)
        with suppress(TimeoutError, OSError):  # of a scheduler that is gone already
            if self._mine:
                self._client.close(timeout=5)
        if self._local:
            with suppress(TimeoutError, OSError):  # its processes end with this one
                self._local.close(timeout=20)  # which waits 4 seconds for an epoch to end before it kills a process

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Like any executor's."""
        if wait and not cancel_futures:
            wait_for(self._futures)
        self.kill()

    # Workers that come and go.

    def _wait_for_workers(self) -> None:
        until = time.monotonic() + WAIT_SECONDS
        while not self._workers:
            self._look()
            if self._refused and not self._workers:
                raise UserError(f"the cluster has no worker that can be used: {'; '.join(self._refused.values())}")
            if time.monotonic() > until:
                raise UserError(f"the cluster has no workers, waited {WAIT_SECONDS:.0f} seconds for the first")
            if not self._workers:
                time.sleep(POLL_SECONDS)

    def _look(self) -> None:
        """See which workers there are, and let those begin that are new and can be used."""
        there = frozenset(self._client.scheduler_info(n_workers=-1)["workers"])
        new = there - self._workers - self._refused.keys()
        fit, refused = looked_at(self._client, sorted(new), self._same_bits) if new else ({}, {})
        self._refused |= refused
        self.remarks += [sentence for sentence in (*refused.values(), *fit.values()) if sentence]
        self._workers = (there & self._workers) | fit.keys()
        for address in sorted(self._workers - self._threads.keys()):
            self._threads[address] = threading.Thread(target=self._served, args=(address,), daemon=True)
            self._threads[address].start()

    def _watched(self) -> None:
        seen = time.monotonic()
        while not self._ended:
            known = len(self.remarks)
            try:
                self._look()
            except Exception as error:  # of whatever kind: the scheduler is away, and perhaps comes back
                self._workers = frozenset()
                why = f"its scheduler does not answer ({type(error).__name__})"
            else:
                why = "its last worker has gone"
            for sentence in self.remarks[known:]:
                print(sentence, file=sys.stderr)
            seen = time.monotonic() if self._workers else seen
            if time.monotonic() - seen > WAIT_SECONDS:
                self._give_up(f"the cluster cannot be used: {why}, {WAIT_SECONDS:.0f} seconds ago")
            time.sleep(POLL_SECONDS)

    def _give_up(self, reason: str) -> None:
        with self._changed:
            waiting = [*self._waiting]
            self._waiting.clear()
        for run in waiting:
            if run.lost or run.future.set_running_or_notify_cancel():
                run.future.set_exception(UserError(reason))

    # One worker.

    def _served(self, address: str) -> None:
        """Have runs trained by a worker, one after the other, while it is there."""
        while run := self._next(address):
            try:
                run.future.set_result(self._trained(address, run))
            except Lost as error:
                self._again(run, address, error)
            except BaseException as error:
                run.future.set_exception(error)
        self._threads.pop(address, None)

    def _next(self, address: str) -> _Run | None:
        """The next run, once there is one; None where the worker is gone or all is at an end."""
        with self._changed:
            while not self._ended and address in self._workers:
                if not self._waiting:
                    self._changed.wait(POLL_SECONDS)
                    continue
                run = self._waiting.popleft()
                if run.lost or run.future.set_running_or_notify_cancel():
                    return run
        return None

    def _again(self, run: _Run, address: str, error: Lost) -> None:
        """Put a run that was lost in front of all others, unless it was lost too often."""
        run.lost.append(f"{address}: {error}")
        with self._changed:
            if self._ended:
                run.future.set_exception(CancelledError())
            elif len(run.lost) < ATTEMPTS:
                self._waiting.appendleft(run)
                self._changed.notify()
            else:
                why = "; ".join(run.lost)
                run.future.set_exception(UserError(f"run {run.job} was lost {len(run.lost)} times, and is given up: {why}"))

    def _trained(self, address: str, run: _Run) -> Path:
        """The folder of a run that a worker has made from its last checkpoint on, unless it is recorded."""
        job = run.job
        dataset = job.setup.dataset()
        with records.lock(job.folder):
            folder = job.folder  # only now: another ladder may have begun this run under another name
            if not records.exists(folder):
                records.clear_leftovers(folder)
            while not records.exists(folder):
                there = records.read_checkpoint(folder)
                saved = records.checkpoint_file(folder).read_bytes() if there else None
                order = pickle.dumps(tuple(Order(job, saved, dataset.digest, PART_SECONDS)))
                found: Part = self._asked(address, worker.part, order)
                try:
                    if found.files:
                        arrivals.record(folder, found.files, dataset.test_labels)
                    elif found.checkpoint:
                        arrivals.checkpoint(folder, found.checkpoint, len(there.history) if there else 0)
                        run.lost.clear()
                    else:
                        self._send(address, dataset)
                except RecordError as error:
                    raise Lost(f"it sent what cannot be used: {error}") from None
        return folder

    def _send(self, address: str, dataset: Dataset) -> None:
        """Send images to a worker, which keeps them."""
        loaded = replace(  # what is mapped is read, to be sent
            dataset,
            train_images=np.asarray(dataset.train_images),
            train_labels=np.asarray(dataset.train_labels),
            test_images=np.asarray(dataset.test_images),
            test_labels=np.asarray(dataset.test_labels),
            validation=None,
        )
        (sent,) = self._client.scatter([loaded], workers=[address], hash=False)
        self._asked(address, worker.keep, sent)

    def _asked(self, address: str, task: Callable[..., Any], given: Any) -> Any:
        """What a task returns in this worker; raises Lost where the worker is gone before."""
        done, future = threading.Event(), None
        try:
            future = self._client.submit(task, given, workers=[address], allow_other_workers=False, pure=False)
            future.add_done_callback(lambda _: done.set())
            while not done.wait(POLL_SECONDS):
                if self._ended:
                    raise Lost("the command has ended")
                if address not in self._workers:
                    raise Lost("the worker was killed or died, or cannot be reached")
            return future.result()
        except (OSError, CancelledError, asyncio.CancelledError, KilledWorker) as error:  # OSError: its disk, or the way there
            raise Lost(str(error) or type(error).__name__) from None
        finally:
            if future is not None:
                with suppress(Exception):  # of a client that has lost its scheduler
                    future.cancel()


def _opened(where: "str | Client") -> tuple[LocalCluster | None, Client]:
    """The cluster of processes that was started here, if one was, and a client."""
    if isinstance(where, Client):
        return None, where
    if where.startswith("local:"):
        count = int(where.removeprefix("local:"))
        local = LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            memory_limit=0,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )
        return local, Client(local, set_as_default=False)
    try:
        return None, Client(where, timeout=10, set_as_default=False)
    except OSError as error:
        raise UserError(f"cluster {where}: no scheduler answers there ({error})") from None


def looked_at(client: Client, addresses: Sequence[str], same_bits: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Which of these workers can be used, with what is to be known of each, if anything; and which cannot, with the reason."""
    here = worker.facts()
    fit, refused = dict[str, str](), dict[str, str]()
    for address, found in client.run(metadata.version, "stepladder", workers=list(addresses), on_error="return").items():
        if found == __version__:
            fit[address] = ""
        elif not isinstance(found, OSError):  # of one that has gone meanwhile
            has = f"Stepladder {found}" if isinstance(found, str) else "no Stepladder"
            refused[address] = f"worker {address} has {has}, expected {__version__}: it is not used"
    facts = client.run(worker.facts, workers=list(fit), on_error="return") if fit else {}
    for address in list(fit):
        found = facts.get(address)
        if not isinstance(found, worker.Facts):
            refused[address] = f"worker {address} cannot be asked what it is ({found}): it is not used"
        elif found.numerics != here.numerics:
            refused[address] = f"worker {address} has the numerics {found.numerics}, expected {here.numerics}: it is not used"
        elif found != here:
            told = f"worker {address} has torch {found.torch} on {found.processor}, here it is {here.torch} on {here.processor}"
            if same_bits:
                refused[address] = f"{told}: it is not used, as the same bits are asked for"
            else:
                fit[address] = f"{told}: its runs may differ from those made here in their last bits"
        if address in refused:
            del fit[address]
    return fit, refused
