"""The real command line on a real cluster whose scheduler, workers and command are killed: nothing lost, the same bits.

Apart from the suite: `make cluster` makes 60 runs by three workers of which one is killed every three seconds, CLUSTER=1000,5,10
so many by five of which one is killed every ten. It prints how many were begun twice (`-s`).
"""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from machines import Machines

pytestmark = pytest.mark.skipif("STEPLADDER_CLUSTER" not in os.environ, reason="takes minutes: make cluster")

RUNS, WORKERS, SECONDS = map(int, os.environ.get("STEPLADDER_CLUSTER", "60,3,3").split(","))

LADDER = """
from stepladder import Budget, Conv, GlobalAvgPool, Ladder, Network, Recipe, Step

tiny = Network([Conv(8, stride=2), Conv(16, stride=2), Conv(10, activation=None), GlobalAvgPool()])
plain = Step("Plain", network=tiny, recipe=Recipe(epochs=1, batch_size=10, dropout=0.1), target="Learn.")
smooth = plain.then("Smooth", label_smoothing=0.1, target="Doubt.")
ladder = Ladder("tiny", budget=Budget(parameters=5_000, epochs=1, accuracy=0.1), steps=[plain, smooth])
"""


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
    tmp_path: Path, few_mnist: Path
) -> None:
    here, there, chance = tmp_path / "here", tmp_path / "there", random.Random(1)
    made = Machines(tmp_path, WORKERS)
    began, before, ended, commands = (killed := time.monotonic()), 0, 0, 1
    scheduler_killed = False
    running = command(tmp_path, few_mnist, there, "--cluster", made.address)
    try:
        while running.poll() is None:
            done = recorded(there)
            if done > before and time.monotonic() - killed > SECONDS:  # however slow this machine is, some work is done between
                made.kill_worker(chance)
                killed, before = time.monotonic(), done
            if done > RUNS / 3 and commands == 1:
                running.kill()
                running.communicate()
                running, commands = command(tmp_path, few_mnist, there, "--cluster", made.address), 2
            if done > RUNS * 2 / 3 and not scheduler_killed:
                made.kill_scheduler()
                scheduler_killed = True
            ended += made.replace()
            time.sleep(0.02)
        _, told = running.communicate()
        seconds, begun = time.monotonic() - began, made.begun()
    finally:
        running.kill()
        made.end()
    assert (running.returncode, scheduler_killed, commands) == (0, True, 2), told
    twice = len(begun) - RUNS
    print(f"{RUNS} runs in {seconds:.0f} seconds, {ended} workers ended: {twice} runs begun twice")
    assert len(set(begun)) == recorded(there) == RUNS
    assert twice <= ended + WORKERS  # each of which had one, at most; so had the first command
    alone = command(tmp_path, few_mnist, here)
    alone.communicate()
    assert alone.returncode == 0
    assert weights(there) == weights(here)
    names = [{str(path.relative_to(each)) for path in each.rglob("*")} - {".index.sqlite"} for each in (here, there)]
    assert names[0] == names[1]


def test_a_climb_on_a_cluster_ends_with_the_ladder_of_one_without(tmp_path: Path, small_mnist: Path) -> None:
    (tmp_path / "tiny.py").write_text(LADDER.replace("0.1), steps", "0.3, hold=1), steps"))
    line = [sys.executable, "-m", "stepladder", "climb", "tiny.py", "--runs-budget", "60", "--difference", "2"]
    made = Machines(tmp_path, WORKERS)
    try:
        for runs, options in (("here", []), ("there", ["--cluster", made.address])):
            where = [*line, "--data", str(small_mnist), "--runs", runs, "-o", f"{runs}.py", *options]
            subprocess.run(where, cwd=tmp_path, check=True, capture_output=True, text=True)
        begun = made.begun()
    finally:
        made.end()
    here, there = ((tmp_path / f"{runs}.py").read_text() for runs in ("here", "there"))
    assert here.replace("here", "there") == there
    decided = [(tmp_path / runs / runs / "climb.jsonl").read_text().splitlines()[1:] for runs in ("here", "there")]
    assert decided[0] == decided[1] != []
    assert len(begun) >= recorded(tmp_path / "there") > 40  # a guess that was not needed is not ended
