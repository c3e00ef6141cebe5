"""The report of a ladder, made from its records alone: report.json, report.md and report.html.

report.json, schema 1. Accuracies, differences and shares are fractions, intervals are 95 %; what is not known is null.

- `schema`, `ladder` (its name), `budget` {`parameters`, `epochs`, `accuracy`, `hold`}
- `made`: the day of the newest record (null without records), so the same records give the same report
- `engine`, `device`, and `machines`: a list of the distinct {`processor`, `threads`, `torch`, `commit`} of the records
- `steps`: a list in ladder order, each with
    - `id`, `title`, `parent` (an id, null for the root), `target`, `note`
    - `change` {`concept`, `old`, `new`}, the values as data; null for the root
    - `parameters`, `macs` (multiply-accumulates for one image), `epochs` (of the recipe), `layers` (as `stepladder show --json`)
    - `n`: how many seeds have finished; `seeds`: which; `diverged`: the seeds whose loss was no longer finite
    - `test_accuracy`, `train_accuracy` {`mean`, `sd`, `low`, `high`, `worst`}: last epoch, over the finished seeds; `sd` is
      null with one seed, `low` and `high` are null without a spread
    - `held` {`share`, `low`, `high`, `n`}: the share of seeds with at least the budget's accuracy in each of its last `hold`
      epochs; seeds that diverged count as not holding
    - `best` {`accuracy`, `epochs`, `seeds`}: the largest test accuracy, and out of how many it was picked
    - `effect` {`mean`, `low`, `high`, `n`}: test accuracy minus the parent's at the last epoch, paired over `n` shared seeds
    - `live`: false where all shared seeds end with the very weights of the parent
    - `history`: for each seed (as text) its epochs, as in run.json
    - `confusion`: rows are labels, columns answers, summed over the finished seeds
    - `misclassified`: a list, most often missed first, of {`index` in the test set, `label`, `missed_by` (seeds),
      `answers` {wrong answer (as text): seeds}}
    - `analysis`: a paragraph

Without finished seeds (`n` is 0), the figures from `test_accuracy` to `live` and `confusion` are null; `held` is not where
all diverged.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepladder import anatomy, data, evidence, records
from stepladder.analysis import analyse
from stepladder.evidence import Evidence
from stepladder.job import Job, Setup
from stepladder.page.html import html
from stepladder.page.markdown import markdown
from stepladder.records import Record
from stepladder.spec import Budget, Ladder, Step, to_data

SCHEMA = 1
LINE = 140
"""Characters of a line of report.json, but for long texts."""


def write(found: dict[str, Any], ladder: Ladder, setup: Setup, folder: Path) -> list[Path]:
    """Write what `build` found as report.json, report.md and report.html, each whole or not at all; returns their paths."""
    images = data.load(setup.data, _classes(ladder)).test_images
    texts = {
        "report.json": text(found) + "\n",
        "report.md": markdown(found, ladder),
        "report.html": html(found, ladder, images),
    }
    folder.mkdir(parents=True, exist_ok=True)
    return [_write(folder / name, content) for name, content in texts.items()]


def build(ladder: Ladder, setup: Setup) -> dict[str, Any]:
    """The data of report.json, from the records that `ladder` has under `setup`.

    Raises RecordError and DataError for files that cannot be used.
    """
    runs = {step.id: _runs(ladder, step, setup) for step in ladder.steps}
    every = [run for found in runs.values() for run in found]
    labels = data.load(setup.data, _classes(ladder)).test_labels
    return {
        "schema": SCHEMA,
        "ladder": ladder.name,
        "budget": asdict(ladder.budget),
        "made": max((run.environment["date"][:10] for run in every if "date" in run.environment), default=None),
        "engine": setup.engine,
        "device": setup.device,
        "machines": _machines(every),
        "steps": [
            _step(step, ladder.budget, runs[step.id], runs[step.parent.id] if step.parent else [])
            | {"misclassified": _misclassified(ladder, step, setup, runs[step.id], labels)}
            for step in ladder.steps
        ],
    }


def text(value: Any, indent: str = "", before: str = "") -> str:
    """JSON in which whatever fits on a line has one line, for people who open or compare it; `before` is what stands
    before it on its first line."""
    line = before + json.dumps(value, allow_nan=False, ensure_ascii=False)
    if len(indent) + len(line) < LINE or not isinstance(value, dict | list):
        return line
    deeper = indent + " "
    if isinstance(value, dict):
        opening, closing = "{}"
        items = [text(item, deeper, f"{json.dumps(name, ensure_ascii=False)}: ") for name, item in value.items()]
    else:
        opening, closing = "[]"
        items = [text(item, deeper) for item in value]
    return f"{before}{opening}\n" + ",\n".join(deeper + item for item in items) + f"\n{indent}{closing}"


def _classes(ladder: Ladder) -> int:
    return ladder.steps[0].network.classes


def _runs(ladder: Ladder, step: Step, setup: Setup) -> list[Record]:
    """The step's records, by seed."""
    fingerprint = Job(ladder.name, step, 0, setup).fingerprint
    return [
        records.read(records.run_folder(setup.runs, step, fingerprint, seed))
        for seed in records.seeds(setup.runs, step, fingerprint)
    ]


