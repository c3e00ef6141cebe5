"""The end of `run`: what came out in a sentence, where the page is, and what to do next."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stepladder.analysis import counted, percent
from stepladder.cli.ending import command
from stepladder.evidence import Evidence
from stepladder.steps import Ladder

ENOUGH = 6
"""Seeds from which on the exact tests can show an effect: of 2^6 patterns of signs two are the most extreme, p = 0.03."""
OWN = {"--seeds": 1, "--steps": 1, "--workers": 1, "--threads": 1, "--force": 0}
"""The options that `run` has and `report` has not, and how many values each takes."""


def sentence(ladder: Ladder, gathered: Mapping[str, Evidence]) -> str:
    """What the runs of a ladder show, by their verdicts."""
    means = {step.id: found.test for step in ladder.steps if (found := gathered[step.id]).test}
    if not means:
        return "No run has finished."
    best = max(means, key=lambda name: means[name].mean)
    goal, figure = percent(ladder.budget.accuracy), f"{best}, {percent(means[best].mean)}"
    if max(test.n for test in means.values()) == 1:
        return f"One run a step: too few to judge. Best so far {figure}; the target is {goal}."
    reached = [step.id for step in ladder.steps if gathered[step.id].target.verdict == "reached"]
    told = f"{_listed(reached)} reach{'es' * (len(reached) == 1)} {goal}" if reached else f"No step is shown to reach {goal}"
    effects = {step.id: effect for step in ladder.steps if (effect := gathered[step.id].effect)}
    helps = [name for name, effect in effects.items() if effect.verdict == "helps"]
    changes = f"; {_changes(helps, len(effects))} shown to help{f' ({_listed(helps)})' if helps else ''}" if effects else ""
    return f"{told}{changes}. Best mean: {figure} over {counted(means[best].n, 'seed')}."


def _changes(helps: Sequence[str], count: int) -> str:
    if count == 1:
        return "the change is" if helps else "the change is not"
    return f"{len(helps) or 'none'} of {count} changes {'are' if len(helps) > 1 else 'is'}"


def following(arguments: Sequence[str], gathered: Mapping[str, Evidence], quick: bool) -> str:
    """What to do after a `run` of these arguments: all of it, where it was a first look; with more seeds, where they are too few to
    judge; look at the page, where they are not."""
    if quick:
        return f"All images and epochs: {command(*without(arguments, {'--quick': 0, '--force': 0}))}"
    if max(len(found.seeds) for found in gathered.values()) < ENOUGH:
        more = [*without(arguments, {"--seeds": 1, "--force": 0}), "--seeds", str(ENOUGH)]
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
    look = "A first look, after a few epochs on a part of the images: no evidence of what the ladder reaches. " if quick else ""
    return [f"{look}{sentence(ladder, gathered)}", f"The page: {page.resolve().as_uri()}", following(arguments, gathered, quick)]


def _listed(names: Sequence[str]) -> str:
    """'A3', 'A3 and A4', 'A1, A2 and A3'."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
