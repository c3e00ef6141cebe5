"""What to try next: one thing, and the figure that speaks for it."""

from collections.abc import Iterator

from stepladder.analysis.cells import PLANNED
from stepladder.analysis.figures import counted, percent, size
from stepladder.analysis.sentences import LOWERING
from stepladder.evidence import MARGIN, Estimate, Evidence
from stepladder.spec import Budget, OneCycle, Recipe
from stepladder.steps import Step

WIDER = 0.05
"""The share of the budget's parameters from which on those left over are worth a wider network."""


def suggestion(step: Step, budget: Budget, evidence: Evidence) -> str:
    """The first that applies: what must be put right, then what must be known, then what could be better; never what the
    recipe has already."""
    return f"Next: {next(_in_order(step, budget, evidence))}."


def _in_order(step: Step, budget: Budget, evidence: Evidence) -> Iterator[str]:
    yield from _repairs(step, budget, evidence)
    if not evidence.test:
        return
    target = evidence.target
    if target.verdict == "one run: too few to judge":
        many = f"about {target.seeds} seeds in all, {PLANNED}," if target.seeds else "more seeds,"
        yield f"{many} as 1 run is too few to judge"
    if target.verdict == "reached" and evidence.test.low is not None:
        spare = size(evidence.test.low - budget.accuracy)
        yield f"fewer than {step.network.parameters:,} parameters, as the interval begins {spare} above the target"
    if target.seeds:
        yield from _seeds(step, evidence, budget.accuracy)
    yield from _improvements(step, budget, evidence)
    yield from _seeds(step, evidence, budget.accuracy)
    yield from _last(step.recipe, budget, evidence, evidence.test)


def _repairs(step: Step, budget: Budget, evidence: Evidence) -> Iterator[str]:
    """What keeps the step from being judged, or makes it one to leave."""
    if evidence.diverged:
        peak = step.recipe.schedule.peak if isinstance(step.recipe.schedule, OneCycle) else step.recipe.learning_rate
        yield f"a learning rate below {peak:g}, as {counted(len(evidence.diverged), 'run')} diverged"
    effect, parent = evidence.effect, step.parent
    if effect and effect.verdict == "dead":
        yield "put the change right or take it out, as 0 weights differ"
    if beyond := [f"{cost.value:,} of {cost.limit:,} {cost.unit}" for cost in step.exceeds(budget)]:
        yield f"a step within the budget, as this one has {' and '.join(beyond)}"
    if evidence.target.verdict == "too few epochs to judge":
        yield f"at least {budget.hold} epochs, as {step.recipe.epochs} cannot show whether the target holds"
    if parent and effect and effect.verdict == "hurts" and step.network.parameters >= parent.network.parameters:
        yield f"go back to {parent.id} and change something else, as this change costs {size(effect.mean)}"


def _seeds(step: Step, evidence: Evidence, accuracy: float) -> Iterator[str]:
    """More runs, where they would tell what is not known."""
    effect, parent, target, test = evidence.effect, step.parent, evidence.target, evidence.test
    if parent and not effect:
        yield f"runs of {parent.id} with the same {counted(len(evidence.seeds), 'seed')}, as 0 are shared"
    if parent and effect and effect.n < effect.pairs_needed and effect.verdict != "dead":
        many = max(effect.pairs_needed, target.seeds or 0)
        fewer = f"fewer than {effect.pairs_needed} cannot show an effect"
        yield f"{many} seeds of this step and of {parent.id} in all, {PLANNED}, as {fewer}"
    if target.seeds and test and test.mean >= accuracy:
        yield f"about {target.seeds} seeds in all, {PLANNED}, as the mean is {size(test.mean - accuracy)} above the target"
    if parent and effect and effect.verdict == "undecided" and (effect.detectable is None or effect.detectable > MARGIN):
        yield (
            f"more than {effect.n} seeds of this step and of {parent.id} in all, {PLANNED}, "
            f"as these are too few to see {size(MARGIN)}"
        )


def _improvements(step: Step, budget: Budget, evidence: Evidence) -> Iterator[str]:
    """One concept for what the curves show to be wanting."""
    recipe, test, train, late = step.recipe, evidence.test, evidence.train, evidence.late
    if train and test and _above(train, test):
        gap = f"training images are answered {size(train.mean - test.mean)} better than new ones"
        if not recipe.augmentation:
            yield f"augmentation, as {gap}"
        if not recipe.dropout:
            yield f"dropout, as {gap}"
    if late and late.moves.mean > MARGIN:
        moves = f"the last {late.epochs} epochs still move by {size(late.moves.mean)} from one to the next"
        if not recipe.schedule:
            yield f"a schedule whose learning rate falls, as {moves}"
        if not recipe.averaging:
            yield f"averaging of the weights, as {moves}"
    left = budget.epochs - recipe.epochs
    if late and (late.rise.low or 0) > 0 and left > 0:
        yield f"more epochs, as the accuracy is still rising and the budget has {counted(left, 'epoch')} left"
    spare = budget.parameters - step.network.parameters
    if train and test and not _above(train, test) and spare >= WIDER * budget.parameters:
        yield f"a wider network, as train is not above test and the budget has {counted(spare, 'parameter')} left"


def _above(train: Estimate, test: Estimate) -> bool:
    """Whether the train accuracy is above the test accuracy by more than the scatter of either."""
    return train.low is not None and test.high is not None and train.low > test.high


def _last(recipe: Recipe, budget: Budget, evidence: Evidence, test: Estimate) -> Iterator[str]:
    """A concept for a step in which nothing stands out."""
    reason = f"the mean is {percent(test.mean)} for a target of {percent(budget.accuracy)}"
    if not recipe.schedule:
        yield f"a schedule whose learning rate falls, as {reason}"
    if not any(getattr(recipe, name) for name in LOWERING):
        yield f"augmentation, as {reason}"
    yield f"another network of at most {budget.parameters:,} parameters, as {reason}"
