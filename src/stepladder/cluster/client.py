"""An executor whose runs are made by the workers of a Dask cluster, one by each at a time.

This process hands the runs out, in order: a thread for each worker takes the next one and has it trained there, some seconds at a
time. After each part its checkpoint comes back into the folder of runs, so that progress is read there as that of any run, and
a run whose worker died goes on elsewhere, with the same bits. The scheduler never holds more than one part for each worker:
what is asked for ends with whoever asked.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures import wait as wait_for
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib import metadata
from typing import Any

import numpy as np
from distributed import Client, KilledWorker
from distributed.client import ClosedClientError

from stepladder import records
from stepladder.cluster import parts, worker
from stepladder.cluster.acceptance import Wanted, difference, facts_refusal, folder_refusal, refusal
from stepladder.cluster.opening import opened
from stepladder.cluster.parts import Lost
from stepladder.cluster.queue import Queue, Run
from stepladder.data import Dataset
from stepladder.spec import UserError

ATTEMPTS = 3
"""A run that so many workers lose without an epoch between is given up, and a worker that loses so many runs in a row."""
WAIT_SECONDS = 120.0
"""So long a cluster may be without workers."""
SILENT_SECONDS = 30.0
"""A worker that is not heard of for so long hangs."""
POLL_SECONDS = 0.5


class Away(UserError):
    """The scheduler is not reached: nobody's fault here."""


