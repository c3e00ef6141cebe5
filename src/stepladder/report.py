"""The report of a ladder, made from its records alone: report.json, report.md, report.html and missed.json.

report.json, schema 2. Accuracies, differences and shares are fractions, intervals are 95 %; what is not known is null.

- `schema`, `ladder` (its name), `budget` {`parameters`, `epochs`, `accuracy`, `hold`, `held`}, and of
  `macs`, `ram`, `flash` what it limits
- `headline`: what the ladder shows, a few sentences made of the verdicts below
- `made`: the day of the newest record (null without records), so the same records give the same report
- `data` {`kind` (of the source), `path` (as given, null for the embedded MNIST), `train` (images), `input` (channels, height,
  width), `classes` (their names, in the order of the labels)}
- `images`: of the test set; `sampling`: what its own sampling adds to the budget's accuracy, half of a 95 % interval
- `holdout`: how many training images stood in the place of the test set, which was then not read; 0 for the test set;
  `fold`: which part of them, only where it is not the first; `quick`: true, only of a first look, of few epochs and images
- `engine`, `device`, and `machines`: a list of the distinct {`processor`, `threads`, `torch`, `commit`} of the records
- `climb`: only of a ladder that `stepladder climb` left, what `stepladder.climb.story.data` says of how it was climbed
- `damaged`: why each run that contradicts itself was set aside, a sentence each
- `steps`: a list in ladder order, each with
    - `id`, `title`, `parent` (an id, null for the root), `target`, `note`, `kept` (false: tried, and not gone on with)
    - `change` {`concept`, `old`, `new`}, the values as data; null for the root
    - `parameters`, `macs` (multiply-accumulates for one image), `epochs` (of the recipe), `layers` (as `stepladder show --json`)
    - `device` {`macs`, `ram`, `flash`}: what it takes on a micro-controller, in integers of 8 bits (`Budget` says of what);
      null where it cannot be written so
    - `module`: only of a step whose network is a torch module, a sentence: what trains it, and why
    - `n`: how many seeds have finished; `seeds`: which; `diverged`: the seeds whose loss was no longer finite
    - `test_accuracy`, `train_accuracy` {`mean`, `sd`, `low`, `high`, `worst`}: last epoch, over the finished seeds; `sd` is
      null with one seed, `low` and `high` are null without a spread
    - `sampling`: what the test set's own sampling adds to the mean of `test_accuracy`, half of a 95 % interval
    - `held` {`share`, `least`, `most`, `n`}: the share of seeds with at least the budget's accuracy in each of its last `hold`
      epochs, and the exact one-sided 95 % bounds of that share; seeds that diverged count as not holding
    - `best` {`accuracy`, `epochs`, `seeds`}: the largest test accuracy, and out of how many it was picked
    - `target_verdict`: reached; accurate, not held; missed; undecided; one run: too few to judge; too few epochs to judge;
      over budget; diverged; not run. `target_seeds`: about how many seeds in all would do, null where it is decided or no
      number can be told; `target_open`: what leaves it undecided, else null; `over_budget`: a list of what the step has too
      much of: parameters, epochs, macs, ram, flash
    - `effect`: test accuracy minus the parent's at the last epoch, paired over `n` shared seeds
      {`verdict` (helps, hurts, no difference, dead, undecided, one pair: too few to judge), `reason` (why, in a few words),
      `mean`, `sd`, `low`, `high`, `n`, `low90`, `high90` (the 90 % interval on which the equivalence test rests),
      `p` (two-sided, exact sign-flip test), `p_holm` (adjusted for all effects of the ladder; the verdict rests on it),
      `p_anytime` (of the same null, whenever looked at; not adjusted),
      `p_equivalence` (two one-sided t-tests within 0.05 points), `p_equivalence_holm` (adjusted likewise),
      `won` (the share of pairs in which the step is above its parent),
      `correlation` (between the two steps over the seeds), `detectable` (the difference found with 80 % power after Holm),
      `mcnemar` {`only_child`, `only_parent`, `p`} (with one pair: the images that only one of the two answered right),
      `live` (false where all shared seeds end with the very weights of the parent),
      `least_p` (the smallest `p_holm` that so many pairs allow), `pairs_needed` (how many allow one below 0.05)}
    - `history`: for each seed (as text) its epochs, as in run.json
    - `confusion`: rows are labels, columns answers, summed over the finished seeds
    - `per_class`: for each label, the share of its images answered right
    - `misclassified`: a list, most often missed first, of {`index` in the test set, `label`, `missed_by` (seeds),
      `answers` {wrong answer (as text): seeds}, `suspect` (people hold this label of MNIST wrong)}
    - `fixed`, `broken`: the test images, by index, that most of the parent's seeds answered wrong and most of this step's right,
      and the reverse; null where either has no finished seed
    - `analysis`: what the runs show, in two or three sentences; `next`: what to do next, a sentence; `figures`: those behind
      both, a list of sentences; both are empty where the step is not run
    - `exports`: only where there are some beside the runs, of runs of this step: a list of {`to` (onnx, c, torch, html), `int8`,
      `seed`, `images`, `equal` (how many of them were answered as the record does), `figures` (what it takes, by name, as
      `flash_bytes`, `instructions`), `measured` (a sentence: by what; only where there is one)}
- `exports_unread`: only where there are some: why the card of an export could not be read, a sentence each

Without finished seeds (`n` is 0), the figures from `test_accuracy` to `best`, `effect`, `confusion` and `per_class` are null;
where all diverged, `held` is not.

missed.json: for each step's id its `misclassified`, each image also with `of`, the number of finished seeds.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from stepladder import anatomy, evidence, networks
from stepladder.analysis import analyse, headline
from stepladder.data import Dataset
from stepladder.evidence import Arm, Effect, Evidence, Missed
from stepladder.job import Setup
from stepladder.page import stamp, trained
from stepladder.page.markdown import markdown
from stepladder.records import Epoch, Exports, Record
from stepladder.spec import to_data
from stepladder.spec.budget import asked
from stepladder.steps import Ladder, Step

SCHEMA = 2
FILES = ("report.json", "report.md", "report.html", "missed.json")
NONE = Exports([], [])
_EPOCH = [field.name for field in fields(Epoch)]
LINE = 140
"""Characters of a line of report.json, but for long texts."""


def write(
    found: dict[str, Any], ladder: Ladder, setup: Setup, folder: Path, arms: Mapping[str, Arm] = MappingProxyType({})
) -> list[Path]:
    """Write what `build` found as report.json, report.md, report.html and missed.json, all of them or none; returns their
    paths. The page shows images to the networks of `arms`, whose weights it reads. Two that write to one folder at the same
    time must wait for each other (`records.alone`)."""
    from stepladder.page.html import html  # with matplotlib and jinja2, which `check` and `compare` have no use for

    dataset, texts = setup.images(ladder.steps), _texts(found, ladder)
    page = html(found, ladder, dataset.test_images, trained.examples(dataset.test_labels) or [0], trained.trained(ladder, arms))
    made_of = stamp.made_of(texts["report.json"], ladder, dataset, trained.weights(ladder, arms))
    texts["report.html"] = stamp.stamped(page, made_of)
    folder.mkdir(parents=True, exist_ok=True)
    return _write(folder, {name: texts[name] for name in FILES})


def is_written(
    found: dict[str, Any], ladder: Ladder, setup: Setup, folder: Path, arms: Mapping[str, Arm] = MappingProxyType({})
) -> bool:
    """Whether the folder has the report that `write` would write, whole: the page is not drawn for that."""
    texts = _texts(found, ladder)
    made_of = stamp.made_of(texts["report.json"], ladder, setup.images(ladder.steps), trained.weights(ladder, arms))
    try:
        same = all((folder / name).read_bytes() == content.encode() for name, content in texts.items())
    except OSError:
        return False
    return same and stamp.is_of(folder / "report.html", made_of)


def _texts(found: dict[str, Any], ladder: Ladder) -> dict[str, str]:
    """What goes into each file but the page."""
    return {
        "report.json": text(found) + "\n",
        "report.md": markdown(found, ladder),
        "missed.json": text(missed(found)) + "\n",
    }


def build(
    ladder: Ladder,
    setup: Setup,
    arms: Mapping[str, Arm],
    gathered: Mapping[str, Evidence],
    dataset: Dataset,
    exports: Exports = NONE,
) -> dict[str, Any]:
    """The data of report.json, from what `evidence` loaded and gathered on these images, and the exports that were found; reads
    nothing."""
    every = [record for arm in arms.values() for record in arm.records]
    images, names = len(dataset.test_labels), dataset.classes
    return {
        "schema": SCHEMA,
        "ladder": ladder.name,
        "budget": asked(ladder.budget),
        "headline": headline(ladder, gathered, quick=setup.reading.quick),
        "made": max((record.environment["date"][:10] for record in every if "date" in record.environment), default=None),
        "engine": setup.engine,
        "device": setup.device,
        "data": {
            "kind": dataset.kind,
            "path": None if setup.data is None else str(setup.data),
            "train": len(dataset.train_labels),
            "input": list(dataset.shape),
            "classes": list(names),
        },
        "images": images,
        "sampling": evidence.sampling(ladder.budget.accuracy, images),
        "holdout": setup.reading.holdout,
        **({"fold": setup.reading.fold} if setup.reading.fold else {}),
        **({"quick": True} if setup.reading.quick else {}),
        "machines": _machines(every),
        "damaged": [reason for arm in arms.values() for reason in arm.damaged],
        "steps": [
            _step(step, arms[step.id], gathered[step.id])
            | ({"module": told} if (told := networks.told(step.network, setup.engine)) else {})
            | _analysis(step, ladder, gathered, names)
            | _exported(arms[step.id], exports)
            for step in ladder.steps
        ],
    } | ({"exports_unread": exports.unread} if exports.unread else {})


def runs_of(found: dict[str, Any]) -> int:
    """How many runs a report is made of, with those that were set aside, from the data of its report.json."""
    return sum(len(step["history"]) for step in found["steps"]) + len(found.get("damaged", []))


def runs_in(folder: Path) -> int:
    """How many runs the report in a folder is made of; 0 where there is none, or what is there is none."""
    try:
        return runs_of(json.loads((folder / "report.json").read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
        return 0


def missed(found: dict[str, Any]) -> dict[str, Any]:
    """The data of missed.json, from that of report.json."""
    return {step["id"]: [image | {"of": step["n"]} for image in step["misclassified"]] for step in found["steps"]}


def text(value: Any, indent: str = "", before: str = "") -> str:
    """JSON in which whatever fits on a line has one line, for people who open or compare it; `before` is what stands
    before it on its first line."""
    if not isinstance(value, dict | list):
        return before + _encoder().encode(value)
    items = value.values() if isinstance(value, dict) else value
    flat = not any(isinstance(item, dict | list | tuple) for item in items)  # a tuple has one line, however long
    if flat or _least(value) < LINE:
        line = before + _encoder().encode(value)
        if len(indent) + len(line) < LINE:
            return line
    deeper, (opening, closing) = indent + " ", "{}" if isinstance(value, dict) else "[]"
    if flat:
        written = _encoder(deeper).encode(value)[1:-1]
    elif isinstance(value, dict):
        written = f",\n{deeper}".join(text(item, deeper, f"{_encoder().encode(name)}: ") for name, item in value.items())
    else:
        written = f",\n{deeper}".join(text(item, deeper) for item in value)
    return f"{before}{opening}\n{deeper}{written}\n{indent}{closing}"


@cache
def _encoder(deeper: str | None = None) -> json.JSONEncoder:
    """One that writes on one line, or each item on a line of its own, so far indented."""
    separators = None if deeper is None else (f",\n{deeper}", ": ")
    return json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=separators)


def _least(value: Any) -> int:
    """Of how many characters its JSON is at least; of what has many items just that these are too many for a line."""
    if not isinstance(value, dict | list):
        return 1
    if 3 * len(value) > LINE:
        return LINE
    return sum(map(len, value)) + sum(map(_least, value.values())) if isinstance(value, dict) else sum(map(_least, value))


def _machines(found: Iterable[Record]) -> list[dict[str, Any]]:
    """The distinct places the runs were made in, in the order they are met."""
    names = ("processor", "threads", "torch", "commit")
    machines: list[dict[str, Any]] = []
    for record in found:
        machine = {name: record.environment.get(name) for name in names}
        if machine not in machines:
            machines.append(machine)
    return machines


def _exported(arm: Arm, exports: Exports) -> dict[str, Any]:
    """The exports of a step's runs, alike ones once; nothing where there are none."""
    runs = {(record.seed, record.fingerprint, record.weights_sha256) for record in arm.finished}
    found = list[dict[str, Any]]()
    for card in exports.cards:
        if (card["told"]["seed"], card["fingerprint"], card["weights_sha256"]) in runs and card["told"] not in found:
            found.append(card["told"])
    return {"exports": found} if found else {}


