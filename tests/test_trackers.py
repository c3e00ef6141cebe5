"""Runs as CSV, TensorBoard's events and an MLflow store: what is written, read back with each tool's own library."""

import csv
import shutil
import struct
import sys
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
import pytest
from mlflow import MlflowClient
from recorded import record_small
from tensorboardX.proto.event_pb2 import Event

from stepladder import Lab, trackers
from stepladder.job import Setup
from stepladder.lab import Result
from stepladder.spec import UserError


@pytest.fixture
def result(small_mnist: Path, tmp_path: Path) -> Result:
    """A ladder of five steps with 11 runs, one of which diverged."""
    ladder = record_small(Setup(tmp_path / "runs", small_mnist))
    return Lab(tmp_path / "runs", data=small_mnist).result(ladder)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_csv_holds_the_rows_of_runs_and_epochs(result: Result) -> None:
    runs, epochs = (table(path) for path in sorted(result.write("csv"), reverse=True))
    assert runs == [{name: "" if value is None else str(value) for name, value in row.items()} for row in result.rows()]
    assert epochs == [{name: str(value) for name, value in row.items()} for row in result.history()]
    assert len(runs) == 11
    frame = pd.DataFrame(result.history())
    assert frame.groupby(["step", "seed"]).size().to_dict()["narrow", 3] == 2  # it diverged in its third epoch
    assert frame.query("step == 'plain' and seed == 1")["test_accuracy"].tolist() == [0.9, 0.94, 0.96, 0.972]


def events(path: Path) -> list[Event]:
    """Of a file of TensorFlow records: each has its length, a checksum of it, the data, and a checksum of that."""
    found, raw, at = [], path.read_bytes(), 0
    while at < len(raw):
        (size,) = struct.unpack_from("<Q", raw, at)
        found.append(Event.FromString(raw[at + 12 : at + 12 + size]))
        at += size + 16
    return found


def test_tensorboard_gets_curves_and_settings_of_every_run(result: Result) -> None:
    written = result.write("tensorboard")
    folder = result.setup.runs / "small-tensorboard"
    assert sorted({path.parent.relative_to(folder).as_posix() for path in written}) == sorted(
        f"{row['step']}/seed-{row['seed']}" for row in result.rows()
    )
    found = [event for path in (folder / "plain" / "seed-1").iterdir() for event in events(path)]
    values = [(event.step, event.wall_time, value) for event in found for value in event.summary.value]
    accuracies = [(step, at, value.simple_value) for step, at, value in values if value.tag == "accuracy/test"]
    assert [step for step, _, _ in accuracies] == [1, 2, 3, 4]
    assert [value for _, _, value in accuracies] == pytest.approx([0.9, 0.94, 0.96, 0.972])
    assert accuracies[-1][1] == pytest.approx(1795442181)  # when the record was made: 2026-11-23T13:56:21
    assert "learning_rate" in {value.tag for _, _, value in values}
    assert any(b"batch_size" in event.SerializeToString() for event in found)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's use of SQLAlchemy
def test_mlflow_finds_every_run_with_its_curves_and_settings(result: Result) -> None:
    (path,) = result.write("mlflow")
    client = MlflowClient(f"sqlite:///{path}")
    experiment = client.get_experiment_by_name("small")
    assert experiment
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert sorted(runs) == sorted(f"{row['step']} seed-{row['seed']}" for row in result.rows())
    run = runs["plain seed-1"]
    history = client.get_metric_history(run.info.run_id, "test_accuracy")
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.9), (2, 0.94), (3, 0.96), (4, 0.972)]
    assert run.data.params["batch_size"] == str(result.ladder.steps[0].recipe.batch_size)
    assert run.data.tags["fingerprint"] == result.rows()[0]["fingerprint"]
    assert {name: run.info.status for name, run in runs.items() if run.info.status != "FINISHED"} == {"narrow seed-3": "FAILED"}


def test_a_folder_that_holds_something_is_left_as_it_is(result: Result, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="mine: found something there, expected a new folder or an empty one"):
        result.write("csv", mine)
    assert [path.name for path in mine.iterdir()] == ["notes.txt"]
    (mine / "notes.txt").unlink()
    assert sorted(path.name for path in result.write("csv", mine)) == ["epochs.csv", "runs.csv"]


def test_a_kind_that_there_is_not_is_an_error_with_those_there_are(result: Result) -> None:
    with pytest.raises(UserError, match="cannot write runs to 'excel': expected csv, tensorboard, mlflow"):
        result.write("excel")


@pytest.mark.parametrize(("to", "package"), [("tensorboard", "tensorboardX"), ("mlflow", "sqlalchemy")])
def test_a_missing_library_is_an_error_that_says_how_to_install_it(
    result: Result, monkeypatch: pytest.MonkeyPatch, to: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"not installed: pip install 'stepladder\[{to}\]'"):
        result.write(to)
    assert not list(result.setup.runs.glob("small-*"))


def test_what_fails_on_the_way_leaves_nothing(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(csv.DictWriter, "writerows", full)
    with pytest.raises(OSError, match="No space"):
        result.write("csv")
    assert not list(result.setup.runs.glob("small-*"))


def test_without_a_run_there_is_nothing_to_write(result: Result, small_mnist: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    none = Lab(tmp_path / "none", data=small_mnist).result(result.ladder)
    with pytest.raises(UserError, match="found no runs of ladder 'small'"):
        none.write("csv")
    with pytest.raises(UserError, match="small has no run that could be written"):
        trackers.write("csv", [], "small", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's use of SQLAlchemy
def test_a_store_that_was_removed_is_written_anew(result: Result, tmp_path: Path) -> None:
    for _ in range(2):
        assert [path.name for path in result.write("mlflow", tmp_path / "store")] == ["mlflow.db"]
        shutil.rmtree(tmp_path / "store")
