"""What a step's runs show in two or three sentences: the target, the change, and what stands out."""

from collections.abc import Iterator, Sequence

from stepladder.analysis import grounds
from stepladder.analysis.confusions import confusions, frequent
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
    size,
    times,
)
from stepladder.evidence import MARGIN, Effect, Estimate, Evidence, Exchanged, Share
from stepladder.spec import Budget
from stepladder.steps import Step

LATE = ("schedule", "averaging")
"""Concepts that are there for the late epochs."""


def all_of(step: Step, budget: Budget, evidence: Evidence, before: Evidence | None, names: Sequence[str]) -> Iterator[str]:
    """The sentences on a step with a record; `before` is the evidence of its parent, where that has a finished run."""
    if evidence.diverged:
        yield diverged(evidence)
    parent, effect, verdict = step.parent, evidence.effect, evidence.target.verdict
    if verdict == "one run: too few to judge" and evidence.test:
        yield one_run(evidence.test, budget, effect, parent.id if parent else "")
    elif verdict != "diverged":
        yield target(step, evidence, budget)
    told = verdict == "one run: too few to judge" and effect and effect.verdict == "one pair: too few to judge"
    if parent and evidence.test and not told:
        yield change(parent.id, effect, evidence.exchanged) if effect else grounds.unmeasured(parent.id, before)
    if evidence.test:
        yield standing_out(step, evidence, before, names)


def diverged(evidence: Evidence) -> str:
    """How many runs diverged."""
    lost, seeds = len(evidence.diverged), listed([*map(str, evidence.diverged)])
    which = f"{'seed' if lost == 1 else 'seeds'} {seeds}"
    if evidence.seeds:
        counts = "counts" if lost == 1 else "count"
        return f"{lost} of {lost + len(evidence.seeds)} runs diverged ({which}) and {counts} as not holding the target."
    what = {1: "The only run", 2: "Both runs"}.get(lost, f"All {lost} runs")
    return f"{what} diverged ({which}): the loss was no longer finite."


def one_run(test: Estimate, budget: Budget, effect: Effect | None, parent: str) -> str:
    """What a single run shows of the target, and a single pair of the change, which is nothing."""
    goal = f"the target of {percent(budget.accuracy)}"
    if effect and effect.verdict == "one pair: too few to judge":
        ends = f"{percent(test.mean)}, {points(effect.mean)} against {called(parent)}"
        return f"One run ends at {ends}: too few to judge {goal}, or to tell the change from the seed."
    return f"One run ends at {percent(test.mean)}: too few to judge {goal}."


def target(step: Step, evidence: Evidence, budget: Budget) -> str:
    """The verdict on the target, with the figures that decide it."""
    test, share, goal = evidence.test, evidence.held, percent(budget.accuracy)
    if evidence.target.over:
        beyond = [f"{cost.value:,} {cost.unit} where {cost.limit:,} are allowed" for cost in step.exceeds(budget)]
        return f"It is over budget, with {listed(beyond)}{f'; {_average(test, budget)}' if test else ''}."
    if evidence.target.verdict == "too few epochs to judge":
        return f"Runs of {counted(evidence.epochs, 'epoch')} are too short to judge: {goal} must hold for the last {budget.hold}."
    if not test or not share:
        return ""
    average, mean, must = _average(test, budget), _mean(test, budget), f"{percent(budget.held, 0)} must"
    hold, few, late = (
        _hold(share),
        f"{'only ' if share.count else ''}{_hold(share)}",
        "in the last epoch" if budget.hold == 1 else f"in each of the last {budget.hold} epochs",
    )
    match evidence.target.verdict:
        case "reached":
            held = "all of them" if share.count == test.n else hold
            return f"It reaches the target: {average}, and {held} held {goal} {late}."
        case "missed":
            return f"It misses the target of {goal}: {average}."
        case "accurate, not held":
            return f"It reaches {goal} on average, with {mean}, but does not hold it: {few} did {late}, and {must}."
    match evidence.target.open:
        case "too few seeds hold for it to be reached":
            return f"The mean of {mean} leaves the target undecided, but it is out of reach: {few} held {goal} {late}, and {must}."
        case "share that holds is open":
            would = f"which leaves open whether {percent(budget.held, 0)} would"
            return f"The target is undecided: the mean of {mean} is above it, but {hold} held {goal} {late}, {would}."
        case "seeds all agree":
            return f"The target is undecided: {_all(test.n)} end at {mean}, which shows no scatter to judge by."
    return f"The target is undecided: {average}, which may lie on either side of {goal}."


