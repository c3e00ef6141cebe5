"""Ladder files of damaged text: a ladder, or a SpecError that names the file; never another exception, never an exit.

STEPLADDER_FUZZ=100000 draws so many examples, others every time.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from values import drawn

from stepladder import Ladder, SpecError, ladders

SOURCE = b'''"""A ladder."""

import sys
from stepladder import EMA, AdamW, Affine, Budget, Conv, Erasing, Flatten, GlobalAvgPool, Ladder, Linear, MaxPool, Network, OneCycle
from stepladder import Recipe, Residual, Step, StepLR

small = Network([Conv(8, padding=1), Conv(8, padding=1), Residual(1), MaxPool(2), Conv(10, activation=None), GlobalAvgPool()])
flat = Network([MaxPool(2), Flatten(), Linear(10)], (1, 28, 28), 10)

def after(step, share):
    if share > 0.5:
        raise ValueError("too much")
    return step.then("Dropout [see note]", dropout=share, id="d", kept=False)

plain = Step("Plain", network=small, recipe=Recipe(epochs=3, batch_size=64), target="See what it can learn.", note="a\\tb")
cycle = plain.then("Cycle", schedule=OneCycle(peak=0.1, warmup=0.2))
adam = plain.then("Adam", optimizer=AdamW(0.9, 0.99), id="A1")
turned = adam.then("Turned", augmentation=Affine(rotate=10))
erased = turned.then("Erased", erasing=Erasing(area=(0.1, 0.2)))
steps = [plain, cycle, adam, turned, erased, after(adam, 0.1)]
ladder = Ladder("mine", Budget(parameters=8_000, epochs=15, accuracy=0.99, hold=2), steps)
'''

# No way of making a number or a text so large that it fills the memory: no "*", no "<<".
PIECES = st.sampled_from(
    [
        *(
            b"(",
            b")",
            b"[",
            b"]",
            b"{",
            b"}",
            b",",
            b"=",
            b".",
            b":",
            b"#",
            b'"',
            b"'",
            b'"""',
            b"\\",
            b"\n",
            b"\n    ",
            b" ",
            b"\t",
        ),
        *(b"0", b"-", b"1e999", b"9" * 5_000, b"None", b"True", b"1j", b"''", b"\0", b"\xff", b"\xed\xa0\x80", "é".encode(), b"\r"),
        *(
            b"sys.exit()",
            b"exit()",
            b"quit(0)",
            b"raise SystemExit",
            b"raise GeneratorExit",
            b"1/0",
            b"assert False",
            b"del ladder",
        ),
        *(
            b"# coding: utf-16\n",
            b"\xef\xbb\xbf",
            b"yield",
            b"await x",
            b"return",
            b"lambda: ",
            b"import nowhere",
            b"if 1:",
            b"after(",
        ),
        *(b"ladder", b"plain", b"small", b"[" * 300, b"ladder = after", b"plain.parent", b"Network", b"Conv(3)", b"flat"),
    ]
) | st.binary(max_size=3).map(lambda found: found.replace(b"*", b"").replace(b"<", b""))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The source with a few pieces of it replaced, taken out, doubled or moved, most of them small, or whole lines."""
    found = SOURCE
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            lines = found.splitlines(keepends=True)
            start = draw(st.integers(0, len(lines)))
            stop = min(len(lines), start + draw(st.integers(0, 2)))
            before, piece, after = b"".join(lines[:start]), b"".join(lines[start:stop]), b"".join(lines[stop:])
        else:
            start = draw(st.integers(0, len(found)))
            stop = start + draw(st.integers(0, 12))
            before, piece, after = found[:start], found[start:stop], found[stop:]
        new = draw(PIECES | st.just(b"") | st.just(piece + piece) | st.just(piece + b"\n" + piece))
        found = before + new + after
    return found


@drawn(200)
@given(source=damaged())
def test_a_damaged_ladder_file_is_a_ladder_or_a_spec_error_that_names_it(
    tmp_path_factory: pytest.TempPathFactory, source: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.py"
    path.write_bytes(source)
    try:
        found = ladders.load(str(path))
    except SpecError as error:
        message = str(error)
    else:
        assert type(found) is Ladder
        return
    assert message.startswith(str(path)) or "line" in message
    assert "\n" not in message


def test_the_source_that_is_damaged_is_a_ladder(tmp_path: Path) -> None:
    (tmp_path / "whole.py").write_bytes(SOURCE)
    assert len(ladders.load(str(tmp_path / "whole.py")).steps) == 6
