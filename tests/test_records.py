import json
import math
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from stepladder import EMA, AdamW, Affine, Conv, Erasing, GlobalAvgPool, MaxPool, Network, Recipe, Step, StepLR, data, records
from stepladder.records import Array, Checkpoint, Epoch, Normalisation, Record, RecordError, Source, fingerprint
from stepladder.spec import to_data

NETWORK = Network([Conv(4), Conv(10, activation=None), GlobalAvgPool()])
STEP = Step("Plain", NETWORK, Recipe(epochs=2))
LABELS = np.arange(20, dtype=np.uint8) % 10
LOGITS = np.eye(10, dtype=np.float32)[[*LABELS[:18], 1, 1]]  # 18 and 19 are wrong
CONFUSION = [[2 if row == column else 0 for column in range(10)] for row in range(10)]
CONFUSION[8] = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
CONFUSION[9] = [0, 1, 0, 0, 0, 0, 0, 0, 0, 1]
FINGERPRINT = fingerprint(STEP, "cd" * 32, "torch-1")
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
    fingerprint=FINGERPRINT,
    status="finished",
    parameters=NETWORK.parameters,
    epochs=2,
    history=HISTORY,
    confusion=CONFUSION,
    weights_sha256=sha256(b"weights").hexdigest(),
    environment={"python": "3.11", "threads": 1, "commit": None},
    network=to_data(NETWORK),
    recipe=to_data(STEP.recipe),
    data_sha256="cd" * 32,
    engine="torch-1",
    input=(1, 28, 28),
    classes=list("0123456789"),
    normalisation=Normalisation([0.13], [0.31]),
    data=Source("idx", "digits", 0, 100, 20),
    logits_sha256=sha256(save({"logits": LOGITS})).hexdigest(),
)
ARRAYS: dict[str, Array] = {"model.w": np.eye(3, dtype=np.float32), "count": np.array(7)}
CHECKPOINT = Checkpoint(HISTORY[:1], 2, ARRAYS, FINGERPRINT, 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the record of one run is to be."""
    return records.run_folder(tmp_path / "runs", "plain", FINGERPRINT, seed=3)


def here(folder: Path) -> set[str]:
    """What lies beside the record, and the record."""
    return {path.name for path in folder.parent.iterdir()} if folder.parent.exists() else set()


# The record


def test_a_run_lies_under_its_step_fingerprint_and_seed(folder: Path, tmp_path: Path) -> None:
    assert folder == tmp_path / "runs" / f"plain-{FINGERPRINT}" / "3"


def test_a_record_comes_back_as_written(folder: Path) -> None:
    assert not records.exists(folder)
    records.write(folder, RECORD, b"weights", LOGITS)
    assert records.exists(folder)
    assert records.read(folder) == RECORD
    np.testing.assert_array_equal(records.read_logits(folder, RECORD), LOGITS, strict=True)
    assert {path.name for path in folder.iterdir()} == {"run.json", "weights.safetensors", "logits.safetensors"}
    assert (folder / "weights.safetensors").read_bytes() == b"weights"
    assert here(folder) == {"3"}


def test_a_diverged_run_has_neither_confusion_nor_logits(folder: Path) -> None:
    diverged = replace(RECORD, status="diverged", history=[], confusion=None, logits_sha256=None)
    records.write(folder, diverged, b"weights", None)
    assert records.read(folder) == diverged
    assert {path.name for path in folder.iterdir()} == {"run.json", "weights.safetensors"}


def test_run_json_has_a_line_for_each_field_epoch_and_row(folder: Path) -> None:
    records.write(folder, RECORD, b"weights", LOGITS)
    text = (folder / "run.json").read_text()
    assert json.loads(text).keys() == {"sha256", *(field.name for field in fields(Record))}
    lines = text.splitlines()
    assert [json.loads(line.strip().rstrip(",")) for line in lines if '"epoch":' in line] == json.loads(text)["history"]
    assert lines.count("  [2, 0, 0, 0, 0, 0, 0, 0, 0, 0],") == 1
    assert len(lines) == 2 + len(fields(Record)) + 1 + len(HISTORY) + 1 + 10 + 1
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
    assert records.recorded(folder.parent.parent, FINGERPRINT) == {}
    assert records.progress(folder) == HISTORY[:1]  # the checkpoint stays, to go on from
    records.clear_leftovers(folder)
    assert here(folder) == {"3.checkpoint"}
    records.write(folder, RECORD, b"weights", LOGITS)
    assert records.read(folder) == RECORD
    assert here(folder) == {"3"}


def test_a_record_that_cannot_be_put_in_place_leaves_nothing_behind(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(RecordError, match=r"3: found no run\.json in it; delete it to make room for the run$"):
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
from hashlib import sha256
from pathlib import Path
import numpy as np
from stepladder import records
template, folder, name = map(Path, sys.argv[1:])
record = replace(records.read(template), title=name.name)
print("ready", flush=True)
sys.stdin.readline()
weights = name.name.encode()
record = replace(record, weights_sha256=sha256(weights).hexdigest())
records.write(folder, record, weights, np.full((20, 10), int(name.name), np.float32))
"""
    template = folder.parent.parent.with_name("elsewhere") / folder.parent.name / "3"
    records.write(template, RECORD, b"weights", LOGITS)
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
    won = records.read(folder)
    assert records.read_weights(folder, won) == won.title.encode()
    assert records.read_logits(folder, won).max() == int(won.title)
    assert here(folder) == {"3"}


# Reading what is not a record


def test_a_record_that_is_missing_is_named(folder: Path) -> None:
    with pytest.raises(RecordError) as refused:
        records.read(folder)
    assert str(refused.value) == f"{folder / 'run.json'}: file not found"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"schema": 1,', "no record of schema 1 to 2: Input data was truncated"),
        (b"\xff\xfe", "no record of schema 1 to 2: JSON is malformed: invalid character (byte 0)"),
        (b'{"schema": 99}', "no record of schema 1 to 2: Invalid enum value 99 - at `$.schema`"),
        (b"{}", "no record of schema 1 to 2: Object missing required field `schema`"),
        (b"[1, 2]", "no record of schema 1 to 2: Expected `object`, got `array`"),
        (b'{"schema": 1, "ladder": "x"}', "no record of schema 1 to 2: Object missing required field `step`"),
        (b"[" * 100_000, "no record of schema 1 to 2: Expected `object`, got `array`"),
        (b'{"environment":' * 100_000, "no record"),
        (b'{"environment":{"x":' + b"[" * 100_000, "no record: RecursionError"),
    ],
)
def test_a_file_that_is_no_record_is_refused(folder: Path, text: bytes, message: str) -> None:
    folder.mkdir(parents=True)
    (folder / "run.json").write_bytes(text)
    with pytest.raises(RecordError) as refused:
        records.read(folder)
    assert str(refused.value).startswith(f"{folder / 'run.json'}: {message}")


