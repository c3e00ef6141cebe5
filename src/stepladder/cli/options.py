"""Options that several commands take, each declared once."""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepladder.cli.shells import ladder_names
from stepladder.spec import UserError

if TYPE_CHECKING:
    from stepladder.lab import Lab

LadderName = Annotated[
    str,
    typer.Argument(
        metavar="LADDER", help="A built-in ladder, or a Python file that defines `ladder`.", autocompletion=ladder_names
    ),
]
Epochs = Annotated[int | None, typer.Option(help="Epochs of every step, instead of its own.")]
ReportFolder = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="The report's folder; left out: the ladder's name, beside the runs."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a report of more runs.")]
Size = Annotated[str | None, typer.Option(metavar="HxW", help="Resize pictures to this height and width.")]
Channels = Annotated[int | None, typer.Option(help="Make pictures grey (1) or colour (3).")]
Cluster = Annotated[
    str | None,
    typer.Option(metavar="WHERE", help="Train on a Dask cluster: tcp://HOST:PORT, or local:4 for four processes here."),
]
Shared = Annotated[Path | None, typer.Option(metavar="FOLDER", help="The folder of runs as its workers see it: they write there.")]
SameBits = Annotated[bool, typer.Option("--same-bits", help="Refuse its workers of another processor or torch.")]
Json = Annotated[bool, typer.Option("--json", help="Print data instead of text.")]


def _lab(
    # (Whether it may be read is told where it is read: by typer it would be told in four lines, and without the reason.)
    runs: Annotated[Path, typer.Option(readable=False, help="The folder of records.")] = Path("runs"),
    data: Annotated[
        Path | None,
        typer.Option(readable=False, help="Images, a file or a folder of any known format; left out: the embedded MNIST."),
    ] = None,
    split: Annotated[float, typer.Option(help="Make this share of the images the test part, where the data has none.")] = 0.0,
    size: Size = None,
    channels: Channels = None,
    engine: Annotated[
        str | None, typer.Option(help="What trains: native or torch; left out: native on cpu, torch on cuda.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where it trains: cpu or cuda.")] = "cpu",
    holdout: Annotated[
        int, typer.Option(help="Judge by so many training images, kept back from training, and leave the test set unread.")
    ] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="A first look: 3 epochs on a part of the images, in records and a report of their own.")
    ] = False,
    fold: Annotated[int, typer.Option(help="Which of the parts of that size, that share no image, is kept back.")] = 0,
) -> "Lab":
    """What every command that reads or makes runs is told."""
    from stepladder.lab import Lab

    return Lab(
        runs, data=data, split=split, size=height_and_width(size), channels=channels, engine=engine, device=device,
        holdout=holdout, fold=fold, quick=quick,
    )  # fmt: skip


def height_and_width(given: str | None) -> tuple[int, int] | None:
    """Height and width of HxW."""
    if given is None:
        return None
    height, width = sides(given, "--size", "height x width in pixels, as 28x28", 2)
    return height, width


def sides(given: str, option: str, expected: str, count: int) -> tuple[int, ...]:
    """The numbers of 28x28, between crosses."""
    found = given.lower().split("x")
    if len(found) != count or len(given) >= 20 or not all(side.isdecimal() and side.isascii() for side in found):
        raise UserError(f"{option} is {given!r}, expected {expected}")
    return tuple(map(int, found))


def with_lab(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of a lab in the place of its `lab`, so that each option is declared once."""
    own, shared = (list(signature(function).parameters.values()) for function in (command, _lab))

    @wraps(command)
    def called(**given: Any) -> None:
        command(lab=_lab(**{option.name: given.pop(option.name) for option in shared}), **given)

    parameters = [option.replace(kind=Parameter.KEYWORD_ONLY) for option in (*own, *shared) if option.name != "lab"]
    called.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # what typer goes by
    called.__annotations__ = {option.name: option.annotation for option in parameters}
    return called
