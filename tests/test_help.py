"""What `--help` says of each command, and what a shell is told."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import stepladder

from stepladder.cli import app

COMMANDS = sorted(command.name or command.callback.__name__ for command in app.registered_commands if command.callback)


def test_the_list_of_commands_has_a_whole_sentence_for_each() -> None:
    assert len(COMMANDS) >= 12
    told = stepladder("--help").stdout.partition("Commands:")[2]
    for name in COMMANDS:
        assert re.search(rf"^  {name} +\S.*\.$", told, flags=re.MULTILINE), name
    assert "..." not in told


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_an_example_that_is_one_of_its_own(name: str) -> None:
    (example,) = re.findall(r"^  Example: (.+)$", stepladder(name, "--help").stdout, flags=re.MULTILINE)
    assert example.startswith(f"stepladder {name} ")
    told = stepladder(name, "--help").stdout
    assert not {option for option in example.split() if option.startswith("--")} - set(re.findall(r"--[a-z0-9-]+", told))


@pytest.mark.parametrize(("typed", "found"), [("stepladder run mnist-s", ["mnist-smallest"]), ("stepladder sh", ["show"])])
def test_a_shell_completes_commands_and_ladders(tmp_path: Path, typed: str, found: list[str]) -> None:
    asked = {"_STEPLADDER_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    code = "import sys; sys.argv[0] = 'stepladder'; from stepladder.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | asked, cwd=tmp_path)
    assert done.stdout.split() == found, done


def test_completion_is_printed_for_the_shells_there_are() -> None:
    assert "_STEPLADDER_COMPLETE" in stepladder("completion", "bash").stdout
    refused = stepladder("completion", "tcsh")
    assert (refused.returncode, refused.stderr) == (
        2,
        "stepladder: no completion for 'tcsh', expected bash, zsh, fish or powershell\n",
    )