def test_a_file_far_too_long_for_a_record_is_refused_unread(folder: Path) -> None:
    folder.mkdir(parents=True)
    with (folder / "run.json").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(RecordError, match=r"found 1,073,741,824 bytes, expected a record of at most 67,108,864$"):
        records.read(folder)


def test_fields_that_a_later_version_may_add_are_passed_over(folder: Path) -> None:
    records.write(folder, RECORD, b"weights", LOGITS)
    path = folder / "run.json"
    path.write_bytes(sealed(path.read_bytes().replace(b"{\n", b'{\n "mood": "good",\n', 1)))
    assert records.read(folder) == RECORD


def test_logits_that_cannot_be_read_are_named(folder: Path) -> None:
    folder.mkdir(parents=True)
    path = folder / "logits.safetensors"
    unsealed = replace(RECORD, logits_sha256=None)
    for raw, message in (
        (None, "file not found"),
        (b"short", "expected a safetensors file with 'logits', found: "),
        (save({"other": LOGITS}), "expected a safetensors file with 'logits', found: "),
        (save({"logits": LOGITS[:5]}), "found logits of shape (5, 10) and float32, expected (20, 10) and float32"),
        (save({"logits": LOGITS.astype(float)}), "found logits of shape (20, 10) and float64, expected (20, 10) and float32"),
        (save({"logits": LOGITS * np.float32(np.nan)}), "found logits that are not finite numbers"),
    ):
        if raw is not None:
            path.write_bytes(raw)
        with pytest.raises(RecordError) as refused:
            records.read_logits(folder, unsealed)
        assert str(refused.value).startswith(f"{path}: {message}")


