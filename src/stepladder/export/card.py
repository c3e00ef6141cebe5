"""The model card of an export: where the network comes from, and what is known of it."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stepladder.evidence import Estimate
from stepladder.records import Record
from stepladder.spec import Budget, to_data

FILES = ("model-card.json", "MODEL_CARD.md", "LICENSE")

NOTICE = """MIT License

Copyright (c) 2026 the Stepladder authors

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


def card(
    record: Record, ladder: str, step: str, title: str, budget: Budget | None, over_seeds: Estimate, made: Mapping[str, Any]
) -> dict[str, Any]:
    """What is known of a run that is exported, JSON-ready: `over_seeds` are the test accuracies of the step's finished seeds,
    `made` what the export says of itself."""
    assert record.input
    assert record.normalisation
    assert record.data
    return {
        "ladder": ladder,
        "step": step,
        "title": title,
        "seed": record.seed,
        "parameters": record.parameters,
        "epochs": record.epochs,
        "test_accuracy": record.history[-1].test_accuracy,
        "seeds": {"n": over_seeds.n, "mean": over_seeds.mean, "sd": over_seeds.sd},
        "budget": None if budget is None else to_data(budget),
        "data": {"kind": record.data.kind, "train": record.data.train, "test": record.data.test, "holdout": record.data.holdout}
        | ({"fold": record.data.fold} if record.data.fold else {}),
        "input": list(record.input),
        "classes": record.classes,
        "normalisation": {"mean": record.normalisation.mean, "std": record.normalisation.std},
        "engine": record.engine,
        "date": record.environment.get("date"),
        "fingerprint": record.fingerprint,
        "weights_sha256": record.weights_sha256,
        "stepladder": version("stepladder"),
        "licence": "MIT",
        **made,
    }


def write(found: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write the card as data and for people, and the licence."""
    texts = (json.dumps(found, indent=1, allow_nan=False) + "\n", markdown(found), NOTICE)
    paths = [folder / name for name in FILES]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


def markdown(found: Mapping[str, Any]) -> str:
    """The card for people."""
    seeds, data, answers, budget = (found[name] for name in ("seeds", "data", "answers", "budget"))
    judged = "validation" if data["holdout"] else "test"
    images = f"{data['test']:,} {judged} images" + (f" (fold {data['fold']})" if "fold" in data else "")
    spread = "" if seeds["sd"] is None else f", standard deviation {seeds['sd'] * 100:.3f} points"
    levels = "; ".join(
        f"{mean:.6g} and {std:.6g}" for mean, std in zip(*(found["normalisation"][name] for name in ("mean", "std")), strict=True)
    )
    rows = {
        "network": f"step {found['step']} ({found['title']}) of ladder {found['ladder']}, {found['parameters']:,} parameters",
        "run": f"seed {found['seed']}, {found['epochs']} epochs, {found['test_accuracy']:.2%} of {images}",
        "step over its seeds": f"n = {seeds['n']}, mean {seeds['mean']:.3%}{spread}",
        "budget": "none known" if budget is None else _budget(budget),
        "trained on": f"{data['kind']}, {data['train']:,} images, by {found['engine']}, {found['date']}",
        "takes": f"levels from 0 to 255, {' x '.join(map(str, found['input']))} (channels x height x width)",
        "normalisation": f"inside; mean and deviation of each channel as fractions of 255: {levels}",
        "classes": ", ".join(found["classes"]),
        "written as": f"{found['to']}, {'8 bits' if found['int8'] else 'float32'}, by stepladder {found['stepladder']}",
        "answers": f"{answers['equal']:,} of {answers['images']:,} {judged} images are answered as the record does "
        f"({answers['correct']:,} right, the record's {answers['recorded_correct']:,}), run by {answers['by']}",
        **{name.replace("_", " "): f"{value:,}" for name, value in found["figures"].items()},
        "fingerprint": f"{found['fingerprint']}, weights {found['weights_sha256']}",
        "licence": "MIT (LICENSE)",
    }
    for also in found.get("beside", []):
        equal = f"{also['answers']['equal']:,} of {also['answers']['images']:,} {judged} images answered as its record does"
        rows[f"on the same page: step {also['step']}"] = f"seed {also['seed']}, {equal}, run by {also['answers']['by']}"
    lines = "\n".join(f"| {name} | {_escaped(value)} |" for name, value in rows.items())
    return f"# {_escaped(found['ladder'])} {_escaped(found['step'])}\n\n| | |\n|---|---|\n{lines}\n"


def _budget(budget: Mapping[str, Any]) -> str:
    return (
        f"{budget['parameters']:,} parameters, {budget['epochs']} epochs; target {budget['accuracy']:.2%} "
        f"in the last {budget['hold']} epochs"
    )


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("\n", " ")
