"""The command line. torch, numpy and scipy are imported only by the commands that need them."""

import json
import sys
import webbrowser
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stepladder import __version__, ladders
from stepladder.cli import ending, shells, tables
from stepladder.cli.ending import interruptible, status
from stepladder.cli.options import (
    Channels,
    Cluster,
    Epochs,
    Force,
    Json,
    LadderName,
    SameBits,
    Shared,
    Size,
    height_and_width,
    sides,
    with_lab,
)
from stepladder.spec import UserError
from stepladder.spec.budget import asked
from stepladder.steps import Ladder, Step

if TYPE_CHECKING:
    from stepladder.lab import Lab, Result

app = typer.Typer(
    name="stepladder",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line, and end with its exit code."""
    shells.ready()
    sys.exit(status(app))


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Climb to an accuracy target one change at a time, with evidence for every step."""


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

        page = _report(result, None, force)
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
    output: Annotated[Path | None, typer.Option(help="Where to; left out: a folder of the ladder's name beside the runs.")] = None,
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


@app.command(short_help="Tell what a data set holds, and draw it.", epilog="Example: stepladder data photos/ --size 28x28")
def data(
    path: Annotated[
        Path | None, typer.Argument(metavar="PATH", help="A file or a folder; left out: the embedded MNIST.", readable=False)
    ] = None,
    size: Size = None,
    channels: Channels = None,
    output: Annotated[Path | None, typer.Option(help="Where to write the contact sheet, ten images a class, as PNG.")] = None,
    as_json: Json = False,
) -> None:
    """Print what a data set holds: the format, how many images of each class, and which test images are training images; and draw
    ten images of each class (contact-sheet.png, unless --output names another file; with --json only where it does)."""
    from stepladder.cli import images

    found = images.found(path, height_and_width(size), channels)
    told = images.describe(found)
    if output is None and not as_json:
        output = Path("contact-sheet.png")
    if output is not None:
        images.draw(found, output)
    if as_json:
        print(json.dumps(told, indent=1))
    else:
        images.show(path, told)
        print(f"wrote {output}")


@app.command(short_help="Answer images with a recorded run.", epilog="Example: stepladder predict mnist A4 digit.png")
@with_lab
def predict(
    lab: "Lab",
    ladder: LadderName,
    step: Annotated[str, typer.Argument(metavar="STEP", help="A step's id.")],
    files: Annotated[
        list[Path], typer.Argument(metavar="FILES...", help="Pictures, folders of pictures, CSV files of pixels.", readable=False)
    ],
    seed: Annotated[int | None, typer.Option(help="Which run answers; left out: that of the lowest seed.")] = None,
    epochs: Epochs = None,
    resize: Annotated[bool, typer.Option("--resize", help="Resize pictures to the size that the network takes.")] = False,
    table: Annotated[Path | None, typer.Option("--csv", help="Write the answers there, as Kaggle takes them.")] = None,
    as_json: Json = False,
) -> None:
    """Answer images with a recorded run, made ready as its record says. (Say --data as when it was trained.)"""
    from stepladder.cli import images
    from stepladder.lab import answers

    result = lab.result(ladders.load(ladder), epochs=epochs)
    if result.hint:
        raise UserError(result.hint)
    found = answers.answer(result[step].run(seed), files, resize=resize)
    if table is not None:
        answers.write(found, table)
    if as_json:
        print(json.dumps([each._asdict() for each in found], indent=1))
    elif table is None:
        images.show_answers(found)
    else:
        print(f"wrote {len(found):,} answers to {table}")


@app.command(short_help="Take a recorded run out, as ONNX, C, a page.", epilog="Example: stepladder export mnist A4 --to c --int8")
@with_lab
def export(
    lab: "Lab",
    ladder: LadderName,
    step: Annotated[str, typer.Argument(metavar="STEP", help="A step's id.")],
    to: Annotated[str, typer.Option("--to", metavar="KIND", help="onnx, c, torch, or html: a page that reads what is drawn.")],
    steps: Annotated[str | None, typer.Option(help="Of html: the ids of all steps on the page, separated by commas.")] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Weights and activations of 8 bits.")] = False,
    seed: Annotated[int | None, typer.Option(help="Which run; left out: that of the lowest seed.")] = None,
    layout: Annotated[str, typer.Option(help="Of C: plain, or arduino for a library of Arduino's.")] = "plain",
    epochs: Epochs = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to; left out: LADDER-STEP-KIND beside the runs.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an export.")] = False,
    as_json: Json = False,
) -> None:
    """Take a recorded run out: write it with its model card, and say how many test images what was written answers as the record
    does. An export that disagrees is not written, and exits with 2."""
    from stepladder.cli import exports

    loaded = ladders.load(ladder)
    chosen = loaded if epochs is None else loaded.with_epochs(epochs)
    beside = [name for name in dict.fromkeys(map(str.strip, (steps or step).split(","))) if name != step]
    written = lab.export(step, to, output, ladder=chosen, int8=int8, seed=seed, layout=layout, force=force, beside=beside)
    print(json.dumps(written.card, indent=1) if as_json else exports.sentences(written))


@app.command(short_help="Print a ladder's steps, or a step's layers.", epilog="Example: stepladder show mnist A4")
def show(
    ladder: LadderName,
    step: Annotated[str | None, typer.Argument(metavar="STEP", help="A step's id.")] = None,
    as_json: Json = False,
    as_layers: Annotated[
        bool, typer.Option("--as-layers", help="Print the network of a step or a module in the layer language, to paste.")
    ] = False,
    input: Annotated[
        str, typer.Option("--input", metavar="CxHxW", help="Of a module: the images it takes, channels, height, width.")
    ] = "1x28x28",
) -> None:
    """Print a ladder's steps, or one step's layers with parameters and receptive field; or those of any torch module, where LADDER
    is FILE.py:NAME, NAME a class or a function without arguments."""
    if ".py:" in ladder and not Path(ladder).exists():
        from stepladder.cli import modules

        modules.show(ladder, sides(input, "--input", "channels x height x width, as 3x32x32", 3), as_json, as_layers)
        return
    loaded = ladders.load(ladder)
    chosen = loaded.step(step) if step else None
    if as_layers:
        from stepladder.page import words

        if chosen is None:
            raise UserError("--as-layers prints one network: name a step")
        print(words.in_layers(chosen.network))
    elif as_json:
        found = _step_data(chosen) if chosen else {"ladder": loaded.name, "steps": [_step_data(each) for each in loaded.steps]}
        print(json.dumps(found, indent=1))
    elif chosen:
        tables.layers(chosen)
    else:
        tables.steps(loaded)


@app.command(short_help="Print what makes a shell complete commands.", epilog="Example: stepladder completion bash >> ~/.bashrc")
def completion(shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh, fish or powershell.")]) -> None:
    """Print the script that makes a shell complete commands, options and the names of ladders."""
    print(shells.script(shell))


@app.command(
    "runs", short_help="List the recorded runs, remove or verify them.", epilog="Example: stepladder runs --prune my_ladder.py"
)
def list_runs(
    ladder: Annotated[
        list[str] | None, typer.Argument(metavar="LADDER...", help="With --prune: the ladders whose runs are kept.")
    ] = None,
    runs: Annotated[Path, typer.Option(readable=False, help="The folder of records.")] = Path("runs"),
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove the runs that none of the ladders needs; shows them and asks.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --prune: do not ask.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read everything: hashes, logits against figures, weights against logits.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(readable=False, help="With --verify: the images, where they are not where a record says.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the recorded runs, a line for each step's folder. With --prune remove what no ladder given needs: a run is needed where
    its network and recipe are those of a step, for any number of epochs, on any images and by any engine. With --verify read every
    run whole, let its network answer its test images, and exit with 1 where anything contradicts anything."""
    from stepladder.cli import runs as shelf

    if prune and verify:
        raise UserError("--prune and --verify are two commands: choose one")
    if (ladder or yes) and not prune:
        raise UserError("ladders and --yes go with --prune")
    if verify:
        found = shelf.verify(runs, data)
        print(json.dumps(found, indent=1) if as_json else shelf.sentences(found))
        raise typer.Exit(1 if found["faults"] else 0)
    if prune:
        told = shelf.prune(runs, ladder or [], yes, as_json)
        if as_json or told["removed"]:
            print(json.dumps(told, indent=1) if as_json else f"removed {shelf.size(told['bytes'])}")
    elif as_json:
        print(json.dumps(shelf.data(shelf.there(runs)), indent=1))
    else:
        shelf.show(shelf.there(runs))


@app.command("list", epilog="Example: stepladder list --json")
def list_ladders(as_json: Json = False) -> None:
    """Print the built-in ladders."""
    loaded = [ladders.load(name) for name in ladders.names()]
    if as_json:
        print(json.dumps([_ladder_data(ladder) for ladder in loaded], indent=1))
    else:
        tables.ladders(loaded)


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


def _step_data(step: Step) -> dict[str, object]:
    from stepladder.anatomy import to_data
    from stepladder.networks import device, rows, then

    takes = device(step.network)
    return {
        "step": step.id,
        "title": step.title,
        "parent": step.parent.id if step.parent else None,
        "kept": step.kept,
        **to_data(rows(step.network), then(step.network, step.recipe.dropout)),
        "device": takes._asdict() if takes else None,
    }


def _ladder_data(ladder: Ladder) -> dict[str, object]:
    return {"ladder": ladder.name, "steps": [step.id for step in ladder.steps], "budget": asked(ladder.budget)}
