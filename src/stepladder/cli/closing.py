"""The end of `run`: what came out in a sentence, where the page is, and what to do next."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stepladder.analysis import headline, seeds_needed
from stepladder.cli.ending import command
from stepladder.evidence import Evidence
from stepladder.steps import Ladder

ENOUGH = 6
"""Seeds from which on the exact test can show one effect: of 2^6 patterns of signs two are the most extreme, p = 0.03."""
OWN = {"--seeds": 1, "--steps": 1, "--workers": 1, "--threads": 1, "--force": 0, "--cluster": 1, "--same-bits": 0, "--shared": 1}
"""The options that `run` has and `report` has not, and how many values each takes."""


def following(arguments: Sequence[str], gathered: Mapping[str, Evidence], quick: bool) -> str:
    """What to do after a `run` of these arguments: all of it, where it was a first look; with more seeds, where they are too few to
    judge; look at the page, where they are not."""
    if quick:
        every = "All images" if any(each.startswith("--epochs") for each in arguments) else "All images and epochs"
        return f"{every}: {command(*without(arguments, {'--quick': 0, '--force': 0}))}"
    enough = seeds_needed(gathered) or (ENOUGH if max(len(found.seeds) for found in gathered.values()) == 1 else 0)
    if enough:
        more = [*without(arguments, {"--seeds": 1, "--force": 0}), "--seeds", str(enough)]
        return f"Enough seeds to judge by: {command(*more)}"
    report = ["report" if place == 0 else each for place, each in enumerate(without(arguments, OWN))]
    return f"Open the page: {command(*report, '--open')}"


def without(arguments: Sequence[str], options: Mapping[str, int]) -> list[str]:
    """The arguments without these options and their values, of which each takes so many."""
    found, passed = list[str](), 0
    for each in arguments:
        name, _, value = each.partition("=")
        if passed:
            passed -= 1
        elif name in options:
            passed = 0 if value else options[name]
        else:
            found.append(each)
    return found


def lines(ladder: Ladder, gathered: Mapping[str, Evidence], page: Path, arguments: Sequence[str], quick: bool) -> list[str]:
    """All that is told at the end."""
    said = headline(ladder, gathered, quick=quick)
    return [said, f"The page: {page.resolve().as_uri()}", following(arguments, gathered, quick)]
