"""Decoded once, kept beside the runs, and mapped by every process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import write_idx_folder

import stepladder as sl
from stepladder import Budget, Conv, GlobalAvgPool, Ladder, Network, Recipe, Step, data
from stepladder.data import AS_IS, DataError, Dataset, Reading, store

pytestmark = pytest.mark.usefixtures("in_process")


PLAIN = Step("Plain", Network([Conv(10, activation=None), GlobalAvgPool()], input=(1, 6, 5)), Recipe(epochs=1, batch_size=8))
LADDER = Ladder("kept", Budget(parameters=1_000, epochs=1, accuracy=0.5, hold=1), [PLAIN])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """40 training and 20 test images of 6 x 5."""
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (count, 6, 5), np.uint8) for count in (40, 20)]
    labels = [np.arange(count, dtype=np.uint8) % 10 for count in (40, 20)]
    return write_idx_folder(tmp_path / "source", [images[0], labels[0], images[1], labels[1]])


def entries(runs: Path) -> list[Path]:
    return sorted((runs / ".data").iterdir())


def same(one: Dataset, other: Dataset) -> bool:
    arrays = zip((*one.parts[0], *one.parts[1]), (*other.parts[0], *other.parts[1]), strict=True)
    told = [(found.digest, found.classes, found.kind, found.numbered, found.remarks) for found in (one, other)]
    return told[0] == told[1] and all(np.array_equal(a, b) for a, b in arrays)


def test_what_is_kept_is_what_was_read_and_is_mapped(source: Path, tmp_path: Path) -> None:
    read = data.load(source)
    data.keep(source, AS_IS, tmp_path / "kept")
    kept = data.load(source, AS_IS, tmp_path / "kept")
    assert same(read, kept)
    assert isinstance(kept.train_images, np.memmap)
    assert not isinstance(read.train_images, np.memmap)


def test_a_sweep_keeps_its_images_and_nothing_else_writes(source: Path, tmp_path: Path) -> None:
    lab = sl.Lab(tmp_path / "runs", data=source)
    lab.images()
    assert not (tmp_path / "runs").exists()
    result = lab.run(LADDER, progress=False)
    (entry,) = entries(tmp_path / "runs")
    assert {path.name for path in entry.iterdir()} == {
        f"{part}_{kind}.npy" for part in ("train", "test") for kind in ("images", "labels")
    } | {"data.json"}
    before = entry.stat().st_mtime_ns
    assert lab.run(LADDER, progress=False).rows() == result.rows()
    assert entry.stat().st_mtime_ns == before


def test_the_embedded_images_are_not_kept(tmp_path: Path) -> None:
    data.keep(None, AS_IS, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_each_reading_is_kept_apart(source: Path, tmp_path: Path) -> None:
    for holdout in (0, 10):
        data.keep(source, Reading(holdout=holdout), tmp_path / "kept")
    assert len(list((tmp_path / "kept").iterdir())) == 2
    held = data.load(source, Reading(holdout=10), tmp_path / "kept")
    assert (len(held.train_labels), len(held.test_labels)) == (30, 10)


def test_files_that_change_are_read_anew_and_the_old_ones_go(source: Path, tmp_path: Path) -> None:
    data.keep(source, AS_IS, tmp_path / "kept")
    before = data.load(source, AS_IS, tmp_path / "kept").digest
    labels = source / "t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\1")
    os.utime(labels, ns=(1, 1))
    data.load.cache_clear()
    assert data.load(source, AS_IS, tmp_path / "kept").digest != before
    data.keep(source, AS_IS, tmp_path / "kept")
    assert len(list((tmp_path / "kept").iterdir())) == 1


@pytest.mark.parametrize("damage", ["flipped", "cut", "other shape", "no json", "no digest", "gone"])
def test_what_is_damaged_is_decoded_again(source: Path, tmp_path: Path, damage: str) -> None:
    kept = tmp_path / "kept"
    data.keep(source, AS_IS, kept)
    entry = store.entry(source, AS_IS, kept)
    images, told = entry / "train_images.npy", entry / "data.json"
    if damage == "flipped":
        images.write_bytes(images.read_bytes()[:-1] + bytes([images.read_bytes()[-1] ^ 1]))
    elif damage == "cut":
        images.write_bytes(images.read_bytes()[:-1])
    elif damage == "other shape":
        np.save(images, np.zeros((3, 1, 6, 5), np.uint8))
    elif damage == "no json":
        told.write_text("{")
    elif damage == "no digest":
        told.write_text(json.dumps({"kind": "IDX"}))
    else:
        images.unlink()
    data.load.cache_clear()
    if damage != "flipped":  # found by its hash, which is asked for before training alone
        assert store.read(entry) is None
        assert same(data.load(source, AS_IS, kept), data.load(source))
    data.load.cache_clear()
    data.keep(source, AS_IS, kept)
    assert same(data.load(source, AS_IS, kept), data.load(source))
    assert isinstance(data.load(source, AS_IS, kept).train_images, np.memmap)


def test_what_a_killed_process_left_half_written_goes(source: Path, tmp_path: Path) -> None:
    entry = store.entry(source, AS_IS, tmp_path / "kept")
    left = entry.with_name(f".{entry.name}.tmp")
    left.mkdir(parents=True)
    (left / "train_images.npy").write_bytes(b"half")
    (entry.parent / f".{entry.name}.lock").write_bytes(b"")
    data.keep(source, AS_IS, tmp_path / "kept")
    assert list(entry.parent.iterdir()) == [entry]


def test_a_source_that_is_gone_is_an_error(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone"):
        data.load(tmp_path / "gone", AS_IS, tmp_path / "kept")


def test_processes_share_the_memory_of_what_is_kept(tmp_path: Path) -> None:
    """A process that reads 64 MB of mapped images has them as the system's file pages, not as memory of its own."""
    folder = tmp_path / "entry"
    images = np.random.default_rng(0).integers(0, 256, (20_000, 1, 56, 56), np.uint8)
    labels = np.zeros(20_000, np.uint8)
    store.write(folder, Dataset(images, labels, images[:10], labels[:10], "", ("0",), "drawn", numbered=True))
    code = """
import pathlib, sys, torch
from stepladder.data import store
def of_its_own():
    fields = dict(line.split(":") for line in pathlib.Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(fields["RssAnon"].split()[0])
found = store.read(pathlib.Path(sys.argv[1]))
before = of_its_own()
images = torch.from_numpy(found.train_images)
total = sum(int(images[first : first + 100].sum()) for first in range(0, len(images), 100))
print(total, of_its_own() - before)
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("the system does not tell what memory is a process's own")
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    total, own = map(int, done.stdout.split())
    assert total == int(images.sum(dtype=np.int64))
    assert own < 16_000, "kB, of 62,720"
