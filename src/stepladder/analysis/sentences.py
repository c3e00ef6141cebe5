"""What a step's runs show, a sentence for each question; each has its figures and claims no more than its verdict does."""

from collections.abc import Sequence
from dataclasses import asdict

from stepladder.analysis.cells import least
from stepladder.analysis.figures import counted, p_value, percent, percents, point_range, points, rounded, size
from stepladder.evidence import ALPHA, MARGIN, Cut, Effect, Estimate, Evidence, Late, McNemar, Share, Target
from stepladder.evidence.paired import smallest_p
from stepladder.spec import Budget, Recipe
from stepladder.steps import Step

LOWERING = ("dropout", "augmentation", "erasing")
"""Concepts that make training images harder than test images, so that the train accuracy is lower than the fit."""


def diverged(evidence: Evidence) -> str:
    """How many runs diverged, and what that means for all other figures."""
    seeds = f"{'seed' if len(evidence.diverged) == 1 else 'seeds'} {', '.join(map(str, evidence.diverged))}"
    of = counted(len(evidence.diverged) + len(evidence.seeds), "run")
    counts = "; what follows leaves them out, but counts them as not holding the target" if evidence.seeds else ""
    return f"{len(evidence.diverged)} of {of} diverged ({seeds}): the loss was no longer finite{counts}."


def accuracy(test: Estimate, evidence: Evidence) -> str:
    """Test accuracy after the last epoch."""
    after = f"After {counted(evidence.epochs, 'epoch')}"
    if test.n == 1:
        return f"{after}, the run of seed {evidence.seeds[0]} answers {percent(test.mean)} of the test images right."
    if test.low is None or test.high is None:
        return f"{after}, each of {test.n} seeds answers {percent(test.mean)} of the test images right."
    return (
        f"{after}, {test.n} seeds answer {percent(test.mean)} of the test images right on average "
        f"(95 % interval {percents(test.low, test.high)}, worst {percent(test.worst)})."
    )


def fit(train: Estimate, test: Estimate, recipe: Recipe) -> str:
    """Train against test, as far as the train figure can be compared."""
    gap = round(train.mean, 4) - round(test.mean, 4)  # of the figures as they are printed
    lowering = [name for name in LOWERING if getattr(recipe, name)]
    what = " and ".join(filter(None, [", ".join(lowering[:-1]), *lowering[-1:]]))
    verb = "lower" if len(lowering) > 1 else "lowers"
    better = "images it trained on are answered better than new ones"
    figures = f"The train accuracy is {percent(train.mean)}, {points(gap)} against test"
    if lowering and rounded(gap) > 0:
        return f"{figures}, although {what} {verb} it: {better}."
    if lowering:
        return f"{figures}; {what} {verb} it, so this gap does not tell how closely the training images are fitted."
    if rounded(gap) > 0:
        return f"{figures}: {better}."
    return f"{figures}: no sign that {better}."


def late(found: Late, before: Late | None, parent: str) -> str:
    """How calm the last epochs are, and whether the accuracy still rises; `before` is the parent's, where there is one."""
    than = f" ({parent}: {size(before.moves.mean)})" if before else ""
    moves = f"In the last {found.epochs} epochs test accuracy moves by {size(found.moves.mean)} from one epoch to the next{than}"
    low, high = found.rise.low, found.rise.high
    if low is None or high is None:
        return f"{moves} and changes by {points(found.rise.mean)} over them."
    interval = f"{points(found.rise.mean)} over them, 95 % interval {point_range(low, high)}"
    if low > 0:
        return f"{moves} and is still rising ({interval})."
    if high < 0:
        return f"{moves} and is falling ({interval})."
    return f"{moves}, and no trend stands out from the scatter ({interval})."


def cut(found: Cut) -> str:
    """What came with the first cut of the learning rate, without saying that the cut alone did it."""
    gain = points(found.gain.mean)
    if found.gain.low is not None and found.gain.high is not None:
        gain += f" (95 % interval {point_range(found.gain.low, found.gain.high)})"
    return (
        f"The learning rate was cut after epoch {found.epoch - 1}: from the {found.epochs} epochs before to the {found.epochs} "
        f"after, the mean changes by {gain} and the move from one epoch to the next goes from {size(found.before)} to "
        f"{size(found.after)}; training on without a cut may do some of that too."
    )


