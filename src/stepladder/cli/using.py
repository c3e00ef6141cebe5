"""The commands that use what there is: data, predict, export, show, completion, runs, list."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stepladder import ladders
from stepladder.cli import shells, tables
from stepladder.cli.app import app
from stepladder.cli.options import (
    Channels,
    Epochs,
    Json,
    LadderName,
    Size,
    height_and_width,
    sides,
    with_lab,
)
from stepladder.spec import UserError
from stepladder.spec.budget import asked
from stepladder.steps import Ladder, Step

if TYPE_CHECKING:
    from stepladder.lab import Lab


@app.command(short_help="Tell what a data set holds, and draw it.", epilog="Example: stepladder data photos/ --size 28x28")
def data(
    path: Annotated[
        Path | None, typer.Argument(metavar="PATH", help="A file or a folder; left out: the embedded MNIST.", readable=False)
    ] = None,
    size: Size = None,
    channels: Channels = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write the contact sheet, ten images a class, as PNG.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print what a data set holds: the format, how many images of each class, and which test images are training images; and draw
    ten images of each class (contact-sheet.png, unless --output names another file; with --json only where it does)."""
    from stepladder.cli import images

    if output is not None:
        images.check_sheet(output)
    found = images.found(path, height_and_width(size), channels)
    told = images.describe(found)
    if as_json:
        print(json.dumps(told, indent=1))
    else:
        images.show(path, told)
        output = output or Path("contact-sheet.png")
    if output is not None:
        images.draw(found, output)
        print(f"wrote {output}", file=sys.stderr if as_json else sys.stdout)


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
    from stepladder.analysis import counted
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
        print(f"wrote {counted(len(found), 'answer')} to {table}")


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
