"""Evidence put into words: a few sentences for each step, each with its figures, none that the figures do not carry."""

from stepladder.evidence import Effect, Estimate, Evidence, Share
from stepladder.spec import Budget, Recipe, Step


def percent(fraction: float, digits: int = 2) -> str:
    """A fraction as a percentage: 0.9941 is '99.41 %'."""
    return f"{100 * fraction:.{digits}f} %"


def points(difference: float) -> str:
    """A difference of fractions in percentage points, with its sign: 0.0005 is '+0.05 points'."""
    return f"{_signed(difference)} points"


def percents(low: float, high: float, digits: int = 2) -> str:
    """A range of fractions: '99.35 to 99.47 %'."""
    return f"{100 * low:.{digits}f} to {percent(high, digits)}"


def point_range(low: float, high: float) -> str:
    """A range of differences: '-0.01 to +0.11 points'."""
    return f"{_signed(low)} to {points(high)}"


def counted(n: int, noun: str) -> str:
    """'1 seed', '9,060 parameters'."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def analyse(step: Step, budget: Budget, evidence: Evidence) -> str:
    """What the runs of a step show, as a paragraph."""
    sentences = [_diverged(evidence)] if evidence.diverged else []
    if not evidence.test or not evidence.train:
        return " ".join(sentences) or "Not run."
    sentences += [_accuracy(evidence.test, evidence), _fit(evidence.train, evidence.test, step.recipe)]
    if step.parent:
        sentences.append(_against(step.parent.id, evidence))
    sentences += [_held(evidence, budget), _best(evidence)]
    return " ".join(sentence for sentence in sentences if sentence)


def _accuracy(test: Estimate, evidence: Evidence) -> str:
    after = f"After {counted(evidence.epochs, 'epoch')}"
    if test.n == 1:
        return f"{after}, the run of seed {evidence.seeds[0]} answers {percent(test.mean)} of the test images right."
    if test.low is None or test.high is None:
        return f"{after}, each of {test.n} seeds answers {percent(test.mean)} of the test images right."
    return (
        f"{after}, {test.n} seeds answer {percent(test.mean)} of the test images right on average "
        f"(95 % interval {percents(test.low, test.high)}, worst {percent(test.worst)})."
    )


def _fit(train: Estimate, test: Estimate, recipe: Recipe) -> str:
    """Train against test, as far as the train figure can be compared."""
    gap = round(train.mean, 4) - round(test.mean, 4)  # of the figures as they are printed
    lowering = [name for name in ("dropout", "augmentation") if getattr(recipe, name)]
    what = " and ".join(lowering)
    better = "images it trained on are answered better than new ones"
    verb = "lower" if len(lowering) > 1 else "lowers"
    figures = f"The train accuracy is {percent(train.mean)}, {points(gap)} against test"
    if lowering and _rounded(gap) > 0:
        return f"{figures}, although {what} {verb} it: {better}."
    if lowering:
        return f"{figures}; {what} {verb} it, so this gap does not tell how closely the training images are fitted."
    if _rounded(gap) > 0:
        return f"{figures}: {better}."
    return f"{figures}: no sign that {better}."


def _against(parent: str, evidence: Evidence) -> str:
    effect = evidence.effect
    if not effect:
        return f"It has 0 finished seeds in common with {parent}, so what the change did is not measured."
    if evidence.live is False:
        of_all = "the one shared seed" if effect.n == 1 else f"all {effect.n} shared seeds"
        return f"The change did nothing: for {of_all} the final weights are bit for bit those of {parent}."
    if effect.n == 1:
        return f"Against {parent} it is {points(effect.mean)}; one run each cannot tell a change from the seed."
    if effect.low is None or effect.high is None:
        return f"Against {parent} it is {points(effect.mean)} in each of {effect.n} pairs: without a spread, no interval."
    return (
        f"Against {parent}, paired over {effect.n} seeds, it is {points(effect.mean)} "
        f"(95 % interval {point_range(effect.low, effect.high)}): {_reading(effect, effect.low, effect.high)}."
    )


def _reading(effect: Effect, low: float, high: float) -> str:
    """What an interval allows to say."""
    if low > 0:
        return "the interval excludes 0, in favour of the change"
    if high < 0:
        return "the interval excludes 0, against the change"
    return f"the interval includes 0, so these {effect.n} seeds do not tell the change from their scatter"


def _held(evidence: Evidence, budget: Budget) -> str:
    target, share = f"the target of {percent(budget.accuracy)}", evidence.held
    if not share or evidence.lowest is None:
        return ""
    if evidence.epochs < budget.hold:
        return f"Runs of {counted(evidence.epochs, 'epoch')} are too short to hold {target} for {budget.hold}."
    late = f"each of the last {budget.hold} epochs (lowest {percent(evidence.lowest)})"
    if share.n == 1:
        return f"It {'held' if share.count else 'did not hold'} {target} in {late}."
    return f"{_of(share)} held {target} in {late}; the 95 % interval of that share is {percents(share.low, share.high, 0)}."


def _of(share: Share) -> str:
    return f"{share.count if share.count else 'None'} of {share.n} seeds"


def _best(evidence: Evidence) -> str:
    best = evidence.best
    if not best:
        return ""
    looked = f"{counted(best.epochs, 'epoch')} x {counted(best.seeds, 'seed')}"
    return f"Best of {looked}: {percent(best.accuracy)}, a maximum picked on the test set."


def _diverged(evidence: Evidence) -> str:
    seeds = f"{'seed' if len(evidence.diverged) == 1 else 'seeds'} {', '.join(map(str, evidence.diverged))}"
    of = counted(len(evidence.diverged) + len(evidence.seeds), "run")
    counts = "; what follows leaves them out, but counts them as not holding the target" if evidence.seeds else ""
    return f"{len(evidence.diverged)} of {of} diverged ({seeds}): the loss was no longer finite{counts}."


def _rounded(difference: float) -> float:
    """As it is printed, so that the words fit the figure beside them."""
    return round(100 * difference, 2)


def _signed(difference: float) -> str:
    return f"{_rounded(difference) + 0.0:+.2f}"  # + 0.0: a difference that rounds to nothing is no '-0.00'
