"""An executor whose every worker is a process of its own."""

import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any

_MAIN = threading.Lock()
"""Held while `sys.modules["__main__"]` is not the caller's, or must be."""


class Workers(ThreadPoolExecutor):
    """Runs each task in one of `count` processes; a process that is killed fails its own task only and is replaced.

    (One `ProcessPoolExecutor` of several processes fails every task when one of them is killed.) The processes are
    spawned, ignore Ctrl-C, which is the parent's to handle, and end when `kill` is called or the parent is gone. They know
    nothing of the caller's `__main__`, so that a script needs no `if __name__ == "__main__"` to use them; nor can a task.
    """

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self._context = get_context("spawn")
        self._own = threading.local()
        # Nothing is ever sent: a worker that reads the end of this pipe knows that its parent is gone, however it ended.
        self._reader, self._writer = self._context.Pipe(duplex=False)

    def submit(self, task: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Like any executor's; task and arguments must be picklable, and of modules that can be imported."""
        return super().submit(self._in_process, task, args, kwargs)

    def _in_process(self, task: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with _MAIN:
            call = pickle.dumps((task, args, kwargs))
        try:
            future = self._pool().submit(_call, call)
        except BrokenProcessPool:  # its process died in an earlier task or between two: that costs this one nothing
            del self._own.pool
            future = self._pool().submit(_call, call)
        return future.result()

    def _pool(self) -> ProcessPoolExecutor:
        if not hasattr(self._own, "pool"):
            self._own.pool = ProcessPoolExecutor(1, self._context, _start, (self._reader,))
            with _no_main():
                self._own.pool.submit(os.getpid)  # starts the process
        pool: ProcessPoolExecutor = self._own.pool
        return pool

    def kill(self) -> None:
        """End every process now; tasks under way fail, waiting ones are cancelled."""
        self.shutdown(wait=False, cancel_futures=True)
        self._writer.close()


@contextmanager
def _no_main() -> Iterator[None]:
    """What is spawned meanwhile does not import the caller's script a second time, which would do all its work again."""
    with _MAIN:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _call(call: bytes) -> Any:
    try:
        task, args, kwargs = pickle.loads(call)
    except AttributeError as error:
        raise AttributeError(f"{error}: worker processes know nothing of __main__, move what they need into a module") from None
    return task(*args, **kwargs)


def _start(parent: Connection) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Connection) -> None:
    parent.poll(None)  # returns when the other end is closed
    os._exit(1)