def _step(step: Step, arm: Arm, found: Evidence) -> dict[str, Any]:
    return {
        "id": step.id,
        "title": step.title,
        "parent": step.parent.id if step.parent else None,
        "change": {name: to_data(value) for name, value in step.change._asdict().items()} if step.change else None,
        "target": step.target,
        "note": step.note,
        "kept": step.kept,
        "epochs": step.recipe.epochs,
        **anatomy.to_data(networks.rows(step.network), networks.then(step.network, step.recipe.dropout)),
        "device": device._asdict() if (device := networks.device(step.network)) else None,
        "n": len(found.seeds),
        "seeds": list(found.seeds),
        "diverged": list(found.diverged),
        "test_accuracy": _data(found.test, "mean", "sd", "low", "high", "worst"),
        "train_accuracy": _data(found.train, "mean", "sd", "low", "high", "worst"),
        "sampling": found.sampling,
        "held": _data(found.held, "share", "least", "most", "n"),
        "best": _data(found.best, "accuracy", "epochs", "seeds"),
        "target_verdict": found.target.verdict,
        "target_seeds": found.target.seeds,
        "target_open": found.target.open,
        "over_budget": list(found.target.over),
        "effect": effect(found.effect),
        "history": {str(record.seed): [_epoch(epoch) for epoch in record.history] for record in arm.records},
        "confusion": found.confusion and [list(row) for row in found.confusion],
        "per_class": found.per_class and list(found.per_class),
        "misclassified": [_missed(image) for image in found.missed],
        "fixed": found.exchanged and list(found.exchanged.fixed),
        "broken": found.exchanged and list(found.exchanged.broken),
    }


