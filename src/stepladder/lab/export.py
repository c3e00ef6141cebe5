"""A recorded run taken out: its program, what it is judged by, and where the export goes."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from stepladder import evidence
from stepladder.evidence import Arm
from stepladder.export.card import card
from stepladder.export.folder import Export, Judged, check_folder, compared, write
from stepladder.export.html import file
from stepladder.export.html.facts import facts
from stepladder.export.options import Options, Reader
from stepladder.export.targets import target
from stepladder.inference.operation import Program
from stepladder.job import Setup
from stepladder.lab.elsewhere import elsewhere
from stepladder.lab.run import Run, check_complete
from stepladder.networks import Module
from stepladder.spec import UserError
from stepladder.steps import Ladder, Step

if TYPE_CHECKING:
    from stepladder.export.onnx_module import Trained


class Taken(NamedTuple):
    """A run to be taken out: its step, and its model card but for what the export says of itself."""

    step: Step
    run: Run
    card: dict[str, Any]


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
    beside: Sequence[Step] = (),
) -> Export:
    """Write the run of a seed, by default the lowest that finished; raises as `Lab.export` says."""
    writes = target(to)  # what is not known is refused before images are read
    if beside and to != "html":
        raise UserError(
            f"an export to {to} has one step, found {1 + len(beside)} (beside, --steps): only a page (html) has several"
        )
    first, *others = [_taken(setup, each, ladder, seed) for each in (step, *beside)]
    run, name = first.run, first.card["ladder"]
    module = _module(run) if to == "onnx" else None
    programs = [] if module else [each.run.program() for each in (first, *others)]
    part = setup.reading.judged + ["int8"] * int8
    path = setup.runs / "-".join([name, step.id, *(each.id for each in beside), to, *part]) if folder is None else Path(folder)
    path = path if path.name else path.absolute()  # "." has none
    check_folder(path, force)
    dataset = setup.dataset(step.network.classes)
    what = f"Step {step.id} of ladder {name}, seed {run.seed}: {step.network.parameters:,} parameters, as Stepladder exported it."
    readers = tuple(map(_reader, (first, *others), programs))
    options = Options(_identifier(f"{name}_{step.id}"), what, int8, dataset.train_images, layout, readers)
    if not module:
        writes.check(programs[0], options)
    judged = Judged(dataset.test_images, dataset.test_labels, run.logits())
    also = [_answers(each, judged, replace(options, readers=(reader,))) for each, reader in zip(others, readers[1:], strict=True)]

    def told(made: dict[str, Any]) -> dict[str, Any]:
        return {**first.card, **made, **({"beside": also} if also else {})}

    if module:
        from stepladder.export import onnx_module

        return write(to, onnx_module.TARGET, module, options, path, judged, told, force)
    return write(to, writes, programs[0], options, path, judged, told, force)


def _taken(setup: Setup, step: Step, ladder: Ladder | None, seed: int | None) -> Taken:
    arm = evidence.load([step], setup)[step.id]
    if ladder and not arm.records and not arm.damaged and (there := elsewhere(ladder, setup)):
        raise UserError(f"step {step.id} has no run under these options, but its ladder has {there}")
    run = _run(step, arm, seed)
    name, budget = (ladder.name, ladder.budget) if ladder else (run.record.ladder, None)
    check_complete(run)
    over_seeds = evidence.estimate([record.history[-1].test_accuracy for record in arm.finished])
    return Taken(step, run, card(run.record, name, step.id, step.title, budget, over_seeds, {}))


def _module(run: Run) -> "Trained | None":
    """The trained module of a run, where that is not layers."""
    network, record = run.network, run.record
    if not isinstance(network, Module) or network.lowered:
        return None
    from stepladder.export.onnx_module import Trained

    assert record.normalisation
    assert record.classes
    levels = record.normalisation.mean, record.normalisation.std
    return Trained(network.name, run.model(), network.reason, network.input, tuple(record.classes), *map(tuple, levels))


def _reader(taken: Taken, program: Program) -> Reader:
    return Reader(taken.step.id, taken.step.title, program, facts(taken.card))


def _answers(taken: Taken, judged: Judged, options: Options) -> dict[str, Any]:
    """How many answers of one more network on a page are its record's: on a page of its own."""
    program = options.readers[0].program
    with TemporaryDirectory() as made:
        file.write(program, Path(made), options)
        labels, by = file.answers(Path(made), program, options, judged.images)
    found = compared(labels, judged._replace(scores=taken.run.logits()), by, options.int8)
    return {"step": taken.step.id, "seed": taken.run.seed, "answers": found}


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
