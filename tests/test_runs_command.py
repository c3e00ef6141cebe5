"""`stepladder runs`: what lies in a folder of runs, what of it ladders need, and whether it is what it says it is."""

import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from commands import stepladder
from tampering import read
from test_cli import LADDER
from test_fuzz_records import written

from stepladder import Conv, GlobalAvgPool, Network, Recipe, Step, records
from stepladder.engine import identity
from stepladder.job import Job, Setup
from stepladder.records import Checkpoint, index, listing
from stepladder.train import train

TINY = Network([Conv(8, stride=2), Conv(16, stride=2), Conv(10, activation=None), GlobalAvgPool()])
PLAIN = Step("Plain", TINY, Recipe(epochs=2, batch_size=100))
OTHER = PLAIN.then("Other", batch_size=200)


@pytest.fixture(scope="module")
def trained(small_mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a ladder and runs: two of its step plain, one with fewer epochs, and one of a step of no ladder."""
    folder = tmp_path_factory.mktemp("shelf")
    (folder / "tiny.py").write_text(LADDER)
    setup = Setup(folder / "runs", small_mnist)
    for step, seed in ((PLAIN, 0), (PLAIN, 1), (Step("Plain", TINY, Recipe(epochs=1, batch_size=100)), 0), (OTHER, 0)):
        train(Job("tiny", step, seed, setup))
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path


def told(folder: Path, *arguments: str) -> Any:
    result = stepladder("runs", *arguments, "--json", folder=folder)
    assert result.returncode in (0, 1), result
    return json.loads(result.stdout)


def run(folder: Path, step: str = "plain", seed: int = 0) -> Path:
    """The run of two epochs of a step."""
    found = [path for path in (folder / "runs").glob(f"{step}-*/{seed}") if records.read(path).epochs == 2]
    return found[0]


def test_each_folder_has_a_line_with_what_it_holds(folder: Path) -> None:
    (one, *_), plain = ([row for row in told(folder) if row["step"] == name] for name in ("other", "plain"))
    assert (one["ladder"], one["runs"], one["under_way"], one["epochs"]) == ("tiny", 1, 0, 2)
    assert one["engine"] == identity("native", "cpu")
    assert one["bytes"] == sum(path.stat().st_size for path in (folder / "runs" / one["folder"]).rglob("*") if path.is_file())
    assert 0 <= one["age_seconds"] < 600
    assert sorted((row["epochs"], row["runs"]) for row in plain) == [(1, 1), (2, 2)]
    lines = stepladder("runs", folder=folder).stdout.splitlines()
    assert [line.split()[:2] for line in lines if line.startswith(" tiny") or line.startswith("tiny")] == [
        ["tiny", "other"],
        ["tiny", "plain"],
        ["tiny", "plain"],
    ]


def test_a_run_under_way_and_what_is_no_record_are_told(folder: Path) -> None:
    path = run(folder, "other")
    records.write_checkpoint(path.with_name("7"), Checkpoint([], 1, {}, path.parent.name[-12:], 7))
    (path / "run.json").write_text("{}")
    (found,) = [row for row in told(folder) if row["folder"] == path.parent.name]
    assert (found["ladder"], found["runs"], found["under_way"]) == (None, 1, 1)


def test_nothing_is_removed_unasked(folder: Path) -> None:
    before = sorted((folder / "runs").rglob("*"))
    result = stepladder("runs", "--prune", "tiny.py", folder=folder)
    assert result.returncode == 2
    assert "needed by none of tiny.py" in result.stdout
    assert "nothing was removed: 1 run of 1 step, " in result.stderr
    assert result.stderr.endswith(" would be; say --yes\n")
    assert sorted((folder / "runs").rglob("*")) == before


def test_what_no_ladder_needs_is_removed_and_the_rest_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = run(folder, "other").parent
    damaged = run(folder).with_name("1")
    (damaged / "run.json").write_text("{}")
    index.remember(
        folder / "runs", [index.Verified(gone.name, "0", b"", None), index.Verified(damaged.parent.name, "0", b"", None)]
    )
    found = told(folder, "--prune", "tiny.py", "--yes")
    assert ([row["folder"] for row in found["removed"]], found["kept"], found["unknown"]) == ([gone.name], 2, [])
    assert not gone.exists()
    assert sorted(row["step"] for row in told(folder)) == ["plain", "plain"]
    assert [len(index.remembered(folder / "runs", each.name)) for each in (gone, damaged.parent)] == [0, 1]
    assert told(folder, "--prune", "tiny.py", "--yes")["removed"] == []


def test_what_cannot_be_told_is_kept(folder: Path) -> None:
    path = run(folder, "other")
    (path / "run.json").write_text("{}")
    assert told(folder, "--prune", "tiny.py", "--yes")["unknown"] == [f"runs/{path.parent.name}"]
    assert path.exists()


def test_a_removal_that_was_cut_short_is_no_run_and_goes_with_the_next(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = run(folder, "other").parent
    path.rename(path.with_name(path.name + listing.GONE))
    assert "other" not in [row["step"] for row in told(folder)]
    told(folder, "--prune", "tiny.py", "--yes")
    assert not list((folder / "runs").glob(f"*{listing.GONE}"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prune", "--yes"], "name at least one ladder"),
        (["tiny.py"], "go with --prune"),
        (["--prune", "--verify", "tiny.py"], "choose one"),
        (["--runs", "nowhere"], "nowhere: no such folder of runs"),
    ],
)
def test_what_is_not_meant_is_refused(folder: Path, arguments: list[str], words: str) -> None:
    result = stepladder("runs", *arguments, folder=folder)
    assert result.returncode == 2
    assert words in result.stderr


def test_runs_as_they_were_made_are_whole(folder: Path) -> None:
    result = stepladder("runs", "--verify", folder=folder)
    assert (result.returncode, result.stdout) == (0, "4 of 4 runs read whole and without a fault\n")


def test_weights_of_another_run_are_found_by_what_they_answer(folder: Path) -> None:
    """With the hash of them in a record that is sealed anew: only the network tells."""
    path, other = run(folder), run(folder, "other")
    raw = (other / "weights.safetensors").read_bytes()
    (path / "weights.safetensors").write_bytes(raw)
    (path / "run.json").write_bytes(written(read(path) | {"weights_sha256": sha256(raw).hexdigest()}))
    found = told(folder, "--verify")
    assert found["whole"] == 3
    assert [each["run"] for each in found["faults"]] == [str(path.relative_to(folder))]
    assert "its weights give probabilities that are up to" in found["faults"][0]["fault"]


@pytest.mark.parametrize("name", ["weights.safetensors", "logits.safetensors", "run.json"])
def test_a_byte_that_changed_is_found_also_where_the_index_has_the_run(folder: Path, name: str) -> None:
    path = run(folder) / name
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    found = told(folder, "--verify")
    assert (found["whole"], len(found["faults"])) == (3, 1)


def test_images_that_are_gone_leave_it_open_and_may_be_named(folder: Path, small_mnist: Path) -> None:
    path = run(folder)
    record = read(path)
    record["data"]["path"] = "moved"
    (path / "run.json").write_bytes(written(record))
    found = told(folder, "--verify")
    assert [each["run"] for each in found["open"]] == [str(path.relative_to(folder))]
    assert (found["whole"], found["faults"]) == (3, [])
    assert told(folder, "--verify", "--data", str(small_mnist))["whole"] == 4
