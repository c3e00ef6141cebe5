"""Numbers as tables on a terminal."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from stepladder import networks
from stepladder.anatomy import Jump, Row, Size
from stepladder.spec.budget import asked, device_limits
from stepladder.steps import Ladder, Step

VERDICTS = ("target", "against its parent")
"""Columns that may take several lines."""


def layers(step: Step) -> None:
    """Print one step's layer table, and what it takes on a micro-controller where that can be told."""
    from stepladder.page import words  # scipy: not for `--help`

    rows(f"{step.id}: {step.title}", networks.rows(step.network))
    if device := networks.device(step.network):
        print(f"{words.device(device._asdict())}.")
    if told := networks.told(step.network, "native"):
        print(told)


def rows(title: str, found: Sequence[Row]) -> None:
    """Print a layer table."""
    table = new(title, ("#", "operation", "in", "out", "k", "p", "s"), left=2)
    for name in ("parameters", "MACs", "jump in", "out", "RF in", "out"):
        table.add_column(name, justify="right")
    for number, row in enumerate(found, start=1):
        table.add_row(
            str(number), row.operation, _shape(row.input), _shape(row.output),
            *map(_size, (row.kernel, row.padding, row.stride)), f"{row.parameters:,}", f"{row.macs:,}",
            *map(_size, (row.jump_in, row.jump_out, row.rf_in, row.rf_out)),
        )  # fmt: skip
    table.add_section()
    table.add_row("", "total", *[""] * 5, f"{sum(row.parameters for row in found):,}", f"{sum(row.macs for row in found):,}")
    put(table)


def steps(ladder: Ladder) -> None:
    """Print a ladder's steps."""
    budget = ladder.budget
    title = f"{ladder.name}: {budget.accuracy:.2%} within {budget.parameters:,} parameters and {budget.epochs} epochs"
    title += device_limits(asked(budget))
    table = new(title, ("step", "after", "title", "changes", "parameters", "epochs"), left=4)
    for step in ladder.steps:
        parent, concept = (step.parent.id, step.change.concept) if step.parent and step.change else ("", "")
        table.add_row(step.id, parent, step.label, concept, f"{step.network.parameters:,}", str(step.recipe.epochs))
    put(table)


def ladders(found: Sequence[Ladder]) -> None:
    """Print what ladders there are."""
    table = new(None, ("ladder", "steps", "parameters", "epochs", "accuracy"), left=1)
    for ladder in found:
        budget = ladder.budget
        table.add_row(ladder.name, str(len(ladder.steps)), f"{budget.parameters:,}", str(budget.epochs), f"{budget.accuracy:.2%}")
    put(table)


def results(report: dict[str, Any]) -> None:
    """Print a report's overview, a line for each step."""
    from stepladder.page import table as page  # scipy: not for `--help`

    table = new(None, page.HEADS, left=page.TEXTS)
    for row in page.rows(report):
        table.add_row(*row)
    put(table)


def new(title: str | None, columns: Sequence[str], left: int) -> Table:
    """A table whose first `left` columns are text, the others numbers."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number < left else "right", no_wrap=name not in VERDICTS)
    return table


def put(table: Table) -> None:
    """Print a table."""
    console = Console(markup=False, emoji=False)  # brackets and colons in a title are text
    if not console.is_terminal:
        console.width = 250  # piped text is not cut to a terminal's width
    console.print(table, highlight=False)


def _shape(shape: tuple[float, ...]) -> str:
    return " x ".join(map(str, shape))


def _size(size: Size | Jump | None) -> str:
    return "" if size is None else _shape(size) if isinstance(size, tuple) else str(size)
