"""The figures behind an analysis, a line for each question; each claims no more than its verdict does."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from stepladder.analysis.cells import least
from stepladder.analysis.confusions import confusions
from stepladder.analysis.figures import (
    apart,
    called,
    counted,
    listed,
    p_value,
    per_run,
    percent,
    percents,
    point_range,
    points,
    rounded,
    sentence,
    size,
    times,
)
from stepladder.evidence import ALPHA, MARGIN, Cut, Effect, Estimate, Evidence, Exchanged, Late, McNemar, Share, Target
from stepladder.evidence.paired import smallest_p
from stepladder.spec import Budget, Recipe
from stepladder.steps import Step

LOWERING = ("dropout", "augmentation", "erasing")
"""Concepts that make training images harder than test images, so that the train accuracy is lower than the fit."""


def all_of(step: Step, budget: Budget, evidence: Evidence, before: Evidence | None, names: Sequence[str]) -> Iterator[str]:
    """All figures of a step; `before` is the evidence of its parent, where that has a finished run."""
    parent, effect = called(step.parent.id) if step.parent else "", evidence.effect
    if not evidence.test or not evidence.train:
        return
    if evidence.diverged:
        yield diverged(evidence)
    yield accuracy(evidence.test, evidence.train, step, evidence, budget)
    if evidence.late:
        yield late(evidence.late, before.late if before else None, parent)
    if evidence.cut:
        yield cut(evidence.cut)
    if step.parent:
        yield against(step.parent.id, effect) if effect else unmeasured(step.parent.id, before)
    alike = effect and (effect.mcnemar or effect.verdict == "dead")  # and told by `against`
    if before and evidence.exchanged and not alike:
        yield exchanged(evidence.exchanged, len(evidence.seeds), len(before.seeds), parent)
    yield errors(evidence, before, parent, names)
    yield target(step, evidence, budget)


def diverged(evidence: Evidence) -> str:
    """How many runs diverged beside those that finished, and what that means for all other figures."""
    lost = len(evidence.diverged)
    seeds = f"{'seed' if lost == 1 else 'seeds'} {listed([*map(str, evidence.diverged)])}"
    they = "leave it out; it counts" if lost == 1 else "leave them out; they count"
    runs = counted(lost + len(evidence.seeds), "run")
    return f"Diverged: {lost} of {runs} ({seeds}). The other figures {they} as not holding the target."


def accuracy(test: Estimate, train: Estimate, step: Step, evidence: Evidence, budget: Budget) -> str:
    """Test and train accuracy after the last epoch."""
    seeds = f"seed {evidence.seeds[0]}" if test.n == 1 else f"{test.n} seeds" if test.low is not None else f"each of {test.n} seeds"
    mean = percent(test.mean, apart(budget.accuracy, test.mean))
    if test.low is not None and test.high is not None:
        mean += f" (95 % interval {percents(test.low, test.high)}, worst {percent(test.worst)})"
    return f"Accuracy after {counted(evidence.epochs, 'epoch')}, {seeds}: test {mean}, train {_fit(train, test, step.recipe)}."


def _fit(train: Estimate, test: Estimate, recipe: Recipe) -> str:
    """Train against test, as far as the train figure can be compared."""
    gap = round(train.mean, 4) - round(test.mean, 4)  # of the figures as they are printed
    lowering = [name for name in LOWERING if getattr(recipe, name)]
    figure = percent(train.mean)
    if rounded(gap) > 0:
        although = f" although {listed(lowering)} {'lower' if len(lowering) > 1 else 'lowers'} it" if lowering else ""
        return f"{figure}, {size(gap)} above{although}"
    if lowering:
        return f"{figure}, lowered by {listed(lowering)}"
    return f"{figure}, {size(gap)} below" if rounded(gap) else f"{figure}, the same"


def late(found: Late, before: Late | None, parent: str) -> str:
    """How calm the last epochs are, and whether the accuracy still rises; `before` is the parent's, where there is one."""
    than = f" ({parent}: {size(before.moves.mean)})" if before else ""
    moves = f"Last {found.epochs} epochs: test accuracy moves by {size(found.moves.mean)} from one to the next{than}"
    low, high = found.rise.low, found.rise.high
    if low is None or high is None:
        return f"{moves} and changes by {points(found.rise.mean)} over them."
    interval = f"{points(found.rise.mean)} over them, 95 % interval {_range(low, high)}"
    if low > 0:
        return f"{moves} and is still rising ({interval})."
    if high < 0:
        return f"{moves} and is falling ({interval})."
    return f"{moves}; no trend stands out ({interval})."