def test_recorded_seeds_come_in_order(folder: Path) -> None:
    runs = folder.parent.parent
    assert records.recorded(runs, FINGERPRINT) == {}
    for seed in (10, 2, 0):
        records.write(folder.with_name(str(seed)), replace(RECORD, seed=seed), b"weights", None)
    records.write_checkpoint(folder.with_name("5"), CHECKPOINT)
    for name in ("7", "02", "x"):
        folder.with_name(name).mkdir()
    records.write(folder.with_name("03"), RECORD, b"weights", None)  # not how a seed is written
    assert records.recorded(runs, FINGERPRINT) == {seed: folder.with_name(str(seed)) for seed in (0, 2, 10)}
    assert list(records.recorded(runs, FINGERPRINT)) == [0, 2, 10]
    assert records.recorded(runs, "another") == {}


# One run, whatever it is called


def test_a_run_is_found_under_any_name_of_its_step(folder: Path) -> None:
    runs = folder.parent.parent
    records.write(folder, RECORD, b"weights", LOGITS)
    assert records.run_folder(runs, "renamed", FINGERPRINT, 3) == folder
    assert records.run_folder(runs, "renamed", FINGERPRINT, 4) == folder.with_name("4")
    folder.parent.rename(runs / f"my-own-name-{FINGERPRINT}")
    moved = records.run_folder(runs, "plain", FINGERPRINT, 3)
    assert moved == runs / f"my-own-name-{FINGERPRINT}" / "3"
    assert records.read(moved) == RECORD


def test_records_of_two_names_are_one_step_s(folder: Path) -> None:
    # as an earlier version left them, which trained again what was called otherwise
    runs = folder.parent.parent
    other = runs / f"other-{FINGERPRINT}"
    records.write(folder, RECORD, b"weights", None)
    records.write(other / "3", RECORD, b"weights", None)
    records.write(folder.with_name("5"), replace(RECORD, seed=5), b"weights", None)
    records.write_checkpoint(folder.with_name("6"), CHECKPOINT._replace(seed=6))
    assert records.recorded(runs, FINGERPRINT) == {3: other / "3", 5: folder.with_name("5")}
    assert records.run_folder(runs, "new", FINGERPRINT, 5) == folder.with_name("5")
    assert records.run_folder(runs, "new", FINGERPRINT, 6) == folder.with_name("6")


# A record is checked against itself


def sealed(raw: bytes) -> bytes:
    """A changed run.json with the hash of what it says now."""
    body = raw.rpartition(b',\n "sha256": "')[0]
    return body + b',\n "sha256": "' + sha256(body).hexdigest().encode() + b'"\n}\n'


