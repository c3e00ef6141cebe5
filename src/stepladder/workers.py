"""An executor whose every worker is a process of its own."""

import os
import pickle
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import ModuleType
from typing import Any

_SPAWN = get_context("spawn")
_MAIN = threading.Lock()
"""Held while `sys.modules["__main__"]` is not the caller's, or must be."""


class Workers(ThreadPoolExecutor):
    """Runs each task in one of `count` processes; a process that is killed fails its own task only and is replaced.

    (One `ProcessPoolExecutor` of several processes fails every task when one of them is killed, and leaves its semaphores
    behind when all are.) The processes are spawned, ignore Ctrl-C and a hangup, which are the parent's to handle, and
    end when `kill` is called or the parent is gone. They know nothing of the caller's `__main__`, so that a script needs no
    `if __name__ == "__main__"` to use them; nor can a task.
    """

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self._own = threading.local()
        self._processes: list[tuple[Connection, SpawnProcess]] = []
        # Nothing is ever sent: a worker that reads the end of this pipe knows that its parent is gone, however it ended.
        self._reader, self._writer = _SPAWN.Pipe(duplex=False)

    def submit(self, task: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Like any executor's; task and arguments must be picklable, and of modules that can be imported."""
        return super().submit(self._in_process, task, args, kwargs)

    def _in_process(self, task: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with _MAIN:
            call = pickle.dumps((task, args, kwargs))
        process = self._process()
        try:
            process.send_bytes(call)
        except OSError:  # its process died between two tasks: that costs this one nothing
            del self._own.process
            process = self._process()
            process.send_bytes(call)
        try:
            returned, found = process.recv()
        except (EOFError, OSError):
            del self._own.process
            raise BrokenProcessPool("the worker process of this task was killed or died") from None
        if not returned:
            raise found
        return found

    def _process(self) -> Connection:
        """The connection to the process of this thread, which is started where there is none."""
        if not hasattr(self._own, "process"):
            ours, theirs = _SPAWN.Pipe()
            process = _SPAWN.Process(target=_serve, args=(theirs, self._reader), daemon=True)
            _start_without_main(process)
            theirs.close()
            self._processes.append((ours, process))
            self._own.process = ours
        connection: Connection = self._own.process
        return connection

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Like any executor's; waiting, it waits for the processes as well."""
        super().shutdown(wait, cancel_futures=cancel_futures)
        if wait:
            for connection, process in self._processes:
                connection.close()
                process.join()

    def kill(self) -> None:
        """End every process now; tasks under way fail, waiting ones are cancelled."""
        self.shutdown(wait=False, cancel_futures=True)
        self._writer.close()


def _start_without_main(process: SpawnProcess) -> None:
    """A spawned process imports its parent's script a second time, which would do all its work again; not this one."""
    with _MAIN:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            process.start()
        finally:
            sys.modules["__main__"] = main


def _serve(tasks: Connection, parent: Connection) -> None:
    import signal

    for name in ("SIGINT", "SIGHUP"):  # of a terminal, which sends them to all its processes; Windows has no SIGHUP
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    while True:
        try:
            call = tasks.recv_bytes()
        except (EOFError, OSError):  # no more will come
            return
        try:
            tasks.send((True, _result(call)))
        except BaseException as error:  # of the task, or because its result cannot be sent
            error.add_note(f"In a worker process:\n{traceback.format_exc()}")
            tasks.send((False, error))


def _result(call: bytes) -> Any:
    try:
        task, args, kwargs = pickle.loads(call)
    except AttributeError as error:
        raise AttributeError(f"{error}: worker processes know nothing of __main__, move what they need into a module") from None
    return task(*args, **kwargs)


def _end_with(parent: Connection) -> None:
    parent.poll(None)  # returns when the other end is closed
    os._exit(1)
