"""The concepts of a step, changed and put together."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any

from stepladder.climb.candidate import Candidate
from stepladder.spec import SpecError
from stepladder.steps import Step


def bare(step: Step) -> Step:
    """Network and recipe of a step, all that decides its runs."""
    return Step("climb", step.network, step.recipe)


@lru_cache(maxsize=4096)
def changed(step: Step, concept: str, value: Any) -> Step | None:
    """The bare step with one concept changed; None where that is no step, or changes nothing."""
    with suppress(SpecError):
        return bare(step.then("changed", **{concept: value}))
    return None


def concept(step: Step, name: str) -> Any:
    """The value of a concept."""
    return step.network if name == "network" else getattr(step.recipe, name)


def units(start: Step, taken: Sequence[Candidate]) -> list[Candidate]:
    """What was taken and still makes a difference: of a field of the recipe the last, unless that is the start's own; of networks
    those that lead to the last without coming back to one."""
    found: list[Candidate] = []
    for candidate in taken:
        if candidate.concept != "network":
            found = [each for each in found if each.concept != candidate.concept]
        elif (again := [each for each in networks(found) if each.value == candidate.value]) or candidate.value == start.network:
            later = networks(found)[networks(found).index(again[0]) :] if again else networks(found)
            found = [each for each in found if each not in later]
        if candidate.value != concept(start, candidate.concept):
            found.append(candidate)
    return found


def networks(kept: Sequence[Candidate]) -> list[Candidate]:
    """Those that change the network."""
    return [each for each in kept if each.concept == "network"]


def built(start: Step, kept: Sequence[Candidate]) -> Step | None:
    """The bare step in which these concepts have their values; None where there is none."""
    network = networks(kept)[-1].value if networks(kept) else start.network
    recipe = {each.concept: each.value for each in kept if each.concept != "network"}
    with suppress(SpecError):
        return Step("climb", network, replace(start.recipe, **recipe))
    return None
