"""What to try next: one thing, and what speaks for it."""

from collections.abc import Iterator

from stepladder.analysis.cells import PLANNED
from stepladder.analysis.figures import apart, called, counted, listed, percent, rounded, size
from stepladder.analysis.grounds import LOWERING
from stepladder.evidence import MARGIN, Estimate, Evidence
from stepladder.spec import Budget, OneCycle
from stepladder.steps import Step

WIDER = 0.05
"""The share of the budget's parameters from which on those left over are worth a wider network."""


def suggestion(step: Step, budget: Budget, evidence: Evidence) -> str:
    """The first that applies, as a sentence: what must be put right, then what must be known, then what could be better; never
    what the recipe has already."""
    found = next(_in_order(step, budget, evidence))
    return f"{found[0].upper()}{found[1:]}."


def _in_order(step: Step, budget: Budget, evidence: Evidence) -> Iterator[str]:
    yield from _repairs(step, budget, evidence)
    if not evidence.test:
        return
    target = evidence.target
    if target.verdict == "one run: too few to judge":
        many = f"train about {target.seeds} seeds in all" if target.seeds else "train more seeds"
        yield f"{many}, {PLANNED}: one run is too few to judge by"
    if target.verdict == "reached" and evidence.test.low is not None:
        spare = evidence.test.low - budget.accuracy
        by = f" with {size(spare)} to spare" if rounded(spare) else ""
        yield f"try fewer than {step.network.parameters:,} parameters: the target is reached{by}"
    if target.seeds:
        yield from _seeds(step, evidence, budget.accuracy)
    yield from _improvements(step, budget, evidence)
    yield from _seeds(step, evidence, budget.accuracy)
    yield from _last(step, budget, evidence, evidence.test)


def _repairs(step: Step, budget: Budget, evidence: Evidence) -> Iterator[str]:
    """What keeps the step from being judged, or makes it one to leave."""
    if evidence.diverged:
        peak = step.recipe.schedule.peak if isinstance(step.recipe.schedule, OneCycle) else step.recipe.learning_rate
        yield f"try a learning rate below {peak:g}: {counted(len(evidence.diverged), 'run')} diverged"
    effect, parent = evidence.effect, step.parent
    if effect and effect.verdict == "dead":
        yield "put the change right or take it out: it does nothing"
    if beyond := [f"{cost.value - cost.limit:,} {cost.unit}" for cost in step.exceeds(budget)]:
        yield f"bring it within the budget, which it exceeds by {listed(beyond)}"
    if evidence.target.verdict == "too few epochs to judge":
        yield f"train for at least {counted(budget.hold, 'epoch')}: {step.recipe.epochs} cannot show whether the target holds"
    if parent and effect and effect.verdict == "hurts" and step.network.parameters >= parent.network.parameters:
        yield f"go back to {called(parent.id)} and change something else: this change costs {size(effect.mean)}"


def _seeds(step: Step, evidence: Evidence, accuracy: float) -> Iterator[str]:
    """More runs, where they would tell what is not known."""
    effect, parent, target, test = evidence.effect, step.parent, evidence.target, evidence.test
    if parent and not effect:
        yield f"train {called(parent.id)} with the same seeds as this step: they share none"
    if parent and effect and effect.n < effect.pairs_needed and effect.verdict != "dead":
        many = max(effect.pairs_needed, target.seeds or 0)
        fewer = f"fewer than {effect.pairs_needed} cannot show an effect"
        yield f"train {many} seeds of this step and of {called(parent.id)} in all, {PLANNED}: {fewer}"
    if target.seeds and test and test.mean >= accuracy:
        yield f"train about {target.seeds} seeds in all, {PLANNED}: so many would decide the target"
    if parent and effect and effect.verdict == "undecided" and (effect.detectable is None or effect.detectable > MARGIN):
        yield (
            f"train more than {effect.n} seeds of this step and of {called(parent.id)} in all, {PLANNED}: "
            f"these are too few to see a difference of {size(MARGIN)}"
        )


def _improvements(step: Step, budget: Budget, evidence: Evidence) -> Iterator[str]:
    """One concept for what the curves show to be wanting."""
    recipe, test, train, late = step.recipe, evidence.test, evidence.train, evidence.late
    if train and test and _above(train, test):
        gap = f"train accuracy is {size(train.mean - test.mean)} above test accuracy"
        if not recipe.augmentation:
            yield f"try augmentation: {gap}"
        if not recipe.dropout:
            yield f"try dropout: {gap}"
    if late and late.moves.mean > MARGIN:
        moves = f"in the last {late.epochs} epochs test accuracy still moves by {size(late.moves.mean)} from one to the next"
        if not recipe.schedule:
            yield f"try a schedule that lowers the learning rate: {moves}"
        if not recipe.averaging:
            yield f"try averaging the weights: {moves}"
    left = budget.epochs - recipe.epochs
    if late and (late.rise.low or 0) > 0 and left > 0:
        yield f"train longer: test accuracy is still rising, and the budget has {counted(left, 'epoch')} left"
    spare = budget.parameters - step.network.parameters
    if train and test and not _above(train, test) and spare >= WIDER * budget.parameters:
        yield f"try a wider network: train accuracy is not above test accuracy, and the budget has {spare:,} parameters left"


def _above(train: Estimate, test: Estimate) -> bool:
    """Whether the train accuracy is above the test accuracy by more than the scatter of either."""
    return train.low is not None and test.high is not None and train.low > test.high


def _last(step: Step, budget: Budget, evidence: Evidence, test: Estimate) -> Iterator[str]:
    """A concept for a step in which nothing stands out."""
    reason = f"the mean is {percent(test.mean, apart(budget.accuracy, test.mean))}, the target {percent(budget.accuracy)}"
    if test.mean >= budget.accuracy and evidence.held:
        reason = f"the mean is not below the target, which {evidence.held.count or 'none'} of {evidence.held.n} seeds held"
    if not step.recipe.schedule:
        yield f"try a schedule that lowers the learning rate: {reason}"
    if not any(getattr(step.recipe, name) for name in LOWERING):
        yield f"try augmentation: {reason}"
    yield f"try another network of at most {budget.parameters:,} parameters: {reason}"
