"""The real command line on a real cluster whose scheduler, workers and command are killed: nothing lost, the same bits.

Apart from the suite: `make cluster` makes 60 runs by three workers of which one is killed every three seconds, CLUSTER=1000,5,10
as many as that by five of which one is killed every ten. It prints how many were begun twice.
"""

import json
import os
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("distributed")
pytestmark = pytest.mark.skipif("STEPLADDER_CLUSTER" not in os.environ, reason="takes minutes: make cluster")

RUNS, WORKERS, SECONDS = map(int, os.environ.get("STEPLADDER_CLUSTER", "60,3,3").split(","))

LADDER = """
from stepladder import Budget, Conv, GlobalAvgPool, Ladder, Network, Recipe, Step

tiny = Network([Conv(8, stride=2), Conv(16, stride=2), Conv(10, activation=None), GlobalAvgPool()])
plain = Step("Plain", network=tiny, recipe=Recipe(epochs=1, batch_size=50, dropout=0.1), target="Learn.")
smooth = plain.then("Smooth", label_smoothing=0.1, target="Doubt.")
ladder = Ladder("tiny", budget=Budget(parameters=5_000, epochs=1, accuracy=0.1), steps=[plain, smooth])
"""

COUNTED = """
import os
import pickle

from stepladder import train  # which takes seconds, before there is work
from stepladder.cluster import worker

part = worker.__dict__.setdefault("uncounted", worker.part)  # this file is loaded twice

def counted(order):
    job = pickle.loads(order)[0]
    with open(os.environ["COUNTED"], "a") as log:
        log.write(f"{job}\\n")
    return part(order)

worker.part = counted
"""


class Machines:
    """A scheduler and workers, each a process, on loopback; each part that a worker begins is counted in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "counted"
        self.workers_killed = self.may_be_lost = 0
        self.log.touch()
        (folder / "counted.py").write_text(COUNTED)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self.scheduler = self._scheduler()
        self.workers = [self._worker() for _ in range(WORKERS)]

    def _scheduler(self) -> subprocess.Popen[bytes]:
        return self._start("dask_scheduler", "--port", self.address.rpartition(":")[2])

    def _worker(self) -> subprocess.Popen[bytes]:
        preload = str(self.folder / "counted.py")
        return self._start("dask_worker", self.address, "--nthreads", "1", "--no-nanny", "--preload", preload)

    def _start(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{name}", *options, "--host", "127.0.0.1", "--no-dashboard"]
        place = os.environ | {"COUNTED": str(self.log), "TMPDIR": str(self.folder)}
        with (self.folder / f"{name}.log").open("a") as log:
            return subprocess.Popen(command, env=place, cwd=self.folder, stdout=log, stderr=log)

    def kill_worker(self, chance: random.Random) -> None:
        chance.choice(self.workers).kill()
        self.workers_killed += 1
        self.may_be_lost += 1

    def replace(self) -> None:
        """Start another worker for each that has ended, as whatever looks after them does."""
        self.workers = [each if each.poll() is None else self._worker() for each in self.workers]

    def kill_scheduler(self) -> None:
        """And start another; the workers end with it."""
        self.scheduler.kill()
        self.scheduler.wait()
        self.scheduler = self._scheduler()
        self.may_be_lost += WORKERS

    def end(self) -> None:
        for each in [*self.workers, self.scheduler]:
            each.kill()
            each.wait()


@contextmanager
def machines(folder: Path) -> Iterator[Machines]:
    made = Machines(folder)
    try:
        yield made
    finally:
        made.end()


def command(folder: Path, images: Path, runs: Path, *options: str) -> subprocess.Popen[str]:
    (folder / "tiny.py").write_text(LADDER)
    line = [sys.executable, "-m", "stepladder", "run", "tiny.py", "--seeds", str(RUNS // 2), "--data", str(images)]
    return subprocess.Popen(
        [*line, "--runs", str(runs), *options], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def recorded(runs: Path) -> int:
    return len(list(runs.glob("*/*/run.json")))


def weights(runs: Path) -> dict[str, str]:
    """The hash of every run's weights."""
    return {str(path.relative_to(runs)): json.loads(path.read_text())["weights_sha256"] for path in runs.glob("*/*/run.json")}


def test_a_cluster_whose_processes_are_killed_loses_nothing_and_trains_twice_only_what_was_lost(
    tmp_path: Path, small_mnist: Path
) -> None:
    here, there, chance = tmp_path / "here", tmp_path / "there", random.Random(1)
    with machines(tmp_path) as made:
        began, before = (killed := time.monotonic()), 0
        running, scheduler_killed, command_killed = command(tmp_path, small_mnist, there, "--cluster", made.address), False, False
        while running.poll() is None:
            done = recorded(there)
            if done > before and time.monotonic() - killed > SECONDS:  # however slow this machine is, some work is done between
                made.kill_worker(chance)
                killed, before = time.monotonic(), done
            if done > RUNS / 3 and not command_killed:
                running.kill()
                running.communicate()
                made.may_be_lost += WORKERS
                running, command_killed = command(tmp_path, small_mnist, there, "--cluster", made.address), True
            if done > RUNS * 2 / 3 and not scheduler_killed:
                made.kill_scheduler()
                scheduler_killed = True
            made.replace()
            time.sleep(0.02)
        _, told = running.communicate()
        counted = Counter(made.log.read_text().splitlines())
        seconds = time.monotonic() - began
    assert (running.returncode, scheduler_killed, command_killed) == (0, True, True), told
    twice = counted.total() - RUNS
    print(f"{RUNS} runs in {seconds:.0f} seconds, {made.workers_killed} workers killed: {twice} runs begun twice")
    assert len(counted) == recorded(there) == RUNS
    assert twice <= made.may_be_lost
    assert command(tmp_path, small_mnist, here).wait() == 0
    assert weights(there) == weights(here)
    names = [{str(path.relative_to(each)) for path in each.rglob("*")} - {".index.sqlite"} for each in (here, there)]
    assert names[0] == names[1]