def cut(found: Cut) -> str:
    """What came with the first cut of the learning rate, without saying that the cut alone did it."""
    gain = points(found.gain.mean)
    if found.gain.low is not None and found.gain.high is not None:
        gain += f" (95 % interval {_range(found.gain.low, found.gain.high)})"
    return (
        f"Learning rate cut after epoch {found.epoch - 1}: from the {found.epochs} epochs before to the {found.epochs} after, the "
        f"mean changes by {gain}, the move from one epoch to the next from {size(found.before)} to {size(found.after)}; training "
        "on without a cut may do some of that too."
    )


def unmeasured(parent: str, before: Evidence | None) -> str:
    """Why there is no effect of the change against the parent of this id."""
    why = f"It shares no finished seed with {called(parent)}" if before else f"{called(parent)} has no finished run"
    return f"{sentence(why)}, so what the change did is not measured."


def against(parent: str, found: Effect) -> str:
    """The effect of the change against the parent of this id, and how sure it is."""
    parent = called(parent)
    if found.verdict == "dead":
        of_all = "the one shared seed" if found.n == 1 else f"all {found.n} shared seeds"
        return f"The change is dead, it did nothing: for {of_all} the final weights are bit for bit those of {parent}."
    if found.mcnemar:
        return _one_pair(parent, found, found.mcnemar)
    interval = "without a spread, no interval"
    if found.low is not None and found.high is not None:
        interval = f"95 % interval {point_range(found.low, found.high)}"
    p = p_value(found.p) if found.p_holm == found.p else f"{p_value(found.p)}, {p_value(found.p_holm)[2:]} after Holm"
    return (
        f"Against {parent}, paired over {found.n} seeds, it is {points(found.mean)} ({interval}, sign-flip {p}, "
        f"anytime {p_value(found.p_anytime)}, {round(found.won * found.n)} of {found.n} pairs won): {_verdict(found)}."
    )


def _one_pair(parent: str, found: Effect, images: McNemar) -> str:
    return (
        f"Against {parent}, with the one seed that both have, it is {points(found.mean)}: "
        f"{counted(images.only_child, 'image')} only this run answers right, {images.only_parent:,} only the other "
        f"(McNemar {p_value(images.p)}), which compares two trained networks and cannot tell a change from "
        f"the seed; {found.verdict}."
    )


def _verdict(found: Effect) -> str:
    if found.verdict in ("helps", "hurts"):
        return f"the change {found.verdict}"
    if found.verdict == "no difference" and found.low90 is not None and found.high90 is not None:
        after = "" if found.p_equivalence_holm == found.p_equivalence else " after Holm"
        interval = f"90 % interval {point_range(found.low90, found.high90)}"
        return f"no difference above {size(MARGIN)} ({interval}, equivalence test {p_value(found.p_equivalence_holm)}{after})"
    return _undecided(found) if found.verdict == "undecided" else found.verdict


def _undecided(found: Effect) -> str:
    """What leaves an effect undecided."""
    if found.n < found.pairs_needed:
        after = " after Holm" if found.least_p > smallest_p(found.n) else ""
        least = f"{found.n} pairs cannot have a p below {found.least_p:.3g}{after}"
        return f"undecided, as {least}; for one below {ALPHA} it takes {found.pairs_needed}"
    if found.reason == "pairs all agree" or found.detectable is None:
        return f"undecided, as {found.n} pairs that all agree show no scatter to judge by"
    after = "" if found.p_holm == found.p else ", after Holm"
    finds = f"at this scatter {found.n} pairs find a difference of {size(found.detectable)} with 80 % power{after}"
    return f"undecided ({found.reason}); {finds}"


