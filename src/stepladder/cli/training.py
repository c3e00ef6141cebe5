"""The commands that train and judge: new, run, climb, report, compare, check."""

import json
import sys
import webbrowser
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stepladder import ladders
from stepladder.cli import ending, tables
from stepladder.cli.app import app
from stepladder.cli.ending import interruptible
from stepladder.cli.options import (
    Cluster,
    Epochs,
    Force,
    Json,
    LadderName,
    ReportFolder,
    SameBits,
    Shared,
    with_lab,
)
from stepladder.spec import UserError

if TYPE_CHECKING:
    from stepladder.lab import Lab, Result


@app.command(short_help="Write a ladder of three steps to begin with.", epilog="Example: stepladder new mine")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the ladder is called.")],
) -> None:
    """Write a ladder of three steps, NAME.py, to begin with."""
    from stepladder.cli import beginning

    path = beginning.write(name)
    print(f"wrote {path}, a ladder of three steps. A first look: {ending.command('run', str(path), '--quick')}")


@app.command(
    short_help="Train what is missing, then write the report.", epilog="Example: stepladder run mnist --seeds 6 --steps A4,B4"
)
@with_lab
def run(
    lab: "Lab",
    ladder: LadderName = "mnist",
    seeds: Annotated[int, typer.Option(help="Train every step with seeds 0 to N-1.")] = 1,
    steps: Annotated[str | None, typer.Option(help="Only these step ids, separated by commas.")] = None,
    epochs: Epochs = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes; left out: one for each core.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of one run; given alone: one run at a time.")] = None,
    cluster: Cluster = None,
    same_bits: SameBits = False,
    shared: Shared = None,
    output: ReportFolder = None,
    force: Force = False,
) -> None:
    """Train what is missing, then write the report. Interrupted at any moment, the same command goes on. Exits with 1 where a run
    failed or contradicts itself, or where all of them diverged."""
    loaded = ladders.load(ladder)
    chosen = [name.strip() for name in steps.split(",")] if steps else [step.id for step in loaded.steps]
    with interruptible("The same command goes on after the last whole epoch of each run."):
        made_by = replace(lab, workers=workers, threads=threads, cluster=cluster, same_bits=same_bits, shared=shared)
        result = made_by.run(loaded, seeds, steps=chosen, epochs=epochs)
    diverged = [(name, record) for name in chosen for record in result.arms[name].records if record.status == "diverged"]
    for name, record in diverged:
        if record.seed < seeds:
            where = f"epoch {len(record.history) + 1}"
            print(f"{name} seed {record.seed} diverged: its loss was not finite in {where}.", file=sys.stderr)
    code = _tell(result)
    if not result.hint:
        from stepladder.cli import closing

        page = _report(result, output, force)
        print("\n".join(closing.lines(result.ladder, result.evidence, page, sys.argv[1:], lab.quick)))
    finished = any(record.status == "finished" for name in chosen for record in result.arms[name].records)
    raise typer.Exit(code or (0 if finished else 1))