def _machines(runs: Sequence[Record]) -> list[dict[str, Any]]:
    """The distinct places the runs were made in, in the order they are met."""
    names = ("processor", "threads", "torch", "commit")
    found: list[dict[str, Any]] = []
    for run in runs:
        machine = {name: run.environment.get(name) for name in names}
        if machine not in found:
            found.append(machine)
    return found


def _step(step: Step, budget: Budget, runs: Sequence[Record], parent: Sequence[Record]) -> dict[str, Any]:
    found = _evidence(step, budget, runs, parent)
    confusions = [run.confusion for run in runs if run.confusion]
    return {
        "id": step.id,
        "title": step.title,
        "parent": step.parent.id if step.parent else None,
        "change": {name: to_data(value) for name, value in step.change._asdict().items()} if step.change else None,
        "target": step.target,
        "note": step.note,
        "epochs": step.recipe.epochs,
        **anatomy.to_data(anatomy.anatomy(step.network)),
        "n": len(found.seeds),
        "seeds": list(found.seeds),
        "diverged": list(found.diverged),
        "test_accuracy": _data(found.test, "mean", "sd", "low", "high", "worst"),
        "train_accuracy": _data(found.train, "mean", "sd", "low", "high", "worst"),
        "held": _data(found.held, "share", "low", "high", "n"),
        "best": _data(found.best, "accuracy", "epochs", "seeds"),
        "effect": _data(found.effect, "mean", "low", "high", "n"),
        "live": found.live,
        "history": {str(run.seed): [asdict(epoch) for epoch in run.history] for run in runs},
        "confusion": np.sum(confusions, axis=0).tolist() if confusions else None,
        "analysis": analyse(step, budget, found),
    }


def _evidence(step: Step, budget: Budget, runs: Sequence[Record], parent: Sequence[Record]) -> Evidence:
    finished = _finished(runs)
    tests = [[epoch.test_accuracy for epoch in run.history] for run in finished]
    lost = [run.seed for run in runs if run.status == "diverged"]
    before = _finished(parent)
    return Evidence(
        epochs=step.recipe.epochs,
        seeds=tuple(run.seed for run in finished),
        diverged=tuple(lost),
        test=evidence.estimate([history[-1] for history in tests]) if finished else None,
        train=evidence.estimate([run.history[-1].train_accuracy for run in finished]) if finished else None,
        held=evidence.held(tests + [[] for _ in lost], budget.accuracy, budget.hold) if runs else None,
        lowest=min(min(history[-budget.hold :]) for history in tests) if finished else None,
        best=evidence.best(tests) if finished else None,
        effect=evidence.effect(_last(finished), _last(before)),
        live=evidence.live(*({run.seed: run.weights_sha256 for run in arm} for arm in (finished, before))),
    )


def _finished(runs: Sequence[Record]) -> list[Record]:
    return [run for run in runs if run.status == "finished"]


def _last(runs: Sequence[Record]) -> dict[int, float]:
    """Test accuracy after the last epoch, by seed."""
    return {run.seed: run.history[-1].test_accuracy for run in runs}


def _misclassified(
    ladder: Ladder, step: Step, setup: Setup, runs: Sequence[Record], labels: NDArray[np.uint8]
) -> list[dict[str, Any]]:
    folders = [Job(ladder.name, step, run.seed, setup).folder for run in _finished(runs)]
    missed = evidence.missed([records.read_logits(folder).argmax(axis=1) for folder in folders], labels)
    return [asdict(image) | {"answers": {str(answer): seeds for answer, seeds in image.answers.items()}} for image in missed]


def _data(value: Any, *names: str) -> dict[str, Any] | None:
    """These fields of a piece of evidence; None where there is none."""
    return None if value is None else {name: getattr(value, name) for name in names}


def _write(path: Path, content: str) -> Path:
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    temporary.write_text(content, encoding="utf-8")
    temporary.replace(path)
    return path
