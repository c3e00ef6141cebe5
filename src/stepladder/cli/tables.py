"""Numbers as tables on a terminal."""

from collections.abc import Sequence
from typing import Any

from stepladder import networks
from stepladder.anatomy import Jump, Row, Size
from stepladder.cli import layout
from stepladder.spec import UserError
from stepladder.spec.budget import asked, device_limits
from stepladder.steps import Ladder, Step

LAYERS = ("#", "operation", "then", "in", "out", "k", "p", "s", "parameters", "MACs", "jump in", "jump out", "RF in", "RF out")
"""What is told of a layer."""


def layers(step: Step) -> None:
    """Print one step's layer table, and what it takes on a micro-controller where that can be told."""
    from stepladder.page import words  # scipy: not for `--help`

    then = [", ".join(words.then(after)) for after in networks.then(step.network, step.recipe.dropout)]
    rows(f"{step.id}: {step.title}", networks.rows(step.network), then)
    if device := networks.device(step.network):
        print(f"{words.device(device._asdict())}.")
    if told := networks.told(step.network, "native"):
        print(told)


def rows(title: str, found: Sequence[Row], then: Sequence[str] = ()) -> None:
    """Print a layer table, with what follows in each row where that is told."""
    cells = [
        [
            str(number), row.operation, after, _shape(row.input), _shape(row.output),
            *map(_size, (row.kernel, row.padding, row.stride)), f"{row.parameters:,}", f"{row.macs:,}",
            *map(_size, (row.jump_in, row.jump_out, row.rf_in, row.rf_out)),
        ]
        for number, (row, after) in enumerate(zip(found, then or [""] * len(found), strict=True), start=1)
    ]  # fmt: skip
    sums = f"{sum(row.parameters for row in found):,}", f"{sum(row.macs for row in found):,}"
    last = ["", "total", *[""] * 6, *sums, *[""] * 4]
    if any(then):
        layout.put(title, LAYERS, 3, cells, last)
    else:  # of a module that tells it in no row
        *cells, last = [[*row[:2], *row[3:]] for row in (*cells, last)]
        layout.put(title, (*LAYERS[:2], *LAYERS[3:]), 2, cells, last)


def steps(ladder: Ladder) -> None:
    """Print a ladder's steps, and what breaks its budget."""
    budget = ladder.budget
    title = f"{ladder.name}: {budget.accuracy:.2%} within {budget.parameters:,} parameters and {budget.epochs} epochs"
    title += device_limits(asked(budget))
    cells = []
    for step in ladder.steps:
        parent, concept = (step.parent.id, step.change.concept) if step.parent and step.change else ("", "")
        cells.append([step.id, parent, step.label, concept, f"{step.network.parameters:,}", str(step.recipe.epochs)])
    layout.put(title, ("step", "after", "title", "changes", "parameters", "epochs"), 4, cells)
    try:
        for sentence in ladder.violations():
            print(f"Over the budget: {sentence}.")
    except UserError as error:  # the budget limits what cannot be told of a module
        print(f"{error}.")


def ladders(found: Sequence[Ladder]) -> None:
    """Print what ladders there are."""
    budgets = [(ladder, ladder.budget) for ladder in found]
    cells = [
        [ladder.name, str(len(ladder.steps)), f"{budget.parameters:,}", str(budget.epochs), f"{budget.accuracy:.2%}"]
        for ladder, budget in budgets
    ]
    layout.put(None, ("ladder", "steps", "parameters", "epochs", "accuracy"), 1, cells)


def results(report: dict[str, Any]) -> None:
    """Print a report's overview, a line for each step."""
    from stepladder.page import table as page  # scipy: not for `--help`

    layout.put(None, page.HEADS, page.TEXTS, page.rows(report))


def _shape(shape: tuple[float, ...]) -> str:
    return "x".join(map(str, shape))


def _size(size: Size | Jump | None) -> str:
    return "" if size is None else _shape(size) if isinstance(size, tuple) else str(size)
