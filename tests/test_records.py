import json
import math
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save, save_file

from stepladder import EMA, AdamW, Affine, Conv, Erasing, GlobalAvgPool, MaxPool, Network, Recipe, Step, StepLR, records
from stepladder.records import Checkpoint, Epoch, Record, RecordError, fingerprint
from stepladder.spec import to_data

NETWORK = Network([Conv(4), Conv(10, activation=None), GlobalAvgPool()])
STEP = Step("Plain", NETWORK)
HISTORY = [
    Epoch(epoch=1, learning_rate=0.01, train_loss=0.5, train_accuracy=0.8, test_loss=0.4, test_accuracy=0.85,
          test_correct=17, seconds=1.25),
    Epoch(epoch=2, learning_rate=0.001, train_loss=0.25, train_accuracy=0.9, test_loss=0.2, test_accuracy=0.9,
          test_correct=18, seconds=1.5),
]  # fmt: skip
RECORD = Record(
    schema=records.SCHEMA,
    ladder="mine",
    step="plain",
    title='Größe, "quoted"',
    seed=3,
    fingerprint="0123456789ab",
    status="finished",
    parameters=NETWORK.parameters,
    epochs=2,
    history=HISTORY,
    confusion=[[2 if row == column else 0 for column in range(10)] for row in range(10)],
    weights_sha256="ab" * 32,
    environment={"python": "3.11", "threads": 1, "commit": None},
    network=to_data(NETWORK),
    recipe=to_data(Recipe(epochs=2)),
    data_sha256="cd" * 32,
)
LOGITS = np.linspace(-1, 1, 200, dtype=np.float32).reshape(20, 10)
CHECKPOINT = Checkpoint(HISTORY[:1], threads=2, arrays={"model.w": np.eye(3, dtype=np.float32), "count": np.array(7)})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the record of one run is to be."""
    return records.run_folder(tmp_path / "runs", STEP, "0123456789ab", seed=3)


def here(folder: Path) -> set[str]:
    """What lies beside the record, and the record."""
    return {path.name for path in folder.parent.iterdir()} if folder.parent.exists() else set()


# The record


def test_a_run_lies_under_its_step_fingerprint_and_seed(folder: Path, tmp_path: Path) -> None:
    assert folder == tmp_path / "runs" / "plain-0123456789ab" / "3"


def test_a_record_comes_back_as_written(folder: Path) -> None:
    assert not records.exists(folder)
    records.write(folder, RECORD, b"weights", LOGITS)
    assert records.exists(folder)
    assert records.read(folder) == RECORD
    np.testing.assert_array_equal(records.read_logits(folder), LOGITS, strict=True)
    assert {path.name for path in folder.iterdir()} == {"run.json", "weights.safetensors", "logits.safetensors"}
    assert (folder / "weights.safetensors").read_bytes() == b"weights"
    assert here(folder) == {"3"}


def test_a_diverged_run_has_neither_confusion_nor_logits(folder: Path) -> None:
    diverged = replace(RECORD, status="diverged", history=[], confusion=None)
    records.write(folder, diverged, b"weights", None)
    assert records.read(folder) == diverged
    assert {path.name for path in folder.iterdir()} == {"run.json", "weights.safetensors"}


def test_run_json_has_a_line_for_each_field_epoch_and_row(folder: Path) -> None:
    records.write(folder, RECORD, b"weights", LOGITS)
    text = (folder / "run.json").read_text()
    assert json.loads(text).keys() == {field.name for field in fields(Record)}
    lines = text.splitlines()
    assert [json.loads(line.strip().rstrip(",")) for line in lines if '"epoch":' in line] == json.loads(text)["history"]
    assert lines.count("  [2, 0, 0, 0, 0, 0, 0, 0, 0, 0],") == 1
    assert len(lines) == 2 + len(fields(Record)) + len(HISTORY) + 1 + 10 + 1
    assert text.isascii()  # so that no locale reads it otherwise
    assert text.endswith("\n}\n")


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_what_is_not_a_number_is_never_written(folder: Path, number: float) -> None:
    bad = replace(RECORD, history=[replace(HISTORY[0], test_loss=number)])
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        records.write(folder, bad, b"weights", LOGITS)
    assert not records.exists(folder)


@contextmanager
def disk_with_room_for(size: int) -> Iterator[None]:
    """Fail every write beyond this size of a file, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_fails_midway_leaves_no_record(folder: Path) -> None:
    records.write_checkpoint(folder, CHECKPOINT)
    with pytest.raises(OSError, match="File too large"), disk_with_room_for(500):
        records.write(folder, RECORD, b"weights", LOGITS)
    assert not records.exists(folder)
    assert list(records.seeds(folder.parent.parent, STEP, "0123456789ab")) == []
    assert records.progress(folder) == HISTORY[:1]  # the checkpoint stays, to go on from
    records.clear_leftovers(folder)
    assert here(folder) == {"3.checkpoint"}
    records.write(folder, RECORD, b"weights", LOGITS)
    assert records.read(folder) == RECORD
    assert here(folder) == {"3"}


