"""A store of MLflow in one SQLite file: an experiment with a run for each step and seed."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stepladder.spec import UserError
from stepladder.trackers.tracked import Tracked

FILE = "mlflow.db"
TAGS = ("ladder", "step", "title", "parent", "kept", "seed", "fingerprint")
BATCH = 1000
"""So many metrics MLflow takes in one call."""


class Library(NamedTuple):
    """What is used of MLflow."""

    client: Any
    metric: Any
    param: Any


def write(runs: Sequence[Tracked], experiment: str, folder: Path) -> None:
    """Write the store; `mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db` shows it. Raises UserError without MLflow."""
    library = _library()
    client = library.client(f"sqlite:///{folder.resolve() / FILE}")
    within = client.create_experiment(experiment, artifact_location="artifacts")  # of which there are none
    for run in runs:
        _log(library, client, within, run)


def _log(library: Library, client: Any, experiment: str, run: Tracked) -> None:
    tags = {name: str(run.row[name]) for name in TAGS if run.row[name] is not None}
    began = round(run.began * 1000)
    number = client.create_run(experiment, began, tags, run.name.replace("/", " ")).info.run_id
    client.log_batch(number, params=[library.param(name, str(value)) for name, value in run.settings.items()])
    metrics, ended = list[Any](), began
    for epoch, at, figures in run.epochs():
        ended = round(at * 1000)
        metrics += [library.metric(name, value, ended, epoch) for name, value in figures.items()]
    for first in range(0, len(metrics), BATCH):
        client.log_batch(number, metrics=metrics[first : first + BATCH])
    client.set_terminated(number, "FINISHED" if run.record.status == "finished" else "FAILED", ended)


def _library() -> Library:
    try:
        import sqlalchemy  # noqa: F401
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param
    except ImportError:
        raise UserError(
            "MLflow's store is written with the mlflow-skinny and sqlalchemy packages, which are not installed: "
            "pip install 'stepladder[mlflow]'"
        ) from None
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it tells of each table that it makes
    return Library(MlflowClient, Metric, Param)
