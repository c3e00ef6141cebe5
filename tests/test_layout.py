"""Tables on terminals of several widths: every figure whole, no line wider than the terminal."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from arms import LABELS
from commands import stepladder
from conftest import write_idx_folder
from recorded import record_climb
from test_evidence_quantised import ARMS, answered
from test_evidence_quantised import LADDER as MEMORY

from stepladder.cli import layout, quantised
from stepladder.evidence import gather
from stepladder.evidence import quantised as judge
from stepladder.job import Setup

WIDTHS = (60, 80, 120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recorded seeds of each step of the ladder `mnist`, on images of another kind."""
    made = tmp_path_factory.mktemp("tables")
    levels = np.random.default_rng(0).integers(0, 256, (1_200, 28, 28), np.uint8)
    labels = np.arange(1_200, dtype=np.uint8) % 10
    data = write_idx_folder(made / "data", [levels, labels, levels[:1_000], labels[:1_000]])
    record_climb(Setup(made / "runs", data), 3)
    return made


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes what is printed from now on go to a terminal of so many columns."""

    def widen(width: int) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", str(width))

    return widen


def plain(text: str) -> str:
    """A terminal's text without its colours."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def figures(text: str) -> Counter[str]:
    """Whatever holds a digit, between spaces."""
    return Counter(re.findall(r"\S*\d\S*", plain(text)))


TABLES = {
    "show mnist": 9 * 2,
    "show mnist A4": 8 * 10,
    "show mnist-smallest": 9 * 2,
    "list": 3 * 4,
    "report mnist --data data": 9 * 4,
    "check mnist --data data": 9 * 4,
    "compare mnist A4 A3 --data data": 4,
    "data data": 11 * 2,
}
"""The commands that print tables or figures, and how many figures there are at least."""


@pytest.mark.parametrize("command", TABLES)
@patch("stepladder.report.write", lambda *_: [])  # the report's figures are printed, its page is not drawn
def test_no_figure_is_cut_however_narrow_the_terminal(folder: Path, on_terminal: Callable[[int], None], command: str) -> None:
    whole = stepladder(*command.split(), folder=folder)
    expected = figures(whole.stdout)
    assert expected.total() >= TABLES[command], whole
    for width in WIDTHS:
        on_terminal(width)
        shown = stepladder(*command.split(), folder=folder).stdout
        assert not expected - figures(shown), (width, shown)
        assert "…" not in shown
        table = [line for line in plain(shown).splitlines() if line.startswith(" ")]
        assert max(map(len, table), default=0) <= width


def test_what_8_bits_cost_is_not_cut_either(on_terminal: Callable[[int], None], capsys: pytest.CaptureFixture[str]) -> None:
    each = {name: answered(runs, *[(seed, 60 - seed) for seed in range(6)]) for name, runs in ARMS.items()}
    found = quantised.check(MEMORY, gather(MEMORY, ARMS, LABELS), judge(MEMORY, ARMS, each, LABELS))
    quantised.show(found)
    expected = figures(capsys.readouterr().out)
    assert expected.total() > 20
    for width in WIDTHS:
        on_terminal(width)
        quantised.show(found)
        shown = capsys.readouterr().out
        assert not expected - figures(shown), (width, shown)


def test_texts_are_squeezed_before_a_row_becomes_a_block() -> None:
    title, figure = layout.Column(40, 12), layout.Column(6, 6)
    assert layout.widths_within([title, figure], 60) == ([40, 6], 2)
    assert layout.widths_within([title, figure], 40) == ([30, 6], 2)
    assert layout.widths_within([title, figure], 21) == ([12, 6], 1)
    assert layout.widths_within([title, figure], 20) is None


def test_a_row_that_is_a_block_names_its_figures() -> None:
    heads = ("step", "title", "parameters", "test %")
    row = ("A4", "Step decay", "9,060", "99.52 ± 0.07")
    assert layout.block(heads, row, 40) == ["A4", "  title Step decay   parameters 9,060", "  test % 99.52 ± 0.07"]
    assert layout.block(heads, ("", "total", "9,060", ""), 40) == ["total", "  parameters 9,060"]


def test_piped_text_is_as_wide_as_it_needs_to_be(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    layout.put("A title " * 40, ("step", "title", "n"), 2, [["A", "word " * 60 + "end", "12,345"]])
    lines = capsys.readouterr().out.splitlines()
    assert any(line.strip().endswith("end  12,345") for line in lines)
    assert "A title " * 39 in lines[0]