class Cluster(Executor):
    """The workers of a cluster: that of a scheduler's address, of a client, or "local:4" processes here, which end with it.

    Workers that come later are used as well. Those with another Stepladder are not, nor those that are not as `wanted`. Raises
    UserError where there is no scheduler, or no worker that can be used.
    """

    def __init__(self, where: "str | Client", wanted: Wanted = Wanted()) -> None:  # noqa: B008 - a value
        self._where, self._wanted = where, wanted
        self._local, self._client = opened(where)
        self._queue = Queue()
        self._futures = list[Future[Any]]()
        self._here = frozenset[str]()
        self._heard = dict[str, tuple[float, float]]()
        self._fit = set[str]()
        self._refused = dict[str, str]()
        self._told = set[str]()
        self._threads = dict[str, threading.Thread]()
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
        return len(self._here & self._fit)

    def told(self) -> str:
        """How many workers there are, and where to watch them."""
        try:
            watched = f", watched at {self._client.dashboard_link}"
        except KeyError:  # a scheduler without a dashboard
            watched = ""
        return f"cluster: {self.count} worker{'' if self.count == 1 else 's'}{watched}"

    def submit(self, task: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a job trained; the one task there is here is `sweep.train_job`."""
        (job,) = args
        run = Run(replace(job, known=job.fingerprint))
        self._futures.append(run.future)
        self._queue.put(run)
        return run.future

    def kill(self) -> None:
        """End what is under way, at the latest with its epoch, and cancel what is waiting."""
        self._queue.end()
        for thread in [self._watch, *self._threads.values()]:
            if thread.is_alive():
                thread.join(4 * POLL_SECONDS)
        with suppress(TimeoutError, OSError):  # of a scheduler that is gone already
            if not isinstance(self._where, Client):
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
        """Until those that are there are known."""
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until and (not self._here or self._here - self._fit - self._refused.keys()):
            self._look()
            time.sleep(POLL_SECONDS / 10)
        if not self._fit:
            why = self._why_refused() or f"waited {WAIT_SECONDS:.0f} seconds for the first"
            raise UserError(f"the cluster has no worker that can be used: {why}")

    def _why_refused(self) -> str:
        first, *others = [*self._refused.values()] or [""]
        return f"{first}, and so {len(others)} more" if others else first

    def _watched(self) -> None:
        seen = time.monotonic()
        while not self._queue.ended:
            time.sleep(POLL_SECONDS)
            why = self._why_refused() or "its last worker has gone"
            try:
                self._look()
            except Exception:  # of whatever kind: the scheduler is away, and perhaps comes back
                self._here = frozenset()
                why = "its scheduler does not answer"
                self._tell("away", f"the cluster's scheduler does not answer; it has {WAIT_SECONDS:.0f} seconds to come back")
            seen = time.monotonic() if self.count else seen
            if time.monotonic() - seen > WAIT_SECONDS:
                for run in self._queue.clear():
                    if run.future.running() or run.future.set_running_or_notify_cancel():
                        run.future.set_exception(UserError(f"the cluster cannot be used since {WAIT_SECONDS:.0f} seconds: {why}"))

    def _look(self) -> None:
        """See which workers are there, and let those begin that are new."""
        if self._client.status == "closed" and isinstance(self._where, str) and not self._local:
            self._client = opened(self._where)[1]
        self._check_reached()
        now = time.monotonic()
        scheduler: Any = self._client.scheduler  # not `scheduler_info`, in which the client itself now and then has no workers
        try:
            known = self._client.sync(scheduler.identity, n_workers=-1)["workers"]
        except OSError as error:
            raise Away(f"the scheduler is not reached ({error})") from None
        seen = {address: found["last_seen"] for address, found in known.items()}
        before = self._heard
        self._heard = {
            address: before[address] if address in before and before[address][0] == last else (last, now)
            for address, last in seen.items()
        }
        self._here = frozenset(address for address, (_, heard) in self._heard.items() if now - heard < SILENT_SECONDS)
        self._fit &= self._here
        self._refused = {address: why for address, why in self._refused.items() if address in seen}
        for address in sorted(self._here - self._threads.keys() - self._refused.keys()):
            self._threads[address] = threading.Thread(target=self._served, args=(address,), daemon=True)
            self._threads[address].start()

    def _check_reached(self) -> None:
        if self._client.status != "running":
            raise Away(f"the scheduler is not reached (its client is {self._client.status})")

    def _check_there(self, address: str) -> None:
        if self._queue.ended or address not in self._here:
            self._check_reached()
            raise Lost("the command has ended" if self._queue.ended else "the worker was killed, died or hangs")

    def _accepts(self, address: str) -> bool:
        """Whether a worker is used; says what is to be known of it."""
        why = refusal(self._run(address, metadata.version, "stepladder"))
        if not why:
            found, here = self._run(address, worker.facts), worker.facts()
            why = facts_refusal(found, here)
            if not why and (other := difference(found, here)):
                self._tell(other, f"worker {address} {other}: the last bits of its runs may differ")
                why = f"{other}, and the same bits are asked for" if self._wanted.same_bits else None
        if not why and self._wanted.shared:
            with records.alone(self._wanted.runs, name := f"shared-{threading.get_ident()}"):
                why = folder_refusal(self._run(address, worker.sees, self._wanted.shared, name), self._wanted.shared)
        if why:
            self._refuse(address, why)
        else:
            self._fit.add(address)
        return not why

    def _run(self, address: str, task: Callable[..., Any], *args: Any) -> Any:
        """What a task returns or raises in a worker, whatever else that does; raises OSError where it is gone."""
        found = self._client.run(task, *args, workers=[address], on_error="return")[address]
        if isinstance(found, OSError):
            raise found
        return found

    def _refuse(self, address: str, why: str) -> None:
        self._refused[address] = f"worker {address} {why}"
        self._fit.discard(address)
        self._tell(why, f"{self._refused[address]}: it is not used")

    def _tell(self, about: str, sentence: str) -> None:
        """Say it, unless it was said of another worker."""
        if about not in self._told:
            self._told.add(about)
            print(sentence, file=sys.stderr)

    # One worker.

    def _served(self, address: str) -> None:
        """Have runs trained by a worker, one after the other, while it is there."""
        lost = 0
        try:
            if address in self._fit or self._accepts(address):
                while address in (among := self._here - self._refused.keys()) and not self._queue.ended:
                    if run := self._queue.take(address, among, POLL_SECONDS):
                        lost = self._made(address, run, lost)
        except (Away, OSError, ClosedClientError):  # it has gone again
            pass
        except (Exception, asyncio.CancelledError) as error:
            if not self._queue.ended:  # else of whatever kind: the client was closed meanwhile
                self._refuse(address, f"cannot be asked ({type(error).__name__}: {error})")
        self._threads.pop(address, None)

    def _made(self, address: str, run: Run, lost: int) -> int:
        """Have a run made; returns how many this worker has lost in a row."""
        ask, send = partial(self._asked, address), partial(self._send, address)
        try:
            shared = self._wanted.shared
            made = parts.trained_in_place(run, ask, shared) if shared else parts.trained(run, ask, send)
        except records.Held:  # another command makes it, which may be killed
            self._queue.put(run)
            time.sleep(POLL_SECONDS)
        except Away:
            self._queue.put(run, first=True)
            raise
        except Lost as error:
            lost += 1
            self._again(run, address, error)
            if lost == ATTEMPTS:
                self._refuse(address, f"lost {lost} runs, one after the other (the last: {error})")
        except BaseException as error:
            run.future.set_exception(error)
        else:
            lost = 0
            run.future.set_result(made)
        return lost

    def _again(self, run: Run, address: str, error: Lost) -> None:
        """Put a run that was lost in front of all others, unless it was lost too often."""
        run.lost.append((address, str(error)))
        if len(run.lost) < ATTEMPTS:
            self._queue.put(run, first=True)
        else:
            why = "; ".join(f"{where}: {reason}" for where, reason in run.lost)
            run.future.set_exception(UserError(f"run {run.job} was lost {len(run.lost)} times, and is given up: {why}"))

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
        try:
            (sent,) = self._client.scatter([loaded], workers=[address], hash=False)
        except (Exception, asyncio.CancelledError) as error:  # of many kinds, where the worker has gone
            self._check_reached()
            raise Lost(f"images could not be sent to it ({type(error).__name__}: {error})") from None
        self._asked(address, worker.keep, sent)

    def _asked(self, address: str, task: Callable[..., Any], given: Any) -> Any:
        """What a task returns in this worker; raises Lost where the worker is gone before."""
        future = arriving = None
        try:
            future = self._client.submit(task, given, workers=[address], allow_other_workers=False, pure=False)
            fetched = self._client.gather(future, asynchronous=True)
            loop: Any = self._client.loop
            arriving = asyncio.run_coroutine_threadsafe(fetched, loop.asyncio_loop)
            # It is waited for in vain where the worker dies, before it is done or before it sends.
            while not wait_for([arriving], POLL_SECONDS).done:
                self._check_there(address)
            return arriving.result()
        except (Exception, asyncio.CancelledError) as error:
            self._check_reached()
            if future is None or future.status != "error" or isinstance(error, OSError | KilledWorker):
                raise Lost(str(error) or type(error).__name__) from None  # its disk, or the way there and back
            raise
        finally:
            if arriving is not None:
                arriving.cancel()
            if future is not None:
                with suppress(Exception):  # of a client that has lost its scheduler
                    future.cancel()
