"""What a page was made of, in its last line: so that one that would come out the same is not drawn again."""

import hashlib
import json
from functools import cache
from importlib.metadata import version
from pathlib import Path

from stepladder.data import Dataset
from stepladder.spec import to_data
from stepladder.steps import Ladder

_START = b"<!-- made of "


def made_of(data: str, ladder: Ladder, dataset: Dataset, weights: list[list[str]]) -> str:
    """The SHA-256 of all that a page shows: the text of report.json, the networks, the hashes of their weights, the images, and
    what draws them."""
    networks = json.dumps([to_data(step.network) for step in ladder.steps])
    return hashlib.sha256("\n".join([data, networks, json.dumps(weights), dataset.digest, _drawn_by()]).encode()).hexdigest()


def stamped(page: str, made_of: str) -> str:
    """The page with a last line that tells what it was made of, and the SHA-256 of what stands before."""
    return page + _line(page.encode(), made_of).decode()


def is_of(path: Path, made_of: str) -> bool:
    """Whether this file is a page that was made of just that, and is whole."""
    try:
        raw = path.read_bytes() if path.is_file() else b""
    except OSError:
        return False
    page = raw[: max(raw.rfind(_START), 0)]
    return bool(page) and raw[len(page) :] == _line(page, made_of)


def _line(page: bytes, made_of: str) -> bytes:
    return _START + f"{made_of}, {hashlib.sha256(page).hexdigest()} -->\n".encode()


@cache
def _drawn_by() -> str:
    """The sources that make the page, and the version of what draws its charts."""
    rooms = [Path(__file__).parent, *(Path(__file__).parents[1] / name for name in ("analysis", "inference"))]
    files = [file for room in rooms for file in sorted(room.rglob("*")) if file.suffix in (".py", ".html", ".css", ".js")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest() + version("matplotlib")