def change(parent: str, found: Effect, images: Exchanged | None) -> str:
    """The verdict on the change, with the figures that decide it."""
    if found.verdict == "dead":
        return grounds.against(parent, found)
    difference = f"{points(found.mean)} against {called(parent)}"
    if found.n == 1:
        return f"One pair of runs ({difference}) is too few to tell the change from the seed."
    paired = f"{difference} ({found.n} pairs{_interval(95, found.low, found.high)})"
    match found.verdict:
        case "helps" | "hurts":
            return f"The change {found.verdict}: {paired}{_exchange(images)}."
        case "no difference":
            ninety = _interval(90, found.low90, found.high90)
            return f"The change makes no difference above {size(MARGIN)}: {difference} ({found.n} pairs{ninety})."
    return f"Whether the change helps is undecided: {paired}{_open(found)}."


def _exchange(images: Exchanged | None) -> str:
    """'; it fixes 17 images and breaks 2'."""
    if not images or not (images.fixed or images.broken):
        return ""
    fixed = counted(len(images.fixed), "image") if images.fixed else "no image"
    return f"; it fixes {fixed} and breaks {f'{len(images.broken):,}' if images.broken else 'none'}"


def _open(found: Effect) -> str:
    """What leaves an effect undecided, to follow its figures; '' where its interval says it."""
    if found.n < found.pairs_needed:
        return f", and fewer than {found.pairs_needed} cannot show an effect"
    match found.reason:
        case "interval excludes 0, not after Holm" | "p below 0.05, not after Holm":
            return f", {p_value(found.p)}, but {p_value(found.p_holm)[2:]} once corrected for the other steps"
        case "interval excludes 0, the exact test does not":
            return f", which the exact test does not confirm ({p_value(found.p)})"
        case "pairs all agree":
            return ", which all agree and show no scatter to judge by"
    return ""


def standing_out(step: Step, evidence: Evidence, before: Evidence | None, names: Sequence[str]) -> str:
    """What else a reader should know: that the accuracy falls, how calm the last epochs are where the change is for them, else
    what is mistaken for what."""
    late, runs, found = evidence.late, len(evidence.seeds), confusions(evidence)
    if late and (late.rise.high or 0) < 0:
        return f"Test accuracy is falling over the last {late.epochs} epochs ({points(late.rise.mean)})."
    if late and before and before.late and step.parent and step.change and step.change.concept in LATE:
        than = f"({called(step.parent.id)}: {size(before.late.moves.mean)})"
        return f"In the last {late.epochs} epochs, test accuracy moves by {size(late.moves.mean)} from one to the next {than}."
    if not found:
        return "It answers all test images right."
    return f"{frequent(found, names, runs)} ({times(per_run(found.times, runs))})."


def _average(test: Estimate, budget: Budget) -> str:
    """'10 seeds average 99.41 % (95 % interval 99.35 to 99.47 %)'."""
    return f"{'one run ends at' if test.n == 1 else f'{test.n} seeds average'} {_mean(test, budget)}"


def _mean(test: Estimate, budget: Budget) -> str:
    """'99.41 % (95 % interval 99.35 to 99.47 %)', with a digit more where two would not tell a figure from the target."""
    goal = budget.accuracy
    mean = percent(test.mean, apart(goal, test.mean))
    if test.low is None or test.high is None:
        return mean
    return f"{mean} (95 % interval {percents(test.low, test.high, apart(goal, test.low, test.high))})"


def _interval(level: int, low: float | None, high: float | None) -> str:
    """', 95 % interval -0.01 to +0.11'; '' where there is none."""
    if low is None or high is None:
        return ""
    return f", {level} % interval {point_range(low, high).removesuffix(' points')}"


def _hold(share: Share) -> str:
    """'all 10 seeds', '8 of 10 seeds', 'none of 10 seeds'."""
    if share.count == share.n:
        return _all(share.n)
    return f"{share.count or 'none'} of {counted(share.n, 'seed')}"


def _all(seeds: int) -> str:
    return {1: "the one seed", 2: "both seeds"}.get(seeds, f"all {seeds} seeds")
