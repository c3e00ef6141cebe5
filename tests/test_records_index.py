"""What was verified of the runs is remembered beside them: never to be relied on, and never a reason to fail."""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import write_idx_folder
from recorded import record_run
from test_fuzz_records import FILES, LADDER, PLAIN

from stepladder import evidence, records
from stepladder.evidence import Arm
from stepladder.job import Job, Setup
from stepladder.records import index


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
    """Two steps of two seeds each on 20 images; what is remembered needs not to be old."""
    import numpy as np

    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (count, 4, 4), np.uint8) for count in (30, 20)]
    labels = [np.arange(count, dtype=np.uint8) % 10 for count in (30, 20)]
    made = Setup(tmp_path / "runs", write_idx_folder(tmp_path / "data", [images[0], labels[0], images[1], labels[1]]))
    for step in LADDER.steps:
        for seed in (0, 1):
            record_run(made, step, seed, [15, 17 + seed], ladder="fuzz")
    record_run(made, PLAIN, 2, [15], diverged=True, ladder="fuzz")
    monkeypatch.setattr(index, "RECENT", -1.0)
    return made


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that are verified from now on."""
    folders: list[Path] = []
    verify = records.verify

    def noted(folder: Path, *given: object) -> object:
        folders.append(folder)
        return verify(folder, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(records, "verify", noted)
    return folders


def loaded(setup: Setup) -> Arm:
    return evidence.load([PLAIN], setup)["plain"]


def told(arm: Arm) -> object:
    """All of an arm, in a form that can be compared."""
    return arm.records, {seed: answers.tolist() for seed, answers in arm.answers.items()}, arm.damaged, arm.folders


def run(setup: Setup, seed: int = 0) -> Path:
    return Job("fuzz", PLAIN, seed, setup).folder


def test_what_was_verified_is_not_verified_again_and_says_the_same(setup: Setup, verified: list[Path]) -> None:
    first = told(loaded(setup))
    assert len(verified) == 3
    assert told(loaded(setup)) == first
    assert len(verified) == 3
    assert len(loaded(setup).records) == 3


def test_what_changed_a_moment_ago_is_not_remembered(setup: Setup, verified: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "RECENT", 60.0)
    loaded(setup)
    assert not (setup.runs / index.NAME).exists()
    loaded(setup)
    assert len(verified) == 6


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_changed_since_is_verified_anew_also_with_its_old_size_and_time(
    setup: Setup, verified: list[Path], name: str
) -> None:
    loaded(setup)
    path = run(setup) / name
    before, raw = path.stat(), bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    arm = loaded(setup)
    assert [record.seed for record in arm.records] == [1, 2]
    assert len(arm.damaged) == 1


def test_a_file_that_is_gone_is_missed(setup: Setup) -> None:
    loaded(setup)
    (run(setup) / "logits.safetensors").unlink()
    assert [record.seed for record in loaded(setup).records] == [1, 2]


def test_a_run_that_was_damaged_is_not_remembered_as_whole(setup: Setup) -> None:
    (run(setup) / "weights.safetensors").write_bytes(b"other")
    assert loaded(setup).damaged == loaded(setup).damaged != ()


def test_a_copy_under_another_name_is_verified_itself(setup: Setup, verified: list[Path]) -> None:
    loaded(setup)
    folder = run(setup)
    shutil.move(folder.parent, folder.parent.with_name(folder.parent.name.replace("plain", "other")))
    assert len(loaded(setup).records) == 3
    assert len(verified) == 6


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)


def torn(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[:4096] + b"\xff" * (len(raw) - 4096))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def older(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE verified")
        connection.execute("CREATE TABLE verified (folder TEXT)")
        connection.execute("PRAGMA user_version = 0")
    connection.close()


def swapped(path: Path) -> None:
    """Rows that are none of ours."""
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE verified SET answers = 'text', seal = 7 WHERE seed = '0'")
        connection.execute("UPDATE verified SET answers = x'0000000005' WHERE seed = '1'")
    connection.close()


@pytest.mark.parametrize("damage", [garbage, torn, empty, folder, pipe, older, swapped])
def test_an_index_that_is_damaged_or_older_changes_nothing(
    setup: Setup, verified: list[Path], damage: Callable[[Path], None]
) -> None:
    before = told(loaded(setup))
    damage(setup.runs / index.NAME)
    assert told(loaded(setup)) == before
    assert len(verified) >= 5
    assert told(loaded(setup)) == before
    if damage not in (folder, pipe):
        assert len(verified) <= 6


def test_an_index_that_is_locked_is_gone_without(setup: Setup, monkeypatch: pytest.MonkeyPatch, verified: list[Path]) -> None:
    monkeypatch.setattr(index, "_WAIT", 0.01)
    before = told(loaded(setup))
    other = sqlite3.connect(setup.runs / index.NAME, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    assert told(loaded(setup)) == before
    assert time.monotonic() - began < 5
    other.close()
    assert len(verified) == 6


def test_a_folder_that_may_not_be_written_is_read(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """As sqlite tells of one; root, as whom tests may run, may write anywhere."""

    def refused(*given: object, **more: object) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(sqlite3, "connect", refused)
    assert [len(loaded(setup).records) for _ in range(2)] == [3, 3]
    assert not (setup.runs / index.NAME).exists()