def test_a_record_that_cannot_be_put_in_place_leaves_nothing_behind(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(OSError, match="not empty"):
        records.write(folder, RECORD, b"weights", LOGITS)
    assert not records.exists(folder)
    assert here(folder) == {"3"}
    assert (folder / "notes.txt").read_text() == "mine"


def test_the_record_that_was_there_first_is_kept(folder: Path) -> None:
    records.write(folder, RECORD, b"first", LOGITS)
    records.write(folder, replace(RECORD, title="late"), b"second", None)
    assert records.read(folder) == RECORD
    assert (folder / "weights.safetensors").read_bytes() == b"first"
    assert here(folder) == {"3"}


def test_two_processes_that_finish_the_same_run_keep_one_whole_record(folder: Path) -> None:
    code = """
import sys, time
from dataclasses import replace
from pathlib import Path
import numpy as np
from stepladder import records
template, folder, name = map(Path, sys.argv[1:])
record = replace(records.read(template), title=name.name)
print("ready", flush=True)
sys.stdin.readline()
records.write(folder, record, name.name.encode(), np.full((20, 10), int(name.name), np.float32))
"""
    template = folder.parent.parent / "template"
    records.write(template, RECORD, b"", None)
    racers = [
        subprocess.Popen([sys.executable, "-c", code, template, folder, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for name in "01"
    ]
    for racer in racers:
        assert racer.stdout
        assert racer.stdout.readline() == b"ready\n"
    for racer in racers:
        assert racer.stdin
        racer.stdin.write(b"go\n")
        racer.stdin.flush()
    for racer in racers:
        racer.communicate(timeout=60)
    assert [racer.returncode for racer in racers] == [0, 0]
    winner = records.read(folder).title
    assert (folder / "weights.safetensors").read_bytes() == winner.encode()
    assert records.read_logits(folder).max() == int(winner)
    assert here(folder) == {"3"}


# Reading what is not a record


def test_a_record_that_is_missing_is_named(folder: Path) -> None:
    with pytest.raises(RecordError) as refused:
        records.read(folder)
    assert str(refused.value) == f"{folder / 'run.json'}: file not found"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"schema": 1,', "not a readable JSON file: Expecting property name"),
        (b"\xff\xfe", "not a readable JSON file: 'utf-8' codec can't decode"),
        (b'{"schema": 99}', "found schema 99, expected 1"),
        (b"{}", "found schema None, expected 1"),
        (b"[1, 2]", "found schema 'list', expected 1"),
        (b'{"schema": 1, "ladder": "x"}', "step, title, seed, fingerprint, status, parameters, epochs, history, confusion, "
         "weights_sha256, environment, network, recipe, data_sha256 missing, expected all of schema 1"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_record_is_refused(folder: Path, text: bytes, message: str) -> None:
    folder.mkdir(parents=True)
    (folder / "run.json").write_bytes(text)
    with pytest.raises(RecordError) as refused:
        records.read(folder)
    assert str(refused.value).startswith(f"{folder / 'run.json'}: {message}")


@pytest.mark.parametrize("history", [None, [1], [{"epoch": 1}], [{"surplus": 1}]])
def test_a_history_of_something_else_is_refused(folder: Path, history: object) -> None:
    records.write(folder, RECORD, b"weights", LOGITS)
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"history": history}))
    with pytest.raises(RecordError) as refused:
        records.read(folder)
    assert str(refused.value).startswith(f"{path}: malformed history: ")


def test_fields_that_a_later_version_may_add_are_passed_over(folder: Path) -> None:
    records.write(folder, RECORD, b"weights", LOGITS)
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"mood": "good"}))
    assert records.read(folder) == RECORD


