"""Whatever lies in a folder of runs: a run is believed as it was written, or set aside with a reason; nothing else is raised."""

import json
import re
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import fuzzed, write_idx_folder
from hypothesis import given
from hypothesis import strategies as st
from recorded import record_run

from stepladder import Budget, Conv, GlobalAvgPool, Ladder, Network, Recipe, Step, evidence, records, report
from stepladder.job import Job, Setup
from stepladder.page.markdown import markdown
from stepladder.records import Checkpoint, RecordError

NETWORK = Network([Conv(10, activation=None), GlobalAvgPool()], input=(1, 4, 4))
PLAIN = Step("Plain", NETWORK, Recipe(epochs=2))
LADDER = Ladder("fuzz", Budget(1_000, 5, 0.8, hold=2), [PLAIN, PLAIN.then("Dropout", dropout=0.1)])
FILES = ("run.json", "weights.safetensors", "logits.safetensors")


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    """Two steps with two seeds each, on 20 test images."""
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (count, 4, 4), np.uint8) for count in (30, 20)]
    labels = [np.arange(count, dtype=np.uint8) % 10 for count in (30, 20)]
    folder = tmp_path_factory.mktemp("fuzz")
    made = Setup(folder / "runs", write_idx_folder(folder / "data", [images[0], labels[0], images[1], labels[1]]))
    for step in LADDER.steps:
        for seed in (0, 1):
            record_run(made, step, seed, [15, 17 + seed], ladder="fuzz")
    return made


@pytest.fixture(scope="module")
def run(setup: Setup) -> Path:
    """The run that is tampered with."""
    return Job("fuzz", PLAIN, 0, setup).folder


@pytest.fixture(scope="module")
def whole(run: Path) -> dict[str, bytes]:
    """Its files as they were written."""
    return {name: (run / name).read_bytes() for name in FILES}


@st.composite
def damage(draw: st.DrawFn) -> Any:
    """A function from bytes to others: a piece replaced, left out, put in or repeated, or all of it something else."""
    kind = draw(st.sampled_from(["piece", "piece", "piece", "repeat", "all"]))
    if kind == "all":
        other = draw(st.binary(max_size=200))
        return lambda raw: other
    start, length = draw(st.integers(0, 1 << 16)), draw(st.integers(0, 8))
    piece = draw(st.binary(max_size=8))

    def change(raw: bytes) -> bytes:
        place = start % (len(raw) + 1)
        inserted = raw[place : place + length] * 2 if kind == "repeat" else piece
        return raw[:place] + inserted + raw[place + length :]

    return change


@given(st.sampled_from(FILES), damage())
@fuzzed(150)
def test_a_run_with_other_bytes_is_set_aside_with_the_reason(
    setup: Setup, run: Path, whole: dict[str, bytes], name: str, change: Any
) -> None:
    changed = change(whole[name])
    (run / name).write_bytes(changed)
    try:
        arm = evidence.load([PLAIN], setup)["plain"]
    finally:
        (run / name).write_bytes(whole[name])
    if changed == whole[name]:
        assert (len(arm.records), arm.damaged) == (2, ())
    else:
        assert [record.seed for record in arm.records] == [1]
        assert arm.damaged[0].startswith(str(run / name)) or name == "run.json"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["finished", "diverged", "native", "2026-11-25", "a\nb", "\x1b[2J", "<b>", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def paths(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [before, *(path for key, item in items for path in paths(item, (*before, key)))]


def change(record: dict[str, Any], drawn: st.DataObject) -> None:
    """Let one to three places in a record say something else."""
    for _ in range(drawn.draw(st.integers(1, 3))):
        *outer, last = drawn.draw(st.sampled_from([path for path in paths(record) if path]))
        inner = record
        for key in outer:
            inner = inner[key]
        if isinstance(inner, dict) and drawn.draw(st.integers(0, 4)) == 0:
            del inner[last]
        else:
            inner[last] = drawn.draw(JSON)


def written(record: dict[str, Any], sealed: bool = True) -> bytes:
    """A record as a run.json, with a hash that fits, or with none."""
    body = json.dumps(record).encode()[:-1]
    return body + (b',\n "sha256": "' + sha256(body).hexdigest().encode() + b'"\n}\n' if sealed else b"}")


@given(st.data(), st.booleans())
@fuzzed(80)
def test_a_record_that_says_anything_else_is_set_aside_or_fit_to_be_reported(
    setup: Setup, run: Path, whole: dict[str, bytes], drawn: st.DataObject, sealed: bool
) -> None:
    """As by somebody who means to: with a hash that fits, or as a record of schema 1, which has none."""
    record = json.loads(whole["run.json"]) | ({} if sealed else {"schema": 1})
    del record["sha256"]
    change(record, drawn)
    (run / "run.json").write_bytes(written(record, sealed))
    try:
        arms = evidence.load(LADDER.steps, setup)
    finally:
        (run / "run.json").write_bytes(whole["run.json"])
    labels = setup.dataset(10).test_labels
    found = report.build(LADDER, setup, arms, evidence.gather(LADDER, arms, labels), setup.dataset(10))
    json.dumps(found, allow_nan=False)
    markdown(found, LADDER)
    for arm in arms.values():
        for believed in arm.records:
            assert believed.status == "diverged" or 0.85 <= believed.history[-1].test_accuracy <= 0.9


@given(damage())
@fuzzed(200)
def test_a_checkpoint_with_other_bytes_is_refused(tmp_path: Path, change: Any) -> None:
    folder = tmp_path / "plain-0123456789ab" / "3"
    checkpoint = Checkpoint([], 1, {"model.w": np.arange(6, dtype=np.float32).reshape(2, 3)}, "0123456789ab", 3)
    records.write_checkpoint(folder, checkpoint)
    path = folder.with_name("3.checkpoint")
    before = path.read_bytes()
    changed = change(before)
    path.write_bytes(changed)
    if changed != before:
        with pytest.raises(RecordError, match=re.escape(str(path))):
            records.read_checkpoint(folder)
    else:
        found = records.read_checkpoint(folder)
        assert found
        assert found[:2] + found[3:] == checkpoint[:2] + checkpoint[3:]
        np.testing.assert_array_equal(found.arrays["model.w"], checkpoint.arrays["model.w"], strict=True)


@given(st.lists(st.sampled_from(["file", "folder", "loop", "copy", "nothing"]), min_size=1, max_size=4), st.data())
@fuzzed(30)
def test_what_else_lies_in_the_folder_of_runs_is_passed_over(
    setup: Setup, run: Path, things: list[str], drawn: st.DataObject
) -> None:
    names = st.text("abc-0123456789./", min_size=1, max_size=12).filter(lambda name: ".." not in name and not name.startswith("/"))
    made = []
    for thing in things:
        path = run.parent / drawn.draw(names)
        if path.exists() or path.is_symlink() or not path.parent.is_dir() or path.parent != run.parent:
            continue
        made.append(path)
        if thing == "file":
            path.write_bytes(b"x")
        elif thing == "folder":
            path.mkdir()
        elif thing == "loop":
            path.symlink_to(path)
        elif thing == "copy":
            shutil.copytree(run, path)
        else:
            path.mkdir()
            (path / "run.json").write_text("{}")
    try:
        arm = evidence.load([PLAIN], setup)["plain"]
        assert [record.seed for record in arm.records] == [0, 1]
        assert len(arm.damaged) <= len(made)
    finally:
        for path in made:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
