"""What the package says of itself: its version in one place, what it asks of torch, a changelog with dates."""

import re
import tomllib
from datetime import date
from importlib.metadata import requires
from pathlib import Path

import stepladder

ROOT = Path(__file__).parents[1]


def test_the_version_is_written_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    source = project["tool"]["scikit-build"]["metadata"]["version"]["input"]
    assert project["project"]["dynamic"] == ["version"]
    assert f'__version__ = "{stepladder.__version__}"' in (ROOT / source).read_text()
    written = [path.name for path in ROOT.iterdir() if path.is_file() and f'"{stepladder.__version__}"' in path.read_text()]
    assert written == []


def test_whichever_torch_is_there_will_do() -> None:
    assert "torch" in (requires("stepladder") or [])


def test_the_changelog_begins_with_this_version_and_dates_all_that_are_released() -> None:
    titles = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    versions = [re.fullmatch(r"(\d+\.\d+\.\d+) \((unreleased|\d{4}-\d\d-\d\d)\)", title) for title in titles]
    found = [(version[1], version[2]) for version in versions if version]
    assert len(found) == len(titles)
    assert found[0][0] == stepladder.__version__
    dates = [date.fromisoformat(when) for _, when in found[found[0][1] == "unreleased" :]]
    assert dates == sorted(dates, reverse=True)
