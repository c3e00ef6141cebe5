"""How a command ends: what stops it, what a user is told then, and its exit code."""

import os
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from stepladder.spec import UserError


@contextmanager
def interruptible(goes_on: str) -> Iterator[None]:
    """Whatever is done here ends by Ctrl-C, SIGTERM and SIGHUP alike: by saying that it was interrupted and how it `goes_on`, with
    the exit code of shells, 128 and the signal's number. What is ignored stays so: nohup ignores SIGHUP."""
    sent = [signal.SIGINT]

    def end(number: int, _: object) -> None:
        sent.append(signal.Signals(number))
        raise KeyboardInterrupt

    before = dict[signal.Signals, Any]()
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
            each = getattr(signal, name, None)
            if each is not None and signal.getsignal(each) == signal.SIG_DFL:
                before[each] = signal.signal(each, end)
    try:
        yield
    except KeyboardInterrupt:
        with suppress(OSError, ValueError):  # the terminal may be gone
            print(f"\nInterrupted. {goes_on}", file=sys.stderr)
        raise SystemExit(128 + sent[-1]) from None
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def command(*arguments: str) -> str:
    """A command that works as typed: by the path of this Python's own `stepladder` where the shell finds none, or another."""
    own = Path(sys.executable).with_name("stepladder")
    found = shutil.which("stepladder")
    if found and own.exists() and Path(found).samefile(own):
        start = "stepladder"
    elif own.exists():
        start = shlex.quote(str(own))
    else:
        start = "stepladder" if found else f"{shlex.quote(sys.executable)} -m stepladder"
    return f"`{start} {shlex.join(arguments)}`"


def status(app: Callable[[], object]) -> int | str | None:
    """Run the command line, and return its exit code; what a user can put right, and what the operating system refuses, becomes one
    line on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows ASCII only is no reason to end
    try:
        code = _exit_code(app)
        if sys.stdout:
            sys.stdout.flush()  # here, where it may fail; at the end of the process it would be a traceback
    except (UserError, OSError) as error:
        code = 2
        _flush(sys.stdout)
        message = str(error) if isinstance(error, UserError) else _reason(error)
        with suppress(OSError, ValueError):  # ValueError: it was closed
            print(f"stepladder: {message}", file=sys.stderr)
        _flush(sys.stderr)
    return code


def _exit_code(app: Callable[[], object]) -> int | str | None:
    try:
        app()
    except SystemExit as end:
        # Both typer and rich make of a pipe that nobody reads an exit with 1, which means something else here.
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        return end.code
    except KeyboardInterrupt:  # before a command has begun, or in one that has nothing to say of it
        return 128 + signal.SIGINT
    return None


def _flush(stream: TextIO | None) -> None:
    """Write all that was printed; what cannot be is given up, or Python would end by trying it again."""
    if stream is None or stream.closed:
        return
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _reason(error: OSError) -> str:
    """What the operating system refuses, and of which file, where that is known."""
    reason = error.strerror or str(error)
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {reason}"
    return f"standard output: {reason}"  # files are named by what writes them
