"""The page as text, and the programs read from it again."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from stepladder.export.html.placing import Placing
from stepladder.export.options import Reader
from stepladder.inference.operation import Program
from stepladder.page import embedded
from stepladder.page.html import TEMPLATES
from stepladder.spec import UserError

HERE = Path(__file__).parent
NETWORK = TEMPLATES / "network.js"
"""What computes a network, here as in a report."""
SCRIPTS = (NETWORK, HERE / "prepare.js", HERE / "page.js")
DATA = '<script type="application/json" id="data">'


def page(title: str, readers: Sequence[Reader], placing: Placing | None, *, int8: bool = False) -> str:
    """The page on which `readers` answer what is drawn, put as `placing` says, or pictures alone where that is None. With `int8`
    weights are whole numbers of eight bits, with a scale for each channel.

    Raises UserError where the networks do not take the same images or know the same classes.
    """
    check_alike(readers)
    data = {"networks": [_reader(reader, int8) for reader in readers], "placing": placing and placing._asdict()}
    script = '"use strict";\n' + "\n".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    style = (TEMPLATES / "palette.css").read_text(encoding="utf-8") + (HERE / "style.css").read_text(encoding="utf-8")
    return Template((HERE / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        digest=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=style,
        script=script,
        data=json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    )


def programs(text: str) -> list[Program]:
    """The programs of a page, as it computes them."""
    data = json.loads(text.partition(DATA)[2].partition("</script>")[0])
    return [embedded.read(network) for network in data["networks"]]


def check_alike(readers: Sequence[Reader]) -> None:
    """Raise UserError where networks cannot be on one page."""
    if not readers:
        raise UserError("a page has no network, expected at least one")
    first = readers[0]
    for reader in readers:
        for field in ("input", "classes"):
            own, expected = getattr(reader.program, field), getattr(first.program, field)
            if own != expected:
                raise UserError(f"steps on one page differ in {field}: {first.name} has {expected}, {reader.name} has {own}")


def _reader(reader: Reader, int8: bool) -> dict[str, Any]:
    facts = {"name": reader.name, "title": reader.title, "facts": dict(reader.facts)}
    return facts | embedded.written(reader.program, int8=int8)