def effect(found: Effect | None) -> dict[str, Any] | None:
    """An effect as data, with its verdict and reason; None where there is none."""
    return None if found is None else {"verdict": found.verdict, "reason": found.reason} | asdict(found)


def _analysis(step: Step, ladder: Ladder, gathered: Mapping[str, Evidence], names: Sequence[str]) -> dict[str, Any]:
    found = analyse(step, ladder.budget, gathered[step.id], gathered[step.parent.id] if step.parent else None, names)
    return {"analysis": found.text, "next": found.next, "figures": list(found.figures)}


def _missed(image: Missed) -> dict[str, Any]:
    return asdict(image) | {"answers": {str(answer): seeds for answer, seeds in image.answers.items()}}


def _epoch(epoch: Epoch) -> dict[str, Any]:
    """As `asdict`, which copies what it need not: there are many."""
    return {name: getattr(epoch, name) for name in _EPOCH}


def _data(value: Any, *names: str) -> dict[str, Any] | None:
    """These fields of a piece of evidence; None where there is none."""
    return None if value is None else {name: getattr(value, name) for name in names}


def _write(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write all files, or none of them: only when the last is on disk do they take their names."""
    paths = {folder / name: folder / f"{name}.tmp-{os.getpid()}" for name in texts}
    for path in paths:
        for left in folder.glob(f"{path.name}.tmp-*"):  # by a process that was killed: only one writes at a time
            left.unlink()
    try:
        for path, content in zip(paths, texts.values(), strict=True):
            paths[path].write_text(content, encoding="utf-8")
        for path, temporary in paths.items():
            temporary.replace(path)
    except OSError as error:
        for temporary in paths.values():
            temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None
    return list(paths)