def against(parent: str, found: Effect | None) -> str:
    """The effect of the change and how sure it is."""
    if not found:
        return f"It has 0 finished seeds in common with {parent}, so what the change did is not measured."
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
        f"Against {parent} it is {points(found.mean)}: {counted(images.only_child, 'image')} only this run answers right, "
        f"{images.only_parent:,} only the other (McNemar {p_value(images.p)}), which compares two trained networks and cannot tell "
        f"a change from the seed; {found.verdict}."
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


def errors(evidence: Evidence, before: Evidence | None, parent: str, names: Sequence[str] = ()) -> str:
    """Which classes are confused most, for each run, and how often the parent's runs confuse them; '' without errors."""
    wrong = {
        (label, answer): count
        for label, row in enumerate(evidence.confusion or ())
        for answer, count in enumerate(row)
        if count and answer != label
    }
    if not wrong:
        return ""
    runs = len(evidence.seeds)
    (label, answer), most = max(wrong.items(), key=lambda item: item[1])
    than = ""
    if before and before.confusion:
        than = f" ({parent}: {_each(before.confusion[label][answer], len(before.seeds))})"
    known = {number: share for number, share in enumerate(evidence.per_class or ()) if share is not None}
    least = min(known, key=lambda number: known[number])
    often = _each(most, runs)
    said = names or range(len(evidence.confusion or ()))
    return (
        f"Of {_each(sum(wrong.values()), runs)} errors a run the most frequent is {said[label]} answered as {said[answer]}, "
        f"{often} time{'' if often == '1' else 's'}{than}; "
        f"the class answered least well is {said[least]}, with {percent(known[least])} right."
    )


def _each(count: int, runs: int) -> str:
    """So many for each run, with one digit where it is not whole."""
    return f"{round(count / runs, 1):,}".removesuffix(".0")


def target(step: Step, evidence: Evidence, budget: Budget) -> str:
    """What the step costs, whether its seeds held the accuracy, and the verdict; '' where there is none but that all diverged."""
    found, share, goal = evidence.target, evidence.held, percent(budget.accuracy)
    if found.verdict == "too few epochs to judge":
        return f"Runs of {counted(evidence.epochs, 'epoch')} cannot hold {goal} for {budget.hold}: {found.verdict}."
    costs = [f"{cost.value:,} of {cost.limit:,} {cost.unit}" for cost in step.costs(budget)]
    where = f"{'Over' if found.over else 'Within'} the budget ({', '.join(costs)}),"
    if not share or evidence.lowest is None:
        return f"{where} it has no finished run: {found.verdict}." if found.over else ""
    who = "it" if share.n == 1 else f"{share.count if share.count else 'none'} of {share.n} seeds"
    holds = "did not hold" if share.n == 1 and not share.count else "held"
    when = "in the last epoch" if budget.hold == 1 else f"in each of the last {budget.hold} epochs"
    late = f"{goal} {when} (lowest {percent(evidence.lowest)})"
    bound = least(asdict(share)) if share.n > 1 else ""
    shown = f"{bound.replace(',', ', so')} do" if bound else ""
    return f"{where} {who} {holds} {late}{shown}; {_reached(found, share, budget)}."


def _reached(found: Target, share: Share, budget: Budget) -> str:
    """The verdict with its reason."""
    mean, asked = "the whole interval of the mean lies", percent(budget.held, 0)
    few = f"at most {percent(share.most, 1)} of seeds hold where {asked} must, which more seeds cannot mend"
    if found.verdict == "reached":
        return f"the target is reached, as {mean} at or above it and at least {asked} of the seeds held"
    if found.verdict == "missed":
        return f"the target is missed, as {mean} below it"
    if found.verdict == "accurate, not held":
        return f"{found.verdict}: {mean} at or above the target, but {few}"
    if found.verdict != "undecided":
        return found.verdict
    if found.open == "too few seeds hold for it to be reached":
        return f"the target is undecided, but out of reach: {few}"
    why = {
        "interval contains the target": "the interval of the mean contains it",
        "seeds all agree": "seeds that all agree show no scatter to judge by",
        "share that holds is open": f"{mean} at or above it, but so many seeds leave open whether {asked} hold",
        None: "",
    }[found.open]
    more = f", and about {counted(found.seeds, 'seed')} in all would decide" if found.seeds else ""
    return f"the target is undecided: {why}{more}"
