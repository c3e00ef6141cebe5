"""A report's overview as one table, for whatever shows it: rows of texts, plain text, HTML."""

import html
from typing import Any

from stepladder.analysis import cells, points

HEADS = ("step", "title", "target", "against its parent", "parameters", "seeds", "train %", "test %", "held")
TEXTS = 4
"""So many columns are text, the others figures."""


def rows(found: dict[str, Any]) -> list[list[str]]:
    """The cells of each step, in ladder order: mean ± standard deviation over seeds after the last epoch, and the verdicts."""
    return [_row(step) for step in found["steps"]]


def text_table(found: dict[str, Any]) -> str:
    """The overview as text, its columns aligned."""
    table = [list(HEADS), *rows(found)]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    return "\n".join(_line(cells, widths) for cells in table)


def html_table(found: dict[str, Any]) -> str:
    """The overview as an HTML table, which takes its looks from where it stands."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in HEADS)
    body = "".join(f"<tr>{''.join(map(_cell, enumerate(row)))}</tr>" for row in rows(found))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row(step: dict[str, Any]) -> list[str]:
    effect, held = step["effect"], step["held"]
    return [
        step["id"],
        step["title"] if step["kept"] else f"{step['title']} (not kept)",
        step["target_verdict"],
        f"{points(effect['mean'])}: {cells.effect(effect)}" if effect else "",
        f"{step['parameters']:,}",
        str(step["n"]),
        _figure(step["train_accuracy"]),
        _figure(step["test_accuracy"]),
        cells.held(held) if held else "",
    ]


def _figure(found: dict[str, Any] | None) -> str:
    """Mean ± sd in percent."""
    if not found:
        return ""
    return f"{100 * found['mean']:.2f}" + ("" if found["sd"] is None else f" ± {100 * found['sd']:.2f}")


def _line(row: list[str], widths: list[int]) -> str:
    aligned = (
        cell.ljust(width) if place < TEXTS else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join(aligned)


def _cell(placed: tuple[int, str]) -> str:
    place, cell = placed
    align = "left" if place < TEXTS else "right"
    return f'<td style="text-align: {align}">{html.escape(cell)}</td>'
