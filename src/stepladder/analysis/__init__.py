"""Evidence put into words: what a ladder and each of its steps show, and no claim that their verdicts do not carry."""

from collections.abc import Sequence
from typing import NamedTuple

from stepladder.analysis import cells, grounds, sentences
from stepladder.analysis.figures import counted, p_value, percent, percents, point_range, points, size
from stepladder.analysis.headline import headline, seeds_needed
from stepladder.analysis.suggestion import suggestion
from stepladder.evidence import Evidence
from stepladder.spec import Budget
from stepladder.steps import Step

__all__ = [
    "Analysis", "analyse", "cells", "counted", "headline", "p_value", "percent", "percents", "point_range", "points",
    "seeds_needed", "size",
]  # fmt: skip


class Analysis(NamedTuple):
    """What the runs of a step show in a few sentences, what to do `next`, and the `figures` behind both, a sentence each."""

    text: str
    next: str = ""
    figures: tuple[str, ...] = ()


def analyse(step: Step, budget: Budget, evidence: Evidence, parent: Evidence | None = None, names: Sequence[str] = ()) -> Analysis:
    """What the runs of a step show; `parent` is the evidence of the step before, to tell what moved, `names` are those of the
    classes, by default their numbers."""
    if evidence.target.verdict == "not run":
        return Analysis("Not run.")
    before = parent if step.parent and parent and parent.test else None
    return Analysis(
        text=" ".join(sentences.all_of(step, budget, evidence, before, names)),
        next=suggestion(step, budget, evidence),
        figures=tuple(grounds.all_of(step, budget, evidence, before, names)),
    )
