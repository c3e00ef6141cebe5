"""Evidence put into words: a paragraph for each step, each sentence with its figures, none that the figures do not carry."""

from collections.abc import Sequence

from stepladder.analysis import cells, sentences
from stepladder.analysis.figures import counted, p_value, percent, percents, point_range, points, size
from stepladder.analysis.suggestion import suggestion
from stepladder.evidence import Evidence
from stepladder.spec import Budget
from stepladder.steps import Step

__all__ = ["analyse", "cells", "counted", "p_value", "percent", "percents", "point_range", "points", "size"]


def analyse(step: Step, budget: Budget, evidence: Evidence, parent: Evidence | None = None, names: Sequence[str] = ()) -> str:
    """What the runs of a step show, as a paragraph; `parent` is the evidence of the step before, to tell what moved, `names` are
    those of the classes, by default their numbers."""
    if evidence.target.verdict == "not run":
        return "Not run."
    found = [sentences.diverged(evidence)] if evidence.diverged else []
    name = step.parent.id if step.parent else ""
    before = parent if step.parent and parent and parent.test else None
    if evidence.test and evidence.train:
        found += [sentences.accuracy(evidence.test, evidence), sentences.fit(evidence.train, evidence.test, step.recipe)]
    if evidence.late:
        found.append(sentences.late(evidence.late, before.late if before else None, name))
    if evidence.cut:
        found.append(sentences.cut(evidence.cut))
    if evidence.test and step.parent:
        found.append(sentences.against(name, evidence.effect))
    found += [sentences.errors(evidence, before, name, names), sentences.target(step, evidence, budget)]
    found.append(suggestion(step, budget, evidence))
    return " ".join(filter(None, found))