def test_a_byte_changed_anywhere_is_noticed(folder: Path) -> None:
    records.write(folder, RECORD, b"weights", LOGITS)
    for path in folder.iterdir():
        whole = path.read_bytes()
        for place in range(0, len(whole), 7):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(RecordError, match=re.escape(str(path))):
                records.verify(folder, records.read(folder), LABELS)
        path.write_bytes(whole)
    assert records.verify(folder, records.read(folder), LABELS) is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "done"}, "Invalid enum value 'done' - at `$.status`"),
        ({"status": "a\nb\x1b[2J"}, "Invalid enum value 'a\\nb\\x1b[2J' - at `$.status`"),  # on one line, and no terminal obeys it
        ({"fingerprint": "a\nb"}, "Expected `str` matching regex"),
        ({"seed": -1}, "Expected `int` >= 0 - at `$.seed`"),
        ({"seed": 4}, "it is the record of fingerprint FP, seed 4; expected those of its folder, plain-FP/3"),
        ({"epochs": 3}, "it has finished, with 2 of 3 epochs in its history"),
        ({"epochs": 0, "history": []}, "Expected `int` >= 1 - at `$.epochs`"),
        ({"history": None}, "Expected `array`, got `null` - at `$.history`"),
        ({"history": [1]}, "Expected `object`, got `int` - at `$.history[0]`"),
        ({"history": [{"epoch": 1}]}, "Object missing required field `learning_rate` - at `$.history[0]`"),
        ({"history": [asdict(HISTORY[0]), asdict(HISTORY[0])]}, "its history has the epochs [1, 1], expected each once, from 1 on"),
        ({"history": [asdict(HISTORY[0]), asdict(HISTORY[1]) | {"test_accuracy": 2.0}]}, "Expected `float` <= 1.0"),
        ({"history": [asdict(HISTORY[0]), asdict(HISTORY[1]) | {"test_accuracy": 0.95}]},
         "epoch 2 has the test accuracy 0.95, expected 18 right answers / 20 test images"),
        ({"history": [asdict(HISTORY[0]), asdict(HISTORY[1]) | {"test_correct": 19, "test_accuracy": 0.95}]},
         "its confusion matrix has 18 right answers, its last epoch 19"),
        ({"history": [asdict(HISTORY[0]) | {"test_correct": 99}, asdict(HISTORY[1])]},
         "epoch 1 has the test accuracy 0.85, expected 99 right answers / 20 test images"),
        ({"history": [asdict(HISTORY[0]) | {"train_loss": None}, asdict(HISTORY[1])]}, "Expected `float`, got `null`"),
        ({"confusion": None}, "it has finished, with no confusion matrix"),
        ({"confusion": [[0] * 10] * 10}, "its confusion matrix has 0 right answers, its last epoch 18"),
        ({"confusion": [[1, 2], [3]]}, "its confusion matrix is not square"),
        ({"confusion": []}, "its confusion matrix is not square"),
        ({"confusion": [[-1]]}, "Expected `int` >= 0 - at `$.confusion[0][0]`"),
        ({"status": "diverged"}, "it has diverged, with 2 of 2 epochs in its history"),
        ({"recipe": to_data(Recipe(epochs=2, momentum=0.5))}, "which is not that of its network, recipe, data and engine"),
        ({"data_sha256": "ef" * 32}, "which is not that of its network, recipe, data and engine"),
        ({"fingerprint": "0" * 12}, "its fingerprint is 000000000000, which is not that of its network, recipe, data and engine"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("schema", [1, 2])
def test_a_record_that_contradicts_itself_is_refused_with_the_reason(
    folder: Path, schema: int, change: dict[str, Any], message: str
) -> None:
    records.write(folder, RECORD, b"weights", LOGITS)
    path = folder / "run.json"
    found = json.loads(path.read_text()) | {"schema": schema}
    del found["sha256"]
    if schema == 1:
        later = ("engine", "input", "classes", "normalisation", "data", "logits_sha256")
        found = {name: value for name, value in found.items() if name not in later}
        found["environment"] |= {"engine": "torch", "device": "cpu"}
    write_record(path, found)
    records.read(folder)  # so far it is right
    write_record(path, found | change)
    with pytest.raises(RecordError, match=re.escape(message.replace("FP", FINGERPRINT))) as refused:
        records.read(folder)
    assert str(refused.value).startswith(f"{path}: ")


def write_record(path: Path, found: dict[str, Any]) -> None:
    """These fields as a run.json, sealed where its schema is."""
    raw = json.dumps(found).encode()
    path.write_bytes(raw if found["schema"] == 1 else sealed(raw[:-1] + b',\n "sha256": "'))


def test_a_run_copied_under_another_seed_or_step_is_refused(folder: Path) -> None:
    records.write(folder, RECORD, b"weights", LOGITS)
    for copy in (folder.with_name("4"), folder.parent.with_name("other-" + "0" * 12) / "3", folder.parent.with_name("other") / "3"):
        shutil.copytree(folder, copy)
        with pytest.raises(
            RecordError, match=f"it is the record of fingerprint {FINGERPRINT}, seed 3; expected those of its folder"
        ):
            records.read(copy)


def test_answers_are_held_against_the_labels_and_the_confusion_matrix(folder: Path) -> None:
    records.write(folder, RECORD, b"weights", LOGITS)
    answers = records.verify(folder, RECORD, LABELS)
    assert answers is not None
    assert answers.tolist() == [*LABELS[:18], 1, 1]
    for labels, message in (
        (LABELS[::-1].copy(), "its confusion matrix is not that of the answers in "),
        (LABELS[:19], "epoch 1 has the test accuracy 0.85, expected 17 right answers / 19 test images"),
    ):
        with pytest.raises(RecordError, match=message):
            records.verify(folder, RECORD, labels)


def test_a_record_of_schema_1_is_read_and_said_to_lack_what_it_lacks() -> None:
    folder = next(Path(__file__).with_name("schema1").glob("plain-*")) / "0"
    record = records.read(folder)
    assert (record.schema, record.status, record.history[-1].test_correct) == (1, "finished", 263)
    assert records.lacks(record) == ["input", "classes", "normalisation", "data"]
    assert records.lacks(RECORD) == []
    assert records.read_logits(folder, record).shape == (500, 10)
    assert records.verify(folder, record, data.load().test_labels[:500]) is not None


def test_what_stands_in_the_place_of_a_run_is_told(folder: Path) -> None:
    runs = folder.parent.parent
    records.write(folder, RECORD, b"weights", LOGITS)
    for seed in (4, 5, 6):
        shutil.copytree(folder, folder.with_name(str(seed)))
        (folder.with_name(str(seed)) / "run.json").unlink()
    (folder.with_name("5") / "run.json").mkdir()
    os.mkfifo(folder.with_name("6") / "run.json")
    folder.with_name("7").touch()
    folder.with_name("8").mkdir()  # empty: a record may take its place
    told = [f"{folder.with_name(str(seed))}: found no run.json in it, expected a run" for seed in (4, 5, 6, 7)]
    assert records.broken(runs, FINGERPRINT) == told
    assert list(records.recorded(runs, FINGERPRINT)) == [3]
    with pytest.raises(RecordError, match=r"4: found no run\.json in it; delete it to make room"):
        records.write(folder.with_name("4"), replace(RECORD, seed=4), b"weights", LOGITS)
    records.write(folder.with_name("8"), replace(RECORD, seed=8), b"weights", LOGITS)
    assert records.recorded(runs, FINGERPRINT).keys() == {3, 8}


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    records.write(folder, RECORD, b"weights", LOGITS)
    for name in ("weights.safetensors", "logits.safetensors"):
        (folder / name).unlink()
        os.mkfifo(folder / name)
    with pytest.raises(RecordError, match=r"weights\.safetensors: found something else than a file"):
        records.read_weights(folder, RECORD)
    with pytest.raises(RecordError, match=r"logits\.safetensors: found something else than a file"):
        records.read_logits(folder, RECORD)
    os.mkfifo(folder.with_name("4.checkpoint"))
    with pytest.raises(RecordError, match=r"4\.checkpoint: not a readable checkpoint \(found something else than a file\)"):
        records.read_checkpoint(folder.with_name("4"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normalisation": None}, "its engine, input, classes, normalisation or data is missing"),
        ({"engine": None}, "its engine, input, classes, normalisation or data is missing"),
        ({"normalisation": {"mean": [0.1], "std": [0]}}, "expected one above 0 for each channel"),
        ({"normalisation": {"mean": [], "std": []}}, "its normalisation has the means [] and deviations []"),
        ({"input": [3, 5, 5]}, "its input is [3, 5, 5], that of its network [1, 28, 28]"),
        ({"classes": ["a"]}, "it names 1 classes, its network has 10"),
        ({"data": {"kind": "idx", "path": None, "holdout": 0, "train": 5, "test": 5}}, "it was judged on 5 images"),
        ({"logits_sha256": None}, "the hash of its logits is missing"),
        ({"environment": {"date": 5}}, "its environment has 5 as date, expected str"),
        ({"environment": {"threads": "one"}}, "its environment has 'one' as threads, expected int"),
    ],
)
def test_what_is_needed_to_use_a_network_elsewhere_must_be_there_and_fit(
    folder: Path, change: dict[str, Any], message: str
) -> None:
    records.write(folder, RECORD, b"weights", LOGITS)
    found = json.loads((folder / "run.json").read_text())
    del found["sha256"]
    write_record(folder / "run.json", found | change)
    with pytest.raises(RecordError, match=re.escape(message)):
        records.read(folder)


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


GOOD = {"history": "[]", "threads": "1", "fingerprint": FINGERPRINT, "seed": "3"}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"short",
        save({"w": LOGITS}),
        save({"w": LOGITS}, GOOD),
        save({"w": LOGITS}, GOOD | {"sha256": "0" * 64}),
        save({"w": LOGITS}, GOOD)[:-1],
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


def test_a_checkpoint_with_a_byte_changed_is_refused(folder: Path) -> None:
    records.write_checkpoint(folder, CHECKPOINT)
    path = folder.with_name("3.checkpoint")
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(RecordError, match=r"; delete it to train the run anew$"):
            records.read_checkpoint(folder)


@pytest.mark.parametrize("change", [{"seed": 4}, {"fingerprint": "0" * 12}])
def test_a_checkpoint_of_another_run_is_refused(folder: Path, change: dict[str, Any]) -> None:
    records.write_checkpoint(folder, CHECKPOINT._replace(**change))
    with pytest.raises(RecordError, match=r"it is the checkpoint of fingerprint \w+, seed \d, not of this run; delete it"):
        records.read_checkpoint(folder)


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


def test_a_lock_leaves_nothing(folder: Path) -> None:
    runs = folder.parent.parent
    with records.lock(folder):
        assert here(folder) == set()
        assert os.listdir(runs) == [f".{FINGERPRINT}-3.lock"]
    assert os.listdir(runs) == []


def test_many_that_want_the_same_lock_have_it_one_at_a_time(tmp_path: Path) -> None:
    inside, most = list[int](), list[int]()

    def take(number: int) -> None:
        for _ in range(20):
            with records.alone(tmp_path, "report"):
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(most), max(most)) == (80, 1)
    assert os.listdir(tmp_path) == []


def test_a_lock_holds_a_run_whatever_its_step_is_called(folder: Path) -> None:
    renamed = folder.parent.with_name(f"renamed-{FINGERPRINT}") / "3"
    with records.lock(folder):
        waiting = threading.Thread(target=lambda: records.lock(renamed).__enter__(), daemon=True)
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
    waiting.join(10)
    assert not waiting.is_alive()


def test_what_kills_left_of_recorded_runs_is_tidied_and_nothing_else(folder: Path) -> None:
    runs = folder.parent.parent
    records.write(folder, RECORD, b"weights", LOGITS)
    left = ("3.checkpoint", "3.tmp-11", "3.checkpoint.tmp-12", "4.checkpoint", "4.tmp-11")
    for name in left:
        folder.with_name(name).touch()
    for seed in (3, 4):
        (runs / f".{FINGERPRINT}-{seed}.lock").touch()
    records.tidy(runs, FINGERPRINT)
    assert here(folder) == {"3", "4.checkpoint", "4.tmp-11"}
    assert [path.name for path in runs.glob(".*")] == [f".{FINGERPRINT}-4.lock"]
