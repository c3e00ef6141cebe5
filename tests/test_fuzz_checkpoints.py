"""Checkpoints that were tampered with: a run goes on to the very bits that it would have had, or is refused, naming the file.

STEPLADDER_FUZZ=10000 draws so many examples, others every time.
"""

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import fuzzed, write_idx_folder
from hypothesis import given
from hypothesis import strategies as st
from test_fuzz_records import damage

from stepladder import EMA, AdamW, Conv, GlobalAvgPool, Network, Recipe, Step, records
from stepladder.job import Job, Setup
from stepladder.records import Array, Checkpoint, Epoch, RecordError
from stepladder.train import train

NETWORK = Network([Conv(4), Conv(10, activation=None), GlobalAvgPool()], input=(1, 8, 8))
STEP = Step("Plain", NETWORK, Recipe(epochs=3, batch_size=10, optimizer=AdamW(), averaging=EMA(0.9), dropout=0.1))


class Begun(NamedTuple):
    """A run that stopped after its second epoch: its checkpoint, and the hash of the weights in which it ends."""

    job: Job
    path: Path
    raw: bytes
    checkpoint: Checkpoint
    end: str


@pytest.fixture(scope="module", params=["native", "torch"])
def begun(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Begun:
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (30, 8, 8), np.uint8), np.arange(30, dtype=np.uint8) % 10
    folder = tmp_path_factory.mktemp("begun")
    setup = Setup(folder / "runs", write_idx_folder(folder / "data", [images, labels, images, labels]), request.param)
    job = Job("fuzz", STEP, 1, setup)
    path = job.folder.with_name("1.checkpoint")
    write, raw = records.write_checkpoint, list[bytes]()

    def keep(run: Path, checkpoint: Checkpoint) -> None:
        write(run, checkpoint)
        raw.append(path.read_bytes())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "write_checkpoint", keep)
        end = records.read(train(job)).weights_sha256
    shutil.rmtree(job.folder)
    path.write_bytes(raw[1])
    checkpoint = records.read_checkpoint(job.folder)
    assert checkpoint
    return Begun(job, path, raw[1], checkpoint, end)


def ended(begun: Begun) -> records.Record | None:
    """The record of the run, continued from its checkpoint as it is now; None where that was refused."""
    try:
        record = records.read(train(begun.job))
        records.verify(begun.job.folder, record, begun.job.setup.dataset().test_labels)
        return record
    except RecordError as error:
        refused = str(error)
    finally:
        made = records.exists(begun.job.folder)
        shutil.rmtree(begun.job.folder, ignore_errors=True)
    assert not made
    assert refused.startswith(f"{begun.path}: ")
    assert refused.isprintable()
    return None


def test_the_checkpoint_as_it_was_written_ends_in_the_same_bits(begun: Begun) -> None:
    begun.path.write_bytes(begun.raw)
    record = ended(begun)
    assert record
    assert record.weights_sha256 == begun.end


@given(damage())
@fuzzed(25)
def test_a_checkpoint_with_other_bytes_never_ends_in_other_weights(begun: Begun, damaged: Any) -> None:
    changed = damaged(begun.raw)
    begun.path.write_bytes(changed)
    record = ended(begun)
    assert (record is None) == (changed != begun.raw)
    assert record is None or record.weights_sha256 == begun.end


def other_history(drawn: st.DataObject, history: list[Epoch]) -> list[Epoch]:
    """Epochs more or less, or with other figures."""
    kind = drawn.draw(st.sampled_from(["fewer", "more", "figures", "all"]))
    if kind == "fewer":
        return history[: drawn.draw(st.integers(0, 1))]
    if kind == "more":
        return [*history, *(replace(history[-1], epoch=number) for number in range(3, drawn.draw(st.integers(4, 6))))]
    name = drawn.draw(st.sampled_from(sorted(asdict(history[0]))))
    value: Any = drawn.draw(st.sampled_from([0, 1, 2, 20, 0.5, 1.0, 1e308]))
    return [replace(epoch, **{name: value}) if kind == "all" or epoch.epoch == 2 else epoch for epoch in history]


def other_arrays(drawn: st.DataObject, arrays: dict[str, Array]) -> dict[str, Array]:
    """An array that is not there, of another name, kind or shape, or one more."""
    found = dict(arrays)
    name = drawn.draw(st.sampled_from(sorted(found)))
    array = found[name]
    kind = drawn.draw(st.sampled_from(["gone", "renamed", "kind", "shape", "more"]))
    if kind in ("gone", "renamed"):
        del found[name]
    if kind in ("renamed", "more"):
        found[drawn.draw(st.sampled_from(["", "model.", "optimizer.", "optimizer.0", "optimizer.x.y", "optimizer.99.step",
                                          "optimizer.0.exp_avg.more", "average.0", "model.0.weight", "a\nb"]))] = array  # fmt: skip
    elif kind == "kind":
        found[name] = array.astype(drawn.draw(st.sampled_from([np.float64, np.float16, np.int8, np.int64, np.bool_, np.uint8])))
    elif kind == "shape":
        shapes: list[Any] = [array.reshape(-1), array[None], array.reshape(-1)[:1], array.reshape(-1)[:0], array.reshape(-1)[0]]
        found[name] = np.ascontiguousarray(shapes[drawn.draw(st.integers(0, 4))])
    return found


@given(st.data())
@fuzzed(25)
def test_a_checkpoint_that_somebody_sealed_anew_is_refused_where_it_does_not_fit(begun: Begun, drawn: st.DataObject) -> None:
    """Epochs that fit cannot be told apart (nor other values, nor other threads): they end in a run that holds together."""
    checkpoint = begun.checkpoint
    part = drawn.draw(st.sampled_from(["history", "threads", "fingerprint", "seed", "arrays"]))
    if part == "history":
        checkpoint = checkpoint._replace(history=other_history(drawn, checkpoint.history))
    elif part == "threads":
        checkpoint = checkpoint._replace(threads=drawn.draw(st.sampled_from([-1, 0, 1, 5_000, 1 << 31, 1 << 70])))
    elif part == "fingerprint":
        checkpoint = checkpoint._replace(fingerprint=drawn.draw(st.text(max_size=5)))
    elif part == "seed":
        checkpoint = checkpoint._replace(seed=drawn.draw(st.integers(-2, 3)))
    else:
        checkpoint = checkpoint._replace(arrays=other_arrays(drawn, checkpoint.arrays))
    records.write_checkpoint(begun.job.folder, checkpoint)
    record = ended(begun)
    assert record is None or part == "history" or record.weights_sha256 == begun.end