def exchanged(found: Exchanged, seeds: int, seeds_before: int, parent: str) -> str:
    """How many images the step fixed and broke of its parent's, and what that means."""
    before = f"the run of {parent}" if seeds_before == 1 else f"most of the {seeds_before} seeds of {parent}"
    here = "the run" if seeds == 1 else f"most of the {seeds}"
    fixed, broken = (f"{len(each):,}" if each else "none" for each in (found.fixed, found.broken))
    are = "is" if len(found.fixed) == 1 else "are"
    return f"Images: of those that {before} missed, {fixed} {are} answered right by {here} here; {broken} the other way round."


def errors(evidence: Evidence, before: Evidence | None, parent: str, names: Sequence[str] = ()) -> str:
    """Which classes are confused most, for each run, and how often the parent's runs confuse them."""
    runs, found = len(evidence.seeds), confusions(evidence)
    if not found:
        return "Errors: 0."
    than = ""
    if before and before.confusion:
        than = f" ({parent}: {per_run(before.confusion[found.label][found.answer], len(before.seeds))})"
    known = {number: share for number, share in enumerate(evidence.per_class or ()) if share is not None}
    least = min(known, key=lambda number: known[number])
    said = names or [str(number) for number in range(len(evidence.confusion or ()))]
    per, most = "" if runs == 1 else " per run", "none more often than" if found.tied else "most often"
    often = f"{said[found.label]} mistaken for {said[found.answer]}, {times(per_run(found.times, runs))}{than}"
    lowest = f"the lowest accuracy of a class is {percent(known[least])} ({said[least]})"
    return f"Errors: {per_run(found.errors, runs)}{per}, {most} {often}; {lowest}."


def target(step: Step, evidence: Evidence, budget: Budget) -> str:
    """The verdict, what it rests on, and what the step costs; '' without a finished run."""
    found, share, goal = evidence.target, evidence.held, percent(budget.accuracy)
    if not share or evidence.lowest is None:
        return ""
    costs = [f"{cost.value:,} of {cost.limit:,} {cost.unit}" for cost in step.costs(budget)]
    verdict = "undecided, but out of reach" if found.open == "too few seeds hold for it to be reached" else found.verdict
    if found.verdict == "too few epochs to judge":
        held = f"runs of {counted(evidence.epochs, 'epoch')} cannot hold {goal} for {budget.hold}"
    else:
        who = "it" if share.n == 1 else f"{share.count or 'none'} of {share.n} seeds"
        holds = "did not hold" if share.n == 1 and not share.count else "held"
        when = "in the last epoch" if budget.hold == 1 else f"in each of the last {budget.hold} epochs"
        held = f"{who} {holds} {goal} {when} (lowest {percent(evidence.lowest)}){_shown(found, share, budget)}"
    return f"Target ({verdict}): {held}; {', '.join(costs)}."


def _shown(found: Target, share: Share, budget: Budget) -> str:
    """What so many seeds show of all, and of the mean, as far as the verdict rests on it; to follow how many held."""
    asked, bound = percent(budget.held, 0), least(asdict(share)) if share.n > 1 else ""
    at_least = f"{bound.replace(',', ', so')} do" if bound else ""
    if found.verdict == "accurate, not held" or found.open == "too few seeds hold for it to be reached":
        return f", so at most {percent(share.most, 1)} of seeds do where {asked} must"
    if found.verdict == "missed":
        return ", and the whole interval of the mean lies below it"
    if found.open is None:
        return at_least
    why = {
        "interval contains the target": "the interval of the mean contains it",
        "seeds all agree": "seeds that all agree show no scatter to judge by",
        "share that holds is open": f"that leaves open whether {asked} would",
    }[found.open]
    return f"{at_least}; {why}{f'; about {found.seeds} seeds in all would decide' if found.seeds else ''}"


def _range(low: float, high: float) -> str:
    return point_range(low, high).removesuffix(" points")
