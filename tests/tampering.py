"""Ways of tampering with a run, by chance or by somebody who means to; what exactly is drawn."""

import json
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from safetensors.numpy import save
from test_fuzz_records import FILES, change, damage, written


def bytes_changed(drawn: st.DataObject, run: Path) -> None:
    path = run / drawn.draw(st.sampled_from(FILES))
    path.write_bytes(drawn.draw(damage())(path.read_bytes()))


def record_changed(drawn: st.DataObject, run: Path) -> None:
    """As by somebody who means to: with a hash that fits, or as a record of schema 1, which has none."""
    sealed = drawn.draw(st.booleans())
    record = read(run) | ({} if sealed else {"schema": 1})
    change(record, drawn)
    (run / "run.json").write_bytes(written(record, sealed))


def answers_changed(drawn: st.DataObject, run: Path) -> None:
    """Other logits, with a record that is theirs but for what is drawn."""
    labels = np.arange(20) % 10
    kind = drawn.draw(st.sampled_from([np.float32] * 5 + [np.float64, np.float16, np.int32]))
    shape = drawn.draw(st.sampled_from([(20, 10)] * 5 + [(20, 9), (19, 10), (200,), (0, 10), (20, 10, 1), (20, 11)]))
    random = np.random.default_rng(drawn.draw(st.integers(0, 1 << 32)))
    logits = random.integers(-2, 3, shape).astype(kind)  # with many that are equal
    if kind != np.int32 and logits.size and drawn.draw(st.integers(0, 3)) == 0:
        place = drawn.draw(st.integers(0, logits.size - 1))
        logits.flat[place] = drawn.draw(st.sampled_from([np.nan, np.inf, -np.inf, 3e4]))
    record = read(run)
    raw = save({drawn.draw(st.sampled_from(["logits"] * 9 + ["other"])): logits})
    (run / "logits.safetensors").write_bytes(raw)
    flaw = drawn.draw(st.sampled_from(["", "", "", "hash", "confusion", "accuracy"]))
    if flaw != "hash":
        record["logits_sha256"] = sha256(raw).hexdigest()
    if logits.ndim == 2 and len(logits) == 20 and logits.shape[1] > 9 and flaw != "confusion":
        confusion = np.zeros((logits.shape[1],) * 2, int)
        np.add.at(confusion, (labels, logits.argmax(1)), 1)
        right = int(confusion.trace())
        record["confusion"] = confusion.tolist()
        if flaw != "accuracy":
            record["history"][-1] |= {"test_correct": right, "test_accuracy": right / 20}
    (run / "run.json").write_bytes(written(record))


def weights_changed(drawn: st.DataObject, run: Path) -> None:
    """Other weights with the hash of them, also those of another run."""
    others = [path.read_bytes() for path in sorted(run.parent.parent.glob("*/*/weights.safetensors"))]
    raw = drawn.draw(st.sampled_from([*others, b"", b"other"]))
    (run / "weights.safetensors").write_bytes(raw)
    (run / "run.json").write_bytes(written(read(run) | {"weights_sha256": sha256(raw).hexdigest()}))


def told_diverged(drawn: st.DataObject, run: Path) -> None:
    """A run that says it has diverged, with or without what does not go with that."""
    record = read(run) | {"status": "diverged"}
    for name, without in (("history", record["history"][:1]), ("confusion", None), ("logits_sha256", None)):
        if drawn.draw(st.integers(0, 5)):
            record[name] = without
    (run / "run.json").write_bytes(written(record))
    if drawn.draw(st.integers(0, 5)):
        (run / "logits.safetensors").unlink()


def files_changed(drawn: st.DataObject, run: Path) -> None:
    """A file or the run is something else, or lies elsewhere."""
    path = run / drawn.draw(st.sampled_from([*FILES, *FILES, "."]))
    kind = drawn.draw(st.sampled_from(["nothing", "folder", "file", "pipe", "loop", "move", "copy"]))
    if kind in ("move", "copy"):
        other = next(step for step in sorted(run.parent.parent.iterdir()) if step != run.parent)
        twin = run.parent.with_name(run.parent.name.replace("plain", drawn.draw(st.sampled_from(["a", "z"]))))
        to = drawn.draw(st.sampled_from([run.with_name("7"), run.with_name("01"), other / "7", twin / "0", other / "1"]))
        if not to.exists():
            shutil.copytree(run, to)
            if kind == "move":
                shutil.rmtree(run)
        return
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_bytes(drawn.draw(st.binary(max_size=20)))
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)


def checkpoint_left(drawn: st.DataObject, run: Path) -> None:
    """A run under way, or a finished one, with a checkpoint that is none."""
    if drawn.draw(st.booleans()):
        shutil.rmtree(run)
    path = run.with_name(f"{run.name}.checkpoint")
    kind = drawn.draw(st.sampled_from(["bytes", "folder", "pipe"]))
    if kind == "bytes":
        path.write_bytes(drawn.draw(st.binary(max_size=100)))
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)


def read(run: Path) -> dict[str, Any]:
    """The fields of a run.json, but for the hash."""
    found: dict[str, Any] = json.loads((run / "run.json").read_bytes())
    del found["sha256"]
    return found


TAMPERINGS: list[Callable[[st.DataObject, Path], None]] = [
    bytes_changed, record_changed, record_changed, answers_changed, weights_changed, told_diverged, files_changed,
    checkpoint_left,
]  # fmt: skip