def test_logits_that_cannot_be_read_are_named(folder: Path) -> None:
    folder.mkdir(parents=True)
    path = folder / "logits.safetensors"
    prefix = f"{path}: expected a safetensors file with 'logits', found: "
    for write in (lambda: None, lambda: path.write_bytes(b"short"), lambda: save_file({"other": LOGITS}, path)):
        write()
        with pytest.raises(RecordError) as refused:
            records.read_logits(folder)
        assert str(refused.value).startswith(prefix)


def test_seeds_are_those_with_a_record_in_order(folder: Path) -> None:
    runs = folder.parent.parent
    assert list(records.seeds(runs, STEP, "0123456789ab")) == []
    for seed in (10, 2, 0):
        records.write(folder.with_name(str(seed)), replace(RECORD, seed=seed), b"weights", None)
    records.write_checkpoint(folder.with_name("5"), CHECKPOINT)
    folder.with_name("7").mkdir()
    assert list(records.seeds(runs, STEP, "0123456789ab")) == [0, 2, 10]
    assert list(records.seeds(runs, STEP, "another")) == []


# The fingerprint


def test_the_fingerprint_is_twelve_hex_digits_and_the_same_in_every_process() -> None:
    # A golden value: with another one, nobody's records would be found again.
    step = Step("Golden", NETWORK, Recipe(dropout=0.05, augmentation=Affine(rotate=15), schedule=StepLR(6)))
    assert fingerprint(step, "data", "torch-1") == "df82df9964b8"


OTHERS: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 64,
    "learning_rate": 0.02,
    "momentum": 0.8,
    "nesterov": True,
    "optimizer": AdamW(),
    "weight_decay": 1e-4,
    "schedule": StepLR(6),
    "label_smoothing": 0.1,
    "averaging": EMA(0.99),
    "augmentation": Affine(rotate=15),
    "erasing": Erasing(),
    "dropout": 0.05,
}
"""For each field of a recipe a value that is not its default."""


@pytest.mark.parametrize("name", [field.name for field in fields(Recipe)])
def test_the_fingerprint_changes_with_each_field_of_the_recipe(name: str) -> None:
    other = STEP.then("Other", id="plain", **{name: OTHERS[name]})
    assert fingerprint(other, "data", "torch-1") != fingerprint(STEP, "data", "torch-1")


@pytest.mark.parametrize(
    "network",
    [
        Network([Conv(5), *NETWORK.layers[1:]]),
        Network([Conv(4, padding=1), *NETWORK.layers[1:]]),
        Network([Conv(4, bias=True), *NETWORK.layers[1:]]),
        Network([Conv(4, norm=None), *NETWORK.layers[1:]]),
        Network([Conv(4, activation=None), *NETWORK.layers[1:]]),
        Network([NETWORK.layers[0], MaxPool(2), *NETWORK.layers[1:]]),
        Network(NETWORK.layers, input=(1, 32, 32)),
    ],
)
def test_the_fingerprint_changes_with_the_network(network: Network) -> None:
    assert fingerprint(Step("Plain", network), "data", "torch-1") != fingerprint(STEP, "data", "torch-1")


def test_the_fingerprint_changes_with_data_and_engine() -> None:
    found = {fingerprint(STEP, digest, engine) for digest in ("data", "other") for engine in ("torch-1", "torch-2", "torch-1-cuda")}
    assert len(found) == 6


def test_the_fingerprint_does_not_change_with_words_or_ancestors() -> None:
    child = STEP.then("Slow", learning_rate=0.001).then("Plain", id="other", learning_rate=0.01, target="t", note="n")
    assert fingerprint(child, "data", "torch-1") == fingerprint(STEP, "data", "torch-1")


def test_the_fingerprint_does_not_tell_equal_numbers_apart() -> None:
    whole, fraction = (STEP.then("Rotation", augmentation=Affine(rotate=degrees)) for degrees in (15, 15.0))
    assert fingerprint(whole, "data", "torch-1") == fingerprint(fraction, "data", "torch-1")


# Checkpoints


