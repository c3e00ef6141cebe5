"""An executor that trains in this process: for tests that are not about processes, each of which takes seconds to start."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from stepladder.workers import Workers


class Inline(Workers):
    """In the place of `Workers`: a task is done when it has been submitted, and fails as it would in a process of its own."""

    def __init__(self, count: int) -> None:
        assert count > 0  # and no thread is started

    def submit(self, task: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(task(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done

    def kill(self) -> None:
        """Nothing is left to end."""
