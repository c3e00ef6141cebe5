import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children
from pathlib import Path

import pytest

from stepladder.workers import Workers


def work(marker: Path, released: Path) -> None:
    """A task that says which process it runs in, and ends when it is released."""
    marker.with_suffix(".new").write_text(str(os.getpid()))
    marker.with_suffix(".new").rename(marker)
    wait_until(released.exists, seconds=120)


def marked(marker: Path) -> int:
    """The process of the task with this marker, once it has begun."""
    wait_until(marker.exists)
    return int(marker.read_text())


def wait_until(happened: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether a process has ended (one that nobody has waited for yet counts as ended)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return Path("/proc/self").exists()  # it has ended just now


def test_workers_are_an_executor_of_processes() -> None:
    with Workers(2) as workers:
        assert isinstance(workers, Executor)
        assert list(workers.map(math.sqrt, [4, 9, 16])) == [2, 3, 4]
        assert workers.submit(os.getpid).result() != os.getpid()


def test_a_task_that_raises_or_kills_its_process_fails_alone(tmp_path: Path) -> None:
    with Workers(2) as workers:
        other = workers.submit(work, tmp_path / "other", tmp_path / "released")
        raises = workers.submit(math.sqrt, -1)
        dies = workers.submit(signal.raise_signal, signal.SIGKILL)
        after = workers.submit(math.sqrt, 25)
        with pytest.raises(ValueError, match=r"math domain error|expected a nonnegative input"):
            raises.result()
        with pytest.raises(BrokenProcessPool):
            dies.result()
        assert after.result() == 5
        assert marked(tmp_path / "other")
        assert other.running()
        (tmp_path / "released").touch()
        other.result()


@pytest.fixture
def _ctrl_c_raises() -> Iterator[None]:
    """Python's usual handler, also where the tests were started with Ctrl-C ignored, as shells do in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_raises")
def test_a_task_does_not_notice_ctrl_c(tmp_path: Path) -> None:
    with Workers(1) as workers:
        task = workers.submit(work, tmp_path / "busy", tmp_path / "released")
        os.kill(marked(tmp_path / "busy"), signal.SIGINT)
        time.sleep(0.2)
        (tmp_path / "released").touch()
        assert task.exception() is None


def test_a_process_killed_between_two_tasks_is_replaced_and_costs_none() -> None:
    with Workers(1) as workers:
        first = workers.submit(os.getpid).result()
        assert workers.submit(os.getpid).result() == first
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: all(child.pid != first for child in active_children()))
        time.sleep(1)  # until its pool has surely seen it too
        assert workers.submit(os.getpid).result() not in (first, os.getpid())


def test_leaving_the_workers_ends_their_processes() -> None:
    with Workers(1) as workers:
        pid = workers.submit(os.getpid).result()
    wait_until(lambda: gone(pid), seconds=10)


def test_what_cannot_be_sent_back_fails_its_task_only() -> None:
    with Workers(1) as workers:
        with pytest.raises((AttributeError, TypeError, pickle.PicklingError), match="pickle"):
            workers.submit(threading.Lock).result()
        assert workers.submit(abs, -2).result() == 2


def test_an_error_tells_where_in_the_worker_it_happened() -> None:
    with Workers(1) as workers:
        (note,) = getattr(workers.submit(work, "no path", "no path").exception(), "__notes__", [""])
    assert 'test_workers.py", line ' in note


def test_a_task_that_ends_its_process_properly_is_an_error_too() -> None:
    with Workers(1) as workers:
        assert isinstance(workers.submit(sys.exit, 3).exception(), SystemExit)
        with pytest.raises(BrokenProcessPool, match="was killed or died"):
            workers.submit(os._exit, 0).result()


def test_kill_ends_the_processes_and_cancels_what_waits(tmp_path: Path) -> None:
    with Workers(1) as workers:
        busy = workers.submit(work, tmp_path / "busy", tmp_path / "never")
        waiting = workers.submit(math.sqrt, 4)
        pid = marked(tmp_path / "busy")
        workers.kill()
        wait_until(lambda: gone(pid), seconds=10)
        with pytest.raises(BrokenProcessPool):
            busy.result(timeout=10)
        assert waiting.cancelled()
        workers.kill()  # a second time is nothing new


# Scripts

UNGUARDED = """
import os, pathlib, sys
from stepladder.workers import Workers
print("runs", os.getpid())
with Workers(2) as workers:
    print(*workers.map(pow, [2, 3, 4], [2, 2, 2]), *{workers.submit(os.getpid).result() == os.getpid()})
"""


def ways(script: Path) -> dict[str, list[str]]:
    """How Python is told to run a script: by its name, as a module, as an argument, from its standard input."""
    code = script.read_text()
    return {"file": [str(script)], "module": ["-m", script.stem], "argument": ["-c", code], "input": ["-"], "stdin": ["/dev/stdin"]}


@pytest.mark.parametrize("way", ["file", "module", "argument", "input", "stdin"])
def test_a_script_without_a_guard_runs_once_and_ends(tmp_path: Path, way: str) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(UNGUARDED)
    command = [sys.executable, *ways(script)[way]]
    done = subprocess.run(command, input=script.read_text(), capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    assert first.startswith("runs ")
    assert second == "4 9 16 False"


def test_a_task_of_the_script_itself_is_refused_with_what_to_do(tmp_path: Path) -> None:
    script = tmp_path / "own.py"
    script.write_text("""
from stepladder.workers import Workers

def own():
    pass

with Workers(1) as workers:
    print(workers.submit(own).exception())
    print(workers.submit(abs, -3).result())
""")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    assert first.startswith("Can't get attribute 'own' on <module '__main__'")
    assert first.endswith(": worker processes know nothing of __main__, move what they need into a module")
    assert second == "3"  # by the same process


def test_the_callers_main_is_its_own_again() -> None:
    main = sys.modules["__main__"]
    with Workers(2) as workers:
        assert list(workers.map(abs, [-1, -2])) == [1, 2]
    assert sys.modules["__main__"] is main


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from stepladder.workers import Workers
from test_workers import work
workers = Workers(2)
tasks = [workers.submit(work, Path(name), Path(name + "-never")) for name in sys.argv[1:]]
time.sleep(120)
"""
    script = tmp_path / "parent.py"
    script.write_text(code)
    markers = [tmp_path / "first", tmp_path / "second"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    parent = subprocess.Popen([sys.executable, script, *markers], env=environment)
    try:
        pids = [marked(marker) for marker in markers]
        assert len({*pids, parent.pid}) == 3
        assert not any(gone(pid) for pid in pids)
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: all(gone(pid) for pid in pids), seconds=10)