def test_a_checkpoint_comes_back_as_written(folder: Path) -> None:
    assert records.read_checkpoint(folder) is None
    records.write_checkpoint(folder, CHECKPOINT)
    found = records.read_checkpoint(folder)
    assert found
    assert found[:2] == CHECKPOINT[:2]
    assert found.arrays.keys() == CHECKPOINT.arrays.keys()
    for name, array in CHECKPOINT.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array, strict=True)
    assert here(folder) == {"3.checkpoint"}


def test_a_checkpoint_replaces_the_one_before(folder: Path) -> None:
    records.write_checkpoint(folder, CHECKPOINT)
    with folder.with_name("3.checkpoint").open("rb") as old:
        before = old.read()
        records.write_checkpoint(folder, CHECKPOINT._replace(history=HISTORY))
        old.seek(0)
        assert old.read() == before  # put in its place whole, never written over
    assert records.progress(folder) == HISTORY


def test_a_checkpoint_that_could_not_be_written_leaves_the_one_before(folder: Path) -> None:
    records.write_checkpoint(folder, CHECKPOINT)
    with pytest.raises(OSError, match="File too large"), disk_with_room_for(100):
        records.write_checkpoint(folder, CHECKPOINT._replace(history=HISTORY))
    assert records.progress(folder) == HISTORY[:1]
    records.clear_leftovers(folder)
    assert here(folder) == {"3.checkpoint"}


def test_a_record_takes_the_place_of_its_checkpoint(folder: Path) -> None:
    assert records.progress(folder) == []
    records.write_checkpoint(folder, CHECKPOINT)
    assert records.progress(folder) == HISTORY[:1]
    records.write(folder, RECORD, b"weights", LOGITS)
    assert records.progress(folder) == HISTORY
    assert records.read_checkpoint(folder) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"short",
        save({"w": LOGITS}),
        save({"w": LOGITS}, {"history": "[]"}),
        save({"w": LOGITS}, {"history": "[", "threads": "1"}),
        save({"w": LOGITS}, {"history": '[{"epoch": 1}]', "threads": "1"}),
        save({"w": LOGITS}, {"history": "[]", "threads": "one"}),
        save({"w": LOGITS}, {"history": "[]", "threads": "1"})[:-1],
    ],
)
def test_a_damaged_checkpoint_is_named_and_what_to_do(folder: Path, raw: bytes) -> None:
    folder.parent.mkdir(parents=True)
    path = folder.with_name("3.checkpoint")
    path.write_bytes(raw)
    with pytest.raises(RecordError) as refused:
        records.read_checkpoint(folder)
    assert str(refused.value).startswith(f"{path}: not a readable checkpoint (")
    assert str(refused.value).endswith("); delete it to train the run anew")


# Leftovers and locks


def test_leftovers_of_this_run_are_cleared_and_no_others(folder: Path) -> None:
    records.write_checkpoint(folder, CHECKPOINT)
    for name in ("3.tmp-11", "33.tmp-11", "3.checkpoint.tmp-12", "33.checkpoint.tmp-12"):
        folder.with_name(name).mkdir() if "checkpoint" not in name else folder.with_name(name).touch()
    (folder.with_name("3.tmp-11") / "weights.safetensors").touch()
    records.clear_leftovers(folder)
    assert here(folder) == {"3.checkpoint", "33.tmp-11", "33.checkpoint.tmp-12"}


def test_a_run_is_held_by_one_process_until_it_ends_or_is_killed(folder: Path) -> None:
    code = """
import sys
from pathlib import Path
from stepladder import records
with records.lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""
    holder = subprocess.Popen([sys.executable, "-c", code, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout
    assert holder.stdout.readline() == b"held\n"
    got = threading.Event()

    def take() -> None:
        with records.lock(folder):
            got.set()

    waiting = threading.Thread(target=take)
    waiting.start()
    with records.lock(folder.with_name("4")):  # another run is free
        pass
    held = not got.wait(0.3)
    holder.kill()
    holder.communicate()
    assert held
    assert got.wait(10)
    waiting.join()


def test_a_lock_leaves_nothing_where_the_records_are(folder: Path) -> None:
    with records.lock(folder):
        assert here(folder) == set()
    assert os.listdir(folder.parent.parent) == [".locks"]
