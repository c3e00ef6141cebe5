"""Whether a whole ladder does what it is for: its last step that is kept reaches the target, and no step is broken."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from stepladder.evidence.gather import Evidence
from stepladder.steps import Ladder

Status = Literal["reached", "failed", "undecided"]
Fault = Literal["over budget", "dead", "missed", "accurate, not held", "diverged", "not run", "not quantised"]


@dataclass(frozen=True)
class Failure:
    """What is wrong with a step."""

    step: str
    fault: Fault


@dataclass(frozen=True)
class Outcome:
    """Failed where there are `failures`: any step over the budget or dead, or the last that is kept (`step`) not run,
    diverged, missing the target, not holding it or, where integers are judged, without any. Reached where that step reaches it.
    Undecided where its runs or epochs are too few to tell. The steps before it are on their way."""

    status: Status
    step: str
    failures: tuple[Failure, ...]


def outcome(ladder: Ladder, gathered: Mapping[str, Evidence], refused: Collection[str] = ()) -> Outcome:
    """The outcome of the evidence that `gather` found: of all steps, or of some, the last of which that is kept (else the last)
    is to reach the target; `refused` are those of which there are no integers to be judged."""
    steps = [step for step in ladder.steps if step.id in gathered]
    last = ([step for step in steps if step.kept] or steps)[-1].id
    verdict = gathered[last].target.verdict
    failures = [Failure(step.id, "over budget") for step in steps if gathered[step.id].target.over]
    for step in steps:
        effect = gathered[step.id].effect
        if effect and effect.verdict == "dead":
            failures.append(Failure(step.id, "dead"))
    if last in refused:
        failures.append(Failure(last, "not quantised"))
    elif verdict in ("missed", "accurate, not held", "diverged", "not run"):
        failures.append(Failure(last, verdict))
    status: Status = "failed" if failures else "reached" if verdict == "reached" else "undecided"
    return Outcome(status, last, tuple(failures))
