"""Runs that are interrupted and continued."""

import pickle
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from training import figures

from stepladder import EMA, AdamW, Affine, Erasing, Network, OneCycle, Recipe, Step, StepLR, ladders, records
from stepladder.job import Job, Setup
from stepladder.train import train

RECIPE = Recipe(batch_size=100, learning_rate=0.05, dropout=0.02, augmentation=Affine(rotate=10), schedule=StepLR(3))


@pytest.mark.parametrize(("engine", "epochs"), [("torch", 2), ("native", 8)])
def test_a_run_killed_in_the_middle_of_an_epoch_and_continued_has_the_same_bits(
    small_mnist: Path, tmp_path: Path, engine: str, epochs: int
) -> None:
    a = ladders.load("mnist").step("A1").network  # its epochs last long enough to be hit in the middle
    step = Step("Killed", a, replace(RECIPE, epochs=epochs))
    whole, killed = (Job("mine", step, 1, Setup(tmp_path / name, small_mnist, engine)) for name in ("whole", "killed"))
    expected = records.read(train(whole))

    pickled = tmp_path / "job"
    pickled.write_bytes(pickle.dumps(killed))
    code = """
import pathlib, pickle, sys
from stepladder.train import train
train(pickle.loads(pathlib.Path(sys.argv[1]).read_bytes()))
"""
    process = subprocess.Popen([sys.executable, "-c", code, pickled])
    try:
        deadline = time.monotonic() + 120
        while not (done := records.progress(killed.folder)):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.4 * done[0].seconds)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    assert not records.exists(killed.folder)
    assert 1 <= len(records.progress(killed.folder)) < epochs
    half_written = killed.folder.with_name("1.checkpoint.tmp-4194305")  # as a kill while writing leaves
    half_written.write_bytes(b"half")

    # It was begun with one thread, and so it is continued: another number would give other bits.
    found = records.read(train(replace(killed, setup=replace(killed.setup, threads=2))))
    assert found.weights_sha256 == expected.weights_sha256
    assert figures(found) == figures(expected)
    assert found.confusion == expected.confusion
    assert found.environment["threads"] == 1
    assert [path.name for path in killed.folder.parent.iterdir()] == ["1"]


@pytest.mark.parametrize("engine", ["torch", "native"])
def test_a_run_with_every_kind_of_state_that_is_continued_has_the_same_bits(
    small_mnist: Path, small_network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    recipe = Recipe(
        epochs=3, batch_size=50, optimizer=AdamW(), weight_decay=0.01, schedule=OneCycle(0.05), averaging=EMA(0.95),
        augmentation=Affine(rotate=10, shift=1, scale=0.1, shear=5), erasing=Erasing(), label_smoothing=0.1, dropout=0.02,
    )  # fmt: skip
    step = Step("All", small_network, recipe)
    whole, stopped = (Job("mine", step, 1, Setup(tmp_path / name, small_mnist, engine)) for name in ("whole", "stopped"))
    expected = records.read(train(whole))

    write = records.write_checkpoint

    def write_and_stop(folder: Path, checkpoint: records.Checkpoint) -> None:
        write(folder, checkpoint)
        raise KeyboardInterrupt

    monkeypatch.setattr(records, "write_checkpoint", write_and_stop)
    for done in (1, 2, 3):
        with pytest.raises(KeyboardInterrupt):
            train(stopped)
        assert len(records.progress(stopped.folder)) == done
    found = records.read(train(stopped))
    assert found.weights_sha256 == expected.weights_sha256
    assert figures(found) == figures(expected)
    assert found.confusion == expected.confusion
    assert expected.history[-1].test_accuracy > expected.history[0].test_accuracy + 0.1
