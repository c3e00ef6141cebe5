"""The verdict on a step's target: whether it keeps within the budget and its seeds reach the accuracy and hold it."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from stepladder.evidence.effects import Effect
from stepladder.evidence.estimates import CONFIDENCE, SAME, Estimate, Share
from stepladder.spec import Budget
from stepladder.steps import Step

TargetVerdict = Literal[
    "reached", "accurate, not held", "missed", "undecided", "one run: too few to judge", "too few epochs to judge", "over budget",
    "diverged", "not run",
]  # fmt: skip
Open = Literal[
    "interval contains the target", "seeds all agree", "too few seeds hold for it to be reached", "share that holds is open"
]  # fmt: skip
MOST = 1000
"""Beyond so many seeds, a number would be no plan."""


@dataclass(frozen=True)
class Target:
    """The verdict, the first that applies:

    - not run: there is no record; over budget: `over` names of what (parameters, epochs, macs, ram, flash)
    - too few epochs to judge: fewer than must hold; diverged: of the runs none finished
    - one run: too few to judge: only one has finished
    - missed: the 95 % interval of the mean lies below the target
    - reached: it lies at or above, and the share of seeds that hold is at least what the budget asks for
    - accurate, not held: it lies at or above, and the share is shown to be smaller (its exact bound is), which more seeds
      cannot mend
    - undecided: the rest, for the reason in `open`

    `seeds`: about how many in all would do, those that diverged among them; None where it is decided, where so few hold that no
    number can reach it, and where none can be told. Seeds that diverged hold nothing.
    """

    verdict: TargetVerdict
    seeds: int | None = None
    open: Open | None = None
    over: tuple[str, ...] = ()


def target(step: Step, budget: Budget, test: Estimate | None, held: Share | None, images: int) -> Target:
    """The verdict on the last epochs `test` of the finished seeds and the share of all seeds that `held` (None without a
    record); `images` is the size of the test set."""
    over = tuple(cost.name for cost in step.exceeds(budget))
    if not held:
        return Target("not run", over=over)
    if over:
        return Target("over budget", over=over)
    if step.recipe.epochs < budget.hold:
        return Target("too few epochs to judge")
    if not test:
        return Target("diverged")
    if test.n == 1:
        return Target("one run: too few to judge", _enough(test, held, budget, images))
    if test.high is not None and test.high < budget.accuracy:
        return Target("missed")
    accurate = test.low is not None and test.low >= budget.accuracy
    if accurate and held.share >= budget.held:
        return Target("reached")
    if held.most < budget.held:
        return Target("accurate, not held") if accurate else Target("undecided", open="too few seeds hold for it to be reached")
    why: Open = "seeds all agree" if test.low is None else "interval contains the target"
    return Target("undecided", _enough(test, held, budget, images), "share that holds is open" if accurate else why)


def beside(found: Target, effect: Effect | None) -> Target:
    """The target of a step whose change is judged too: where it has one run, `seeds` would do for both."""
    if found.verdict != "one run: too few to judge" or not found.seeds or not effect:
        return found
    return replace(found, seeds=max(found.seeds, effect.pairs_needed))


def _enough(test: Estimate, held: Share, budget: Budget, images: int) -> int | None:
    """How many seeds in all decide the mean and, where it is not below the target, the share that holds."""
    plans = [_for_mean(test, held.n - test.n, budget.accuracy, images)]
    if test.mean >= budget.accuracy:
        plans.append(_for_share(held, budget))
    known = [plan for plan in plans if plan is not None]
    return max(known) if len(known) == len(plans) else None


def _for_mean(test: Estimate, lost: int, accuracy: float, images: int) -> int | None:
    """With how many seeds the half-width of the t-interval is smaller than its distance from the target, at the spread found.

    Without a spread, at that of runs whose errors are calibrated, sqrt(error / (2 images)) (Jordan 2023): a floor.
    """
    from scipy import stats  # here and below, as in `estimates`

    distance = abs(test.mean - accuracy)
    if distance < SAME:
        return None
    sd = test.sd or ((1 - test.mean) / (2 * images)) ** 0.5
    n = np.arange(test.n if test.sd else test.n + 1, MOST + 1)
    halves = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * sd / np.sqrt(n)
    enough = np.flatnonzero(halves < distance)
    return int(n[enough[0]]) + lost if len(enough) else None


def _for_share(held: Share, budget: Budget) -> int | None:
    """With how many seeds a share like the one found is shown to be too small; those there are, where it is large enough."""
    if held.share >= budget.held:
        return held.n
    from scipy import stats

    n = np.arange(held.n, MOST + 1)
    count = np.round(held.share * n)
    enough = np.flatnonzero(stats.beta.ppf(CONFIDENCE, count + 1, n - count) < budget.held)
    return int(n[enough[0]]) if len(enough) else None
