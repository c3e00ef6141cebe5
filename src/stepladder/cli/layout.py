"""A table on a terminal of any width. No figure is ever cut: texts take several lines first, then each row becomes a block."""

from collections.abc import Sequence
from textwrap import wrap
from typing import NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

Row = Sequence[str]


class Column(NamedTuple):
    """The width of a column that is not squeezed, and the least it can have: that of its longest word, of figures the longest."""

    full: int
    least: int


def put(title: str | None, heads: Row, texts: int, rows: Sequence[Row], total: Row | None = None) -> None:
    """Print a table whose first `texts` columns are text, the others figures, and a last row below a line where there is one.

    Text that is piped is as wide as it needs to be.
    """
    console = Console(markup=False, emoji=False, highlight=False)  # brackets and colons in a title are text
    columns = [
        _column(place < texts, cells) for place, cells in enumerate(zip(heads, *rows, *([total] if total else []), strict=True))
    ]
    widths, gap = [column.full for column in columns], 2
    if not console.is_terminal:
        console.width = max(sum(widths) + gap * len(widths) + 2, *(cell_len(line) for line in (title or "").splitlines() or [""]))
    elif fitting := widths_within(columns, console.width):
        widths, gap = fitting
    else:
        _put_blocks(console, title, heads, [*rows, *([total] if total else [])])
        return
    if title:
        console.print(title, style="italic")
    table = Table(box=box.SIMPLE, pad_edge=False, padding=(0, gap - 1, 0, 0))
    for place, (head, width) in enumerate(zip(heads, widths, strict=True)):
        table.add_column(head, justify="left" if place < texts else "right", width=width)
    for row in rows:
        table.add_row(*row)
    if total:
        table.add_section()
        table.add_row(*total)
    console.print(table)


def widths_within(columns: Sequence[Column], width: int) -> tuple[list[int], int] | None:
    """The widths of the columns in a table of this width, and the gap between them; the widest are squeezed first. None where they
    do not fit."""
    for gap in (2, 1):
        room = width - gap * (len(columns) - 1) - 2  # a space at either edge
        if sum(column.least for column in columns) <= room:
            found = [column.full for column in columns]
            while sum(found) > room:
                squeezable = [place for place, column in enumerate(columns) if found[place] > column.least]
                found[max(squeezable, key=found.__getitem__)] -= 1
            return found, gap
    return None


def _column(text: bool, cells: Row) -> Column:
    head, *found = cells
    words = [*head.split(), *(word for cell in found for word in (cell.split() if text else [cell]))]
    return Column(max(map(cell_len, cells)), max(map(cell_len, words), default=0))


def _put_blocks(console: Console, title: str | None, heads: Row, rows: Sequence[Row]) -> None:
    """Each row as a few lines: its first cell that is not empty, then `name value` of the others, as many on a line as fit."""
    if title:
        console.print(title, style="italic")
    for row in rows:
        console.print()
        for number, line in enumerate(block(heads, row, console.width)):
            console.print(line, style=None if number else "bold", soft_wrap=True)
    console.print()


def block(heads: Row, row: Row, width: int) -> list[str]:
    """The lines of a row, none wider than `width` where a word is not."""
    (_, first), *rest = [(head, cell) for head, cell in zip(heads, row, strict=True) if cell]
    pairs = [f"{head} {cell}" for head, cell in rest]
    lines, line = wrap(first, width, break_long_words=False, break_on_hyphens=False), ""
    for pair in pairs:
        if line and cell_len(f"  {line}   {pair}") <= width:
            line += f"   {pair}"
            continue
        lines += _indented(line, width)
        line = pair
    return lines + _indented(line, width)


def _indented(line: str, width: int) -> list[str]:
    return wrap(line, width, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