@app.command(
    short_help="Build a ladder by itself, from a budget.",
    epilog="Example: stepladder climb --parameters 8000 --epochs 15 --accuracy 0.994 --hours 2",
)
@with_lab
def climb(
    lab: "Lab",
    start: Annotated[
        str | None,
        typer.Argument(metavar="START", help="A ladder, climbed from its last kept step; left out: a plain network is made."),
    ] = None,
    step: Annotated[str | None, typer.Option(help="Climb from START's step of this id.")] = None,
    parameters: Annotated[
        int | None, typer.Option(help="At most so many; left out: what START's budget says, as all of these.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="At most so many.")] = None,
    accuracy: Annotated[float | None, typer.Option(help="The target, as a fraction: 0.994.")] = None,
    hold: Annotated[int | None, typer.Option(help="In so many of the last epochs.")] = None,
    macs: Annotated[int | None, typer.Option(help="At most so many multiply-adds an image.")] = None,
    ram: Annotated[int | None, typer.Option(help="At most so many bytes of RAM in 8-bit integers.")] = None,
    flash: Annotated[int | None, typer.Option(help="At most so many bytes of constants in 8-bit integers.")] = None,
    hours: Annotated[float | None, typer.Option(help="About so long.")] = None,
    runs_budget: Annotated[int | None, typer.Option(help="In so many runs, instead of hours.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The ladder that is left, a Python file.")] = Path("climbed.py"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell the moves, how many runs fit and what they can show.")] = False,
    locked: Annotated[bool, typer.Option("--locked", help="Leave the test set unread.")] = False,
    difference: Annotated[
        float | None, typer.Option(help="What tests look for, in points, and more where runs deviate by more.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the order in which moves are tried.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Worker processes; left out: one for each core.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of one run; given alone: one run at a time.")] = None,
    cluster: Cluster = None,
    same_bits: SameBits = False,
    shared: Shared = None,
) -> None:
    """Climb by itself: try changes of one concept on training images kept back, keep what is shown to help, confirm the end on
    fresh seeds. Interrupted at any moment, the same command goes on."""
    from stepladder.cli import climbs

    begun, first = climbs.begun(start, step)
    limits = {
        "parameters": parameters,
        "epochs": epochs,
        "accuracy": accuracy,
        "hold": hold,
        "macs": macs,
        "ram": ram,
        "flash": flash,
    }
    wish = climbs.wish(
        begun, limits, hours, runs_budget, output, seed=seed, locked=locked, difference=difference and difference / 100
    )
    with interruptible("The same command goes on where it was."):
        made_by = replace(lab, workers=workers, threads=threads, cluster=cluster, same_bits=same_bits, shared=shared)
        told, code = climbs.climb(made_by, first, wish, output, dry_run)
    print(told)
    raise typer.Exit(code)


@app.command(short_help="Write the report of the runs there are.", epilog="Example: stepladder report mnist --open")
@with_lab
def report(
    lab: "Lab",
    ladder: LadderName = "mnist",
    epochs: Epochs = None,
    force: Force = False,
    output: ReportFolder = None,
    to: Annotated[
        str | None, typer.Option(metavar="KIND", help="The runs for another tool instead: csv, tensorboard or mlflow.")
    ] = None,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Write report.html, report.md, report.json and missed.json from the records there are. Exits with 1 where one contradicts
    itself and was set aside.

    With --to the runs are written as another tool takes them, to a new folder, by default LADDER-KIND beside the runs: csv (tables
    of runs and of their epochs), tensorboard (`tensorboard --logdir FOLDER` shows it) or mlflow (a SQLite store)."""
    result = lab.result(ladders.load(ladder), epochs=epochs)
    code = _tell(result)
    if to is not None:
        for path in result.write(to, output):
            print(f"wrote {path}")
        raise typer.Exit(code)
    page = _report(result, output, force)
    if browser and not webbrowser.open(page.resolve().as_uri()):
        raise UserError(f"no browser was found to open {page}")
    raise typer.Exit(code)


@app.command(short_help="Tell what two steps' runs differ in.", epilog="Example: stepladder compare mnist A4 B4")
@with_lab
def compare(
    lab: "Lab",
    ladder: LadderName,
    step: Annotated[str, typer.Argument(metavar="STEP", help="A step's id.")],
    other: Annotated[str, typer.Argument(metavar="OTHER", help="The id of the step that it is compared with.")],
    epochs: Epochs = None,
    as_json: Json = False,
) -> None:
    """Print what one step's runs differ in from another's, any two steps, paired over the seeds that both have."""
    from stepladder.cli import verdicts

    result = lab.result(ladders.load(ladder), epochs=epochs)
    code = _tell(result)
    found = verdicts.comparison(result.ladder, step, other, result.arms, result.compare(step, other))
    print(json.dumps(found, indent=1, allow_nan=False) if as_json else verdicts.sentences(found))
    raise typer.Exit(code)


@app.command(short_help="Print budget and verdicts.", epilog="Example: stepladder check mnist --allow-undecided")
@with_lab
def check(
    lab: "Lab",
    ladder: LadderName,
    int8: Annotated[
        bool, typer.Option("--int8", help="Judge the networks in integers of 8 bits, as export --to c --int8.")
    ] = False,
    steps: Annotated[str | None, typer.Option(help="With --int8: only these step ids, separated by commas.")] = None,
    epochs: Epochs = None,
    allow_undecided: Annotated[bool, typer.Option("--allow-undecided", help="Exit with 0 instead of 3.")] = False,
    as_json: Json = False,
) -> None:
    """Print budget and verdicts. Exits with 0 where the last step that is kept reaches the target: the steps before it are
    on their way. With 1 where it misses the target, does not hold it, diverged or has not been run, where any step is over
    the budget or changes nothing, or where a record contradicts itself. With 3 where runs or epochs are too few to tell. (2 is
    a mistake in the call.)

    With --int8 every finished seed's network is quantised and answers all test images, paired with its own answers in floats, and
    the exit code is that of the same target for the integers after the last epoch: of the last of these --steps that is kept (of
    the last, where none is). A step that integers cannot express counts as one that misses it."""
    from stepladder.cli import quantised, verdicts

    if steps is not None and not int8:
        raise UserError("--steps chooses what --int8 quantises; without it all steps are checked")
    result = lab.result(ladders.load(ladder), epochs=epochs)
    code = _tell(result)
    if int8:
        chosen = [name.strip() for name in steps.split(",")] if steps is not None else None
        found = quantised.check(result.ladder, result.evidence, result.quantised(chosen))
    else:
        found = verdicts.check(result.ladder, result.evidence, quick=lab.quick)
    if as_json:
        print(json.dumps(found, indent=1, allow_nan=False))
    elif int8:
        quantised.show(found)
    else:
        verdicts.show(result.ladder, found)
    if result.hint:
        print(result.hint, file=sys.stderr)
    outcome = verdicts.EXITS[found["outcome"]]
    raise typer.Exit(code or (0 if outcome == 3 and allow_undecided else outcome))


def _report(result: "Result", output: Path | None, force: bool) -> Path:
    """Write the report and print its figures; returns the page."""
    try:
        written = result.report(output, force=force)
    finally:
        if not result.hint:
            tables.results(result.data)
            for sentence in result.data.get("exports_unread", []):
                print(f"passed over: {sentence}", file=sys.stderr)
    for path in written.paths:
        print(f"unchanged: {path}" if written.unchanged else f"wrote {path}")
    return written.page


def _tell(result: "Result") -> int:
    """Print what went wrong with runs; the exit code is 1 where something did, 2 where the operating system refused all."""
    for sentence in result.problems:
        print(sentence, file=sys.stderr)
    refused = bool(result.failures) and all(failure.system for failure in result.failures)
    return 2 if refused else 1 if result.problems else 0
