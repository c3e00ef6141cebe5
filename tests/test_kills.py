"""The real command line, killed at random moments until everything is recorded: the same bits, and nothing left."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from getpass import getuser
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

KILLS = int(os.environ.get("STEPLADDER_KILLS", 1))

TORCHS = f"torchinductor_{getuser()}"
"""A folder that torch makes among the temporary files of every user."""

LADDER = """
from stepladder import EMA, Affine, Budget, Conv, GlobalAvgPool, Ladder, Network, Recipe, Step

tiny = Network([Conv(8, stride=2), Conv(16, stride=2), Conv(10, activation=None), GlobalAvgPool()])
recipe = Recipe(epochs=5, batch_size=50, dropout=0.1, augmentation=Affine(rotate=10), averaging=EMA(0.9))
plain = Step("Plain", network=tiny, recipe=recipe, target="Learn.")
smooth = plain.then("Smooth", label_smoothing=0.1, target="Doubt.")
ladder = Ladder("tiny", budget=Budget(parameters=5_000, epochs=5, accuracy=0.5), steps=[plain, smooth])
"""


def session(leader: int) -> dict[int, str]:
    """The processes of a session that have not ended, with their command lines; the leader among them."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                state, _, _, its = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:  # it has ended just now
                continue
            if int(its) == leader and state != "Z":
                found[int(entry.name)] = command
    return found


def modified(path: Path) -> float:
    """When a file was; 0 for one that is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0


def is_recorded(runs: Path) -> bool:
    return len(list(runs.glob("*/*/run.json"))) == 4


def weights(runs: Path) -> dict[str, str]:
    """The hash of every run's weights."""
    return {str(path.relative_to(runs)): json.loads(path.read_text())["weights_sha256"] for path in runs.glob("*/*/run.json")}


class Folder:
    """A folder with the ladder, its images, the places for runs and for temporary files, and how long a whole sweep takes."""

    def __init__(self, path: Path, images: Path) -> None:
        self.path, self.temporary, self.seconds = path, path / "temporary", 0.0
        self.temporary.mkdir()
        (path / "tiny.py").write_text(LADDER)
        options = ("--seeds", "2", "--threads", "1", "--data", str(images))
        self.command = [sys.executable, "-m", "stepladder", "run", "tiny.py", *options]

    def start(self, runs: Path, workers: int = 2) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self.command, "--runs", str(runs), "--workers", str(workers)],
            cwd=self.path,
            env=os.environ | {"TMPDIR": str(self.temporary)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def finish(self, runs: Path) -> None:
        """Let the command line do what is missing, in one worker: the bits do not depend on it."""
        began = time.monotonic()
        started = self.start(runs, workers=1)
        assert started.wait(300) == 0
        self.seconds = max(self.seconds, time.monotonic() - began)
        assert_gone(started.pid)

    def kill(self, runs: Path, chance: random.Random) -> bool:
        """Start the command line and kill the parent, a worker, the workers or everything; False where it was done before."""
        began = time.time()
        started = self.start(runs)
        wait = chance.uniform(0, self.seconds)
        if chance.random() < 0.5:  # or, as most of the time goes into importing torch, soon after an epoch
            while not any(modified(path) > began for path in runs.glob("*/*.checkpoint")) and started.poll() is None:
                time.sleep(0.01)
            wait = chance.uniform(0, 1)
        try:
            assert started.wait(wait) == 0
        except subprocess.TimeoutExpired:
            pass
        else:
            return False
        workers = [pid for pid, command in session(started.pid).items() if "spawn_main" in command]
        victims = {"parent": [started.pid], "worker": workers[:1], "workers": workers, "both": [started.pid, *workers]}
        for pid in victims[chance.choice(["parent", "worker", "workers", "both"])] or [started.pid]:
            os.kill(pid, signal.SIGKILL)
        assert started.wait(300) in (0, 1, -signal.SIGKILL)  # a parent that lost its workers reports what there is
        assert_gone(started.pid)
        return True


def assert_gone(leader: int) -> None:
    """Nothing of the session goes on."""
    deadline = time.monotonic() + 10
    while left := session(leader):
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


def assert_nothing_left(folder: Folder, runs: Path, whole: Path) -> None:
    """A folder of runs after kills holds what that of an undisturbed sweep does: no checkpoint, no half-written file."""
    # (The index of what was verified is a cache: it has what was two seconds old when it was looked at, if anything.)
    names = [{str(path.relative_to(each)) for path in each.rglob("*")} - {".index.sqlite"} for each in (runs, whole)]
    serving = [name for name in names[0] if ".tmp-" in name or name.endswith(".checkpoint") or name.endswith(".lock")]
    assert serving == []
    assert names[0] == names[1]
    assert {path.name for path in folder.temporary.iterdir()} <= {TORCHS}


def test_runs_killed_at_random_moments_end_with_the_same_bits_and_leave_nothing(tmp_path: Path, small_mnist: Path) -> None:
    folder, chance, kills, number = Folder(tmp_path, small_mnist), random.Random(KILLS), 0, 0
    folder.finish(whole := tmp_path / "whole")
    expected = weights(whole)
    assert len(set(expected.values())) == 4
    while kills < KILLS:
        number += 1
        runs = tmp_path / f"runs{number}"
        while kills < KILLS and not is_recorded(runs):
            kills += folder.kill(runs, chance)
        folder.finish(runs)
        assert weights(runs) == expected
        assert_nothing_left(folder, runs, whole)
