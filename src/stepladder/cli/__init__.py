"""The command line. torch, numpy and scipy are imported only by the commands that need them."""

import json
import sys
import webbrowser
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stepladder import __version__, ladders
from stepladder.cli import tables
from stepladder.engine import identity
from stepladder.spec import Ladder, SpecError, Step, UserError

if TYPE_CHECKING:
    from stepladder.job import Job, Setup

app = typer.Typer(
    name="stepladder",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

LadderName = Annotated[
    str, typer.Argument(metavar="LADDER", help="A built-in ladder, or a Python file that ends in `ladder = ...`.")
]
Runs = Annotated[Path, typer.Option(help="The folder of records.")]
Data = Annotated[Path | None, typer.Option(help="A folder with MNIST's four IDX files; left out: the embedded MNIST.")]
Engine = Annotated[str | None, typer.Option(help="What trains: native or torch; left out: native on cpu, torch on cuda.")]
Device = Annotated[str, typer.Option(help="Where it trains: cpu or cuda.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Epochs of every step, instead of its own.")]
Holdout = Annotated[
    int, typer.Option(min=0, help="Judge by so many training images, kept back from training, and leave the test set unread.")
]
Json = Annotated[bool, typer.Option("--json", help="Print data instead of text.")]


def main() -> None:
    """Run the command line; what a user can put right becomes one line on stderr and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"stepladder: {error}", file=sys.stderr)
        sys.exit(2)


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Climb to an accuracy target one change at a time, with evidence for every step."""


@app.command()
def run(
    ladder: LadderName = "mnist",
    seeds: Annotated[int, typer.Option(min=1, help="Train every step with seeds 0 to N-1.")] = 1,
    steps: Annotated[str | None, typer.Option(help="Only these step ids, separated by commas.")] = None,
    epochs: Epochs = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes; left out: one for each core.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of one run; given alone: one run at a time.")] = None,
    runs: Runs = Path("runs"),
    data: Data = None,
    engine: Engine = None,
    device: Device = "cpu",
    holdout: Holdout = 0,
) -> None:
    """Train what is missing, then write the report. Interrupted at any moment, the same command goes on."""
    from stepladder.environment import cores
    from stepladder.job import Job

    loaded = _load(ladder, epochs)
    if violations := loaded.violations():
        raise SpecError(f"ladder {loaded.name!r} breaks its budget: {'; '.join(violations)}")
    chosen = [loaded.step(name.strip()) for name in steps.split(",")] if steps else loaded.steps
    planned = len(chosen) * seeds
    workers = workers or (1 if threads else min(cores(), planned))
    # From what is asked for, not from what is missing: a continued sweep must not change its numbers of threads.
    setup = replace(_setup(runs, data, engine, device, holdout), threads=threads or max(1, cores() // workers))
    jobs = [Job(loaded.name, step, seed, setup) for seed in range(seeds) for step in chosen]
    failed = _sweep(jobs, workers)
    _report(loaded, setup)
    if failed:
        raise typer.Exit(1)


@app.command()
def report(
    ladder: LadderName = "mnist",
    epochs: Epochs = None,
    runs: Runs = Path("runs"),
    data: Data = None,
    engine: Engine = None,
    device: Device = "cpu",
    holdout: Holdout = 0,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Write report.html, report.md, report.json and missed.json from the records there are."""
    page = _report(_load(ladder, epochs), _setup(runs, data, engine, device, holdout))
    if browser and not webbrowser.open(page.resolve().as_uri()):
        raise UserError(f"no browser was found to open {page}")


@app.command()
def compare(
    ladder: LadderName,
    step: Annotated[str, typer.Argument(metavar="STEP", help="A step's id.")],
    other: Annotated[str, typer.Argument(metavar="OTHER", help="The id of the step that it is compared with.")],
    epochs: Epochs = None,
    runs: Runs = Path("runs"),
    data: Data = None,
    engine: Engine = None,
    device: Device = "cpu",
    holdout: Holdout = 0,
    as_json: Json = False,
) -> None:
    """Print what one step's runs differ in from another's, any two steps, paired over the seeds that both have."""
    from stepladder.cli import verdicts

    loaded = _load(ladder, epochs)
    setup = _setup(runs, data, engine, device, holdout)
    found = verdicts.comparison(loaded, loaded.step(step), loaded.step(other), setup)
    print(json.dumps(found, indent=1, allow_nan=False) if as_json else verdicts.sentences(found))


@app.command()
def check(
    ladder: LadderName,
    epochs: Epochs = None,
    runs: Runs = Path("runs"),
    data: Data = None,
    engine: Engine = None,
    device: Device = "cpu",
    holdout: Holdout = 0,
    allow_undecided: Annotated[bool, typer.Option("--allow-undecided", help="Exit with 0 instead of 3.")] = False,
    as_json: Json = False,
) -> None:
    """Print budget and verdicts. Exits with 0 where the last step that is kept reaches the target: the steps before it are
    on their way. With 1 where it misses the target, does not hold it, diverged or has not been run, or where any step is over
    the budget or changes nothing. With 3 where runs or epochs are too few to tell. (2 is a mistake in the call.)"""
    from stepladder.cli import verdicts

    loaded = _load(ladder, epochs)
    found = verdicts.check(loaded, _setup(runs, data, engine, device, holdout))
    if as_json:
        print(json.dumps(found, indent=1, allow_nan=False))
    else:
        verdicts.show(loaded, found)
    if (code := verdicts.EXITS[found["outcome"]]) and not (code == 3 and allow_undecided):
        raise typer.Exit(code)


@app.command()
def show(
    ladder: LadderName,
    step: Annotated[str | None, typer.Argument(metavar="STEP", help="A step's id.")] = None,
    as_json: Json = False,
) -> None:
    """Print a ladder's steps, or one step's layers with parameters and receptive field."""
    loaded = ladders.load(ladder)
    chosen = loaded.step(step) if step else None
    if as_json:
        found = _step_data(chosen) if chosen else {"ladder": loaded.name, "steps": [_step_data(each) for each in loaded.steps]}
        print(json.dumps(found, indent=1))
    elif chosen:
        tables.layers(chosen)
    else:
        tables.steps(loaded)


@app.command("list")
def list_ladders(as_json: Json = False) -> None:
    """Print the built-in ladders."""
    loaded = [ladders.load(name) for name in ladders.names()]
    if as_json:
        print(json.dumps([_ladder_data(ladder) for ladder in loaded], indent=1))
    else:
        tables.ladders(loaded)


def _load(name: str, epochs: int | None) -> Ladder:
    loaded = ladders.load(name)
    return loaded.with_epochs(epochs) if epochs else loaded


def _setup(runs: Path, data: Path | None, engine: str | None, device: str, holdout: int) -> "Setup":
    from stepladder.job import Setup

    engine = engine or ("native" if device == "cpu" else "torch")
    identity(engine, device)
    if device not in ("cpu", "cuda"):
        raise SpecError(f"unknown device {device!r}: expected cpu or cuda")
    if engine == "native" and device != "cpu":
        raise SpecError(f"the native engine runs on cpu, not on {device}: choose --engine torch")
    return Setup(runs, data, engine, device, holdout=holdout)


def _sweep(jobs: "list[Job]", workers: int) -> bool:
    """Train what is missing, showing it; True where a run failed."""
    from stepladder.cli import live
    from stepladder.data import check_fits
    from stepladder.sweep import missing, sweep
    from stepladder.workers import Workers

    for job in jobs:
        check_fits(job.setup.dataset(job.step.network.classes), job.step.network.input)
    todo = missing(jobs)
    print(f"{len(jobs) - len(todo)} of {len(jobs)} runs are recorded in {jobs[0].setup.runs}, {len(todo)} to train.")
    if not todo:
        return False
    executor = Workers(min(workers, len(todo)))
    try:
        end = live.show(sweep(todo, executor), todo)
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on after the last whole epoch of each run.", file=sys.stderr)
        raise typer.Exit(130) from None
    finally:
        executor.kill()  # after a sweep's end none is busy; after anything else none may go on unseen
    for run in end.recorded:
        if run.status == "diverged":
            print(f"{run.job} diverged: its loss was not finite in epoch {len(run.history) + 1}.", file=sys.stderr)
    for failure in end.failures:
        print(f"{failure.job} failed: {failure.reason}", file=sys.stderr)
    return bool(end.failures)


def _report(ladder: Ladder, setup: "Setup") -> Path:
    """Print the figures and write the report; returns the page."""
    from stepladder import report

    found = report.build(ladder, setup)
    tables.results(ladder, found)
    folder = setup.runs / (f"{ladder.name}-holdout" if setup.holdout else ladder.name)
    for path in report.write(found, ladder, setup, folder):
        print(f"wrote {path}")
    return folder / "report.html"


def _step_data(step: Step) -> dict[str, object]:
    from stepladder.anatomy import anatomy, to_data

    return {
        "step": step.id,
        "title": step.title,
        "parent": step.parent.id if step.parent else None,
        "kept": step.kept,
        **to_data(anatomy(step.network)),
    }


def _ladder_data(ladder: Ladder) -> dict[str, object]:
    budget = ladder.budget
    return {
        "ladder": ladder.name,
        "steps": [step.id for step in ladder.steps],
        "budget": {"parameters": budget.parameters, "epochs": budget.epochs, "accuracy": budget.accuracy, "hold": budget.hold},
    }
