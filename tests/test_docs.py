"""README and docs/: links lead somewhere, commands are there, docs/first.md goes as told, and so are the sources."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from commands import stepladder
from test_rooms import ROOMS, SOURCE

from stepladder import ladders
from stepladder.cli import app
from stepladder.evidence.paired import pairs_needed

ROOT = Path(__file__).parents[1]
FILES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in FILES}


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def shell(text: str) -> list[str]:
    """The lines that are typed into a shell."""
    return [line for block in re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL) for line in block.splitlines()]


# Links


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as forges make them."""
    titles = re.findall(r"^#+ (.*)$", without_code(page.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_a_link_leads_to_a_file_that_is_there_and_to_a_heading_in_it(page: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(PAGES[page])):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_reached_from_the_readme() -> None:
    pages = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    assert pages <= set(re.findall(r"\]\(([^)#\s]+)", PAGES["README.md"]))
    assert pages == {f"docs/{name}" for name in re.findall(r": ([a-z]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)} - {
        "docs/index.md"
    }


# Commands

COMMANDS: dict[str, set[str]] = {
    name: {option for found in command.params for option in (*found.opts, *found.secondary_opts)}
    for name, command in typer.main.get_group(app).commands.items()
}
"""The options of every command."""


def commands(text: str) -> Iterator[list[str]]:
    """The calls of stepladder in a page, in blocks and in sentences, without their comments."""
    lines = [line for line in shell(text) if line.startswith("stepladder ")]
    for line in [*lines, *re.findall(r"`(stepladder [a-z][^`]*)`", without_code(text))]:
        yield shlex.split(line, comments=True)[1:]


@pytest.mark.parametrize("page", PAGES)
def test_a_command_and_its_options_are_there(page: str) -> None:
    for name, *arguments in commands(PAGES[page]):
        assert name in COMMANDS, name
        options = {argument.partition("=")[0] for argument in arguments if re.match(r"--?[a-z]", argument)}
        assert options <= COMMANDS[name], f"stepladder {name}: {options - COMMANDS[name]}"


def test_the_make_targets_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    typed = {line.split()[1] for text in PAGES.values() for line in shell(text) if line.startswith("make ")}
    told = {name for text in PAGES.values() for name in re.findall(r"`make (\w+)", text)}
    assert {"run", "test", "docs", "wheel"} <= typed | told
    for target in typed | told:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


# The first ladder


def test_the_first_ladder_is_the_one_that_new_writes(tmp_path: Path) -> None:
    assert stepladder("new", "first", folder=tmp_path).returncode == 0
    code, *_ = re.findall(r"^```python\n(.*?)^```", PAGES["docs/first.md"], flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "told.py").write_text(code)
    assert ladders.load(str(tmp_path / "told.py")) == ladders.load(str(tmp_path / "first.py"))


def test_the_first_commands_run_one_after_the_other(in_process: None, tmp_path: Path, small_mnist: Path) -> None:
    typed = list(commands(PAGES["docs/first.md"].split("## 3.")[0]))
    assert [name for name, *_ in typed] == ["new", "show", "show", "run"]
    for arguments in typed:
        images = ["--data", str(small_mnist), "--steps", "plain", "--threads", "1"] if arguments[0] == "run" else []
        done = stepladder(*arguments, *images, folder=tmp_path)
        assert done.returncode == 0, (arguments, done.stderr)
    assert (tmp_path / "runs" / "first-quick" / "report.html").exists()


# What is told of the sources


def test_how_it_works_names_every_room() -> None:
    table = re.findall(r"^\| (`.*?) \|", PAGES["docs/how.md"], flags=re.MULTILINE)
    named = {name for row in table for name in re.findall(r"`(\w+)`", row)}
    assert set(ROOMS) - {"", "__main__"} - named == set()


def test_how_it_works_names_what_is_in_the_native_sources() -> None:
    _, engine = PAGES["docs/how.md"].split("## The native engine")
    paths = [*(ROOT / "native").iterdir(), *(SOURCE / "engine").glob("*.py"), ROOT / "CMakeLists.txt"]
    sources = "\n".join(path.read_text() for path in paths)
    files = {path.name for path in paths}
    named = set(re.findall(r"`([\w./:]+)`", without_code(engine)))
    assert len(named) > 40
    for name in named - {"float"}:
        if re.search(r"\.(hpp|cpp|py|txt)$|/", name):
            assert name in files or (ROOT / name).exists() or (SOURCE / name).exists(), name
        else:
            assert re.search(rf"\b{re.split('[.:]', name)[-1]}\b", sources), name


def test_the_pairs_that_a_ladder_needs_are_as_told() -> None:
    changes, pairs = re.findall(r"^\| (?:c|pairs at least) \| (.*) \|$", PAGES["docs/verdicts.md"], flags=re.MULTILINE)
    told = dict(zip(changes.split(" | "), pairs.split(" | "), strict=True))
    assert len(told) == 4
    for many, needed in told.items():
        numbers = [int(number) for number in re.findall(r"\d+", many)]
        for number in range(numbers[0], numbers[-1] + 1):
            assert pairs_needed([1.0] * (number - 1)) == int(needed), number
