"""A recorded run taken out: its program, what it is judged by, and where the export goes."""

import re
from pathlib import Path
from typing import Any

from stepladder import evidence
from stepladder.evidence import Arm
from stepladder.export.card import card
from stepladder.export.folder import Export, Judged, check_folder, write
from stepladder.export.options import Options
from stepladder.export.targets import target
from stepladder.job import Setup
from stepladder.lab.run import Run
from stepladder.spec import UserError
from stepladder.steps import Ladder, Step


def export(
    setup: Setup,
    step: Step,
    to: str,
    folder: str | Path | None,
    ladder: Ladder | None,
    int8: bool,
    seed: int | None,
    layout: str,
    force: bool,
) -> Export:
    """Write the run of a seed, by default the lowest that finished; raises as `Lab.export` says."""
    target(to)  # what is not known is refused before images are read
    arm = evidence.load([step], setup)[step.id]
    run = _run(step, arm, seed)
    name = ladder.name if ladder else run.record.ladder
    part = ["holdout"] * bool(setup.reading.holdout) + ["int8"] * int8
    path = setup.runs / "-".join([name, step.id, to, *part]) if folder is None else Path(folder)
    path = path if path.name else path.absolute()  # "." has none
    check_folder(path, force)
    program = run.program()
    dataset = setup.dataset(step.network.classes)
    what = f"Step {step.id} of ladder {name}, seed {run.seed}: {step.network.parameters:,} parameters, as Stepladder exported it."
    options = Options(_identifier(f"{name}_{step.id}"), what, int8, dataset.train_images, layout)
    judged = Judged(dataset.test_images, dataset.test_labels, run.logits())
    over_seeds = evidence.estimate([record.history[-1].test_accuracy for record in arm.finished])

    def told(made: dict[str, Any]) -> dict[str, Any]:
        return card(run.record, name, step.id, step.title, ladder.budget if ladder else None, over_seeds, made)

    return write(to, program, options, path, judged, told, force)


def _run(step: Step, arm: Arm, seed: int | None) -> Run:
    """The run to be taken out."""
    finished = {record.seed: record for record in arm.finished}
    there = ", ".join(map(str, finished)) or "none"
    if seed is None:
        if not finished:
            set_aside = f"; set aside: {arm.damaged[0]}" if arm.damaged else ""
            diverged = f"; {len(arm.records)} diverged" if arm.records else ""
            raise UserError(f"step {step.id} has no finished run to export{diverged}{set_aside}")
        seed = min(finished)
    if any(record.seed == seed and record.status == "diverged" for record in arm.records):
        raise UserError(f"step {step.id}: the run of seed {seed} diverged, it has no network to export; finished seeds: {there}")
    if type(seed) is not int or seed not in finished:
        raise UserError(f"step {step.id} has no finished run of seed {seed!r}; its finished seeds are {there}")
    return Run(arm.folders[seed], finished[seed], step.network)


def _identifier(name: str) -> str:
    """A name for files, functions and classes."""
    found = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return found if found[:1].isalpha() else f"net_{found}".rstrip("_")
