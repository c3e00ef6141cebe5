"""The decisions of a climb: a function of its plan and of runs, which are asked for one after the other in an order that no
worker's pace changes."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import stdev
from typing import Any, NamedTuple

from stepladder.climb.candidate import Candidate
from stepladder.climb.concepts import bare, built, changed, concept, networks, units
from stepladder.climb.plan import (
    CONFIRMED,
    DIRECT,
    EXPLORE,
    EXPLORING,
    FEW_KEPT,
    PAIRS,
    PRUNE,
    TRIED,
    VERIFIED,
    VERIFY,
    Figure,
    Need,
    Plan,
)  # fmt: skip
from stepladder.climb.sequential import Limits, Spread, Test, pooled, sequential
from stepladder.spec import Network
from stepladder.steps import Step

AFTER_ONE, AFTER_TWO = -1.0, -0.4
"""A candidate whose mean difference lies below it after one and two seeds is dropped; in differences that are looked for."""
PRUNED = "pruned"
"""The name of the move to the smallest network."""
DIVERGED, CURED = -3.0, 1.0
"""What a run that diverged is worse by than the present step's, and what one is better by where that diverged; in differences that
are looked for. An accuracy of 0 would decide any test by itself."""
CLEAR = 8
"""Pairs that are left for each test which still waits: what helps much is shown by fewer, and what takes more comes to little."""
SEEDS = 3
"""Of a candidate that explores."""

Ask = Callable[[Need, Sequence[float]], Figure]
"""The figure of a run; told what accuracies it may have, the likeliest first, for whoever wants to look ahead."""


class Move(NamedTuple):
    """A candidate that was taken, and what was tested of it: None while nothing is."""

    candidate: Candidate
    test: Test | None = None


@dataclass
class Climb:
    """A climb under way. `step` is where it stands, `taken` the moves that lead there from the plan's start."""

    plan: Plan
    ask: Ask
    step: Step
    taken: list[Move] = field(default_factory=list)
    dropped: list[Move] = field(default_factory=list)
    """Taken, and not shown to help."""
    decisions: list[dict[str, Any]] = field(default_factory=list)
    spent: float = 0.0
    history: list[Candidate] = field(default_factory=list)
    """All that was taken, in order, also what was taken back since."""
    figures: dict[Need, Figure] = field(default_factory=dict)
    arms: dict[tuple[Step, int], list[float]] = field(default_factory=dict)
    """The accuracies of the runs of a step that one part judges, but for those that diverged."""
    tried: dict[str, list[Step]] = field(default_factory=dict)
    """The steps on which each candidate was discarded, its own concept as in the start."""

    def run(self, step: Step, seed: int, fold: int, guesses: Sequence[float]) -> float:
        """The accuracy of a run, paid for once."""
        need = Need(step, seed, fold)
        if need not in self.figures:
            figure = self.ask(need, guesses)
            self.figures[need] = figure
            self.spent += figure.cost
            if figure.accuracy:
                self.arms.setdefault((step, fold), []).append(figure.accuracy)
        return self.figures[need].accuracy

    def decide(self, **entry: Any) -> None:
        """Write a decision down."""
        self.decisions.append(entry)

    def spread(self, *steps: Step) -> Spread:
        """Of an accuracy over seeds, pooled within the runs of these steps alone: recipes differ in it, by ten times and more where
        one of them averages its weights."""
        return pooled([self.arms.get((step, fold), []) for step in steps for fold in range(self.plan.folds)], self.plan.deviation)

    def difference(self, *steps: Step) -> float:
        """That which a comparison of these steps looks for: the plan's, and more where runs deviate by more than it expects, as
        nothing so small could be shown of them."""
        return self.plan.difference * max(1.0, self.spread(*steps).deviation / self.plan.deviation)

    @property
    def reserve(self) -> float:
        """What the confirmation will cost."""
        if self.plan.locked:
            return 0.0
        return 2 * CONFIRMED * self.mean_cost * self.plan.whole

    @property
    def left(self) -> float:
        """What may still be spent before the confirmation."""
        return self.plan.total - self.reserve - self.spent

    @property
    def mean_cost(self) -> float:
        """Of a run."""
        return self.spent / len(self.figures) if self.figures else 1.0


def climb(now: Climb) -> None:
    """A whole climb but for its confirmation; `ask` may raise, for a run that is not there yet."""
    if now.plan.few:
        _walk(now, _tested)
    else:
        _walk(now, _explored)
        _verify(now)
    _prune(now)


def _walk(now: Climb, judge: Callable[[Climb, Candidate, Step], Move | None]) -> None:
    """Try candidates until a whole pass takes none, or nothing is left for more."""
    while candidate := next(_untried(now), None):
        step = changed(now.step, candidate.concept, candidate.value)
        assert step is not None
        around = _around(now, candidate)
        if not _affords(now):
            now.decide(phase="explore", ends="the runs for it are used")
            return
        if move := judge(now, candidate, step):
            now.step = step
            now.taken.append(move)
            now.history.append(candidate)
        else:
            now.tried.setdefault(candidate.name, []).append(around)
    now.decide(phase="explore", ends="a whole pass took nothing")


def _affords(now: Climb) -> bool:
    """Whether one more candidate fits before what is kept for tests and confirmation."""
    kept = FEW_KEPT if now.plan.few else 1 - EXPLORING
    arms = 0 if now.plan.few else len(units(now.plan.start, [move.candidate for move in now.taken])) + 2
    return now.left >= max(kept * (now.plan.total - now.reserve), arms * PAIRS * now.mean_cost, 2 * now.mean_cost)


def _untried(now: Climb) -> Iterator[Candidate]:
    """The candidates of the present step in the order in which they are tried: the least often discarded first, else at random; not
    those that were discarded in the same surroundings."""
    found = list(now.plan.moves(now.step, now.plan.budget))
    random.Random(f"{now.plan.seed} {len(now.taken)}").shuffle(found)
    found.sort(key=lambda candidate: len(now.tried.get(candidate.name, ())))
    for candidate in found:
        if _around(now, candidate) not in now.tried.get(candidate.name, ()):
            yield candidate


def _around(now: Climb, candidate: Candidate) -> Step:
    """The present step without what the candidate changes; with it, where that is the network, from which such moves go on."""
    if candidate.concept == "network":
        return now.step
    back = changed(now.step, candidate.concept, concept(now.plan.start, candidate.concept))
    return back or now.step


def _explored(now: Climb, candidate: Candidate, step: Step) -> Move | None:
    """Whether up to three seeds look better than those of the present step."""
    differences: list[float] = []
    for seed in range(EXPLORE, EXPLORE + SEEDS):
        before = now.run(now.step, seed, 0, [_mean(now, now.step)])
        worse = now.difference(now.step, step)
        last = len(differences) == SEEDS - 1
        typical = [before - 10 * worse, before + (10 * worse if last else 0.0)]
        differences.append(_difference(now.run(step, seed, 0, typical), before, worse))
        mean = sum(differences) / len(differences)
        if (len(differences) == 1 and mean < AFTER_ONE * worse) or (len(differences) == 2 and mean < AFTER_TWO * worse):
            break
    good = len(differences) == SEEDS and mean > 0
    now.decide(
        phase="explore", move=candidate.name, concept=candidate.concept, after=len(now.taken), differences=differences, taken=good
    )
    return Move(candidate) if good else None


def _tested(now: Climb, candidate: Candidate, step: Step) -> Move | None:
    """Whether a candidate is shown to help against the present step, whose runs serve all candidates that are held against it."""
    found = _test(now, step, now.step, DIRECT + 100 * len(now.taken), TRIED)
    good = found.answer == "yes"
    now.decide(phase="test", move=candidate.name, concept=candidate.concept, after=len(now.taken), **found._asdict(), taken=good)
    return Move(candidate, found) if good else None


def _test(now: Climb, step: Step, other: Step, seed: int, limits: Limits, waiting: int = 0) -> Test:
    """Whether a step is better than another, pair by pair, as far as runs go that are not for the tests which wait; no credit is
    taken for pairing."""
    folds = range(0 if now.plan.few else 1, now.plan.folds)
    found = Test((), 0.0, "open", seed)
    while found.answer == "open":
        number = len(found.observations)
        if now.left < 2 * now.mean_cost * (1 + CLEAR * waiting):
            return found._replace(answer="no")
        part = folds[number % len(folds)]
        before = now.run(other, seed + number, part, [_mean(now, other)])
        likely = now.difference(step, other)
        after = now.run(step, seed + number, part, [before + likely / 2, before - 10 * likely])
        observations = [*found.observations, _difference(after, before, now.difference(step, other))]
        spread = _of_pairs(observations, now.spread(step, other))
        difference = now.plan.difference * max(1.0, spread.deviation / (2**0.5 * now.plan.deviation))
        found = sequential(observations, 0.0, difference, spread, limits)._replace(seed=seed)
    return found


def _of_pairs(observations: Sequence[float], runs: Spread) -> Spread:
    """The spread of differences: what that of both steps' runs makes expect, but their own where that is larger. The runs of one
    step may deviate far more than those of the other, and be too few to tell."""
    expected = 2**0.5 * runs.deviation
    own = stdev(observations) if len(observations) > 1 else 0.0
    return Spread(own, len(observations) - 1) if own > expected else Spread(expected, runs.freedom)


def _difference(after: float, before: float, looked_for: float) -> float:
    """Of a pair of runs, of which an accuracy of 0 is one that diverged."""
    if before and after:
        return after - before
    return looked_for * (DIVERGED if before else CURED if after else 0.0)


def _mean(now: Climb, step: Step) -> float:
    """The mean accuracy of a step's runs so far, to look ahead with."""
    found = [accuracy for fold in range(now.plan.folds) for accuracy in now.arms.get((step, fold), ())]
    return sum(found) / len(found) if found else 0.99


def _verify(now: Climb) -> None:
    """Set each changed concept back, the last taken first, and keep what is then shown to have helped.

    Networks follow from one another: each is held against the one before it, with the end's recipe.
    """
    kept = units(now.plan.start, [move.candidate for move in now.taken])
    tests: dict[Candidate, Test] = {}
    for candidate in reversed(kept.copy()):
        waiting = [candidate]
        while waiting:
            each = waiting.pop()
            found = _set_back(now, kept, each, waits=kept.index(each))
            if found is None or found.answer == "yes":
                tests |= {each: found} if found else {}
                continue
            after = networks(kept)[networks(kept).index(each) + 1 :] if each.concept == "network" else []
            kept.remove(each)
            now.dropped.append(Move(each, found))
            waiting += after[:1]  # the next network is held against the one before now
    _drop_void(now, kept)
    now.taken = [Move(candidate, tests.get(candidate)) for candidate in kept]
    step = built(now.plan.start, kept)
    assert step is not None
    now.step = step


def _drop_void(now: Climb, kept: list[Candidate]) -> None:
    """What another concept, set back since, has made void changes nothing any more."""
    step = built(now.plan.start, kept)
    for each in [each for each in kept if step and each.concept in step.recipe.void]:
        kept.remove(each)
        now.dropped.append(Move(each, Test((), 0.0, "no")))
        now.decide(phase="verify", move=each.name, concept=each.concept, **Test((), 0.0, "no")._asdict(), taken=False)


def _set_back(now: Climb, kept: Sequence[Candidate], candidate: Candidate, waits: int) -> Test | None:
    """What is shown of a concept against its value before, while so many others wait; None where it cannot be set back alone."""
    later = networks(kept)[networks(kept).index(candidate) + 1 :] if candidate.concept == "network" else []
    here = [each for each in kept if each not in later]
    step, back = built(now.plan.start, here), built(now.plan.start, [each for each in here if each != candidate])
    if step is None or back is None:
        now.decide(phase="verify", move=candidate.name, concept=candidate.concept, ends="it cannot be set back alone", taken=True)
        return None
    if step == back or candidate.concept in step.recipe.void:
        found = Test((), 0.0, "no")
    else:
        found = _test(now, step, back, VERIFY, VERIFIED, waits)
    now.decide(phase="verify", move=candidate.name, concept=candidate.concept, **found._asdict(), taken=found.answer == "yes")
    return found


def _prune(now: Climb) -> None:
    """Find the smallest network whose mean is shown to reach the target, where that of the end is: the narrowest by bisection, then
    with a block less, as long as that does."""
    if _reaches(now, now.step).answer != "yes":
        return
    narrower = now.plan.narrower(now.step)
    low, high, smallest = 0, len(narrower), None
    while low < high and now.left >= now.mean_cost:
        middle = (low + high) // 2
        if pruned := _pruned(now, narrower[middle]):
            low, smallest = middle + 1, pruned
        else:
            high = middle
    while now.left >= now.mean_cost:
        network = smallest.candidate.value if smallest else now.step.network
        fewer = (_pruned(now, each) for each in now.plan.shallower(bare(replace(now.step, network=network))))
        found = next(filter(None, fewer), None)
        if found is None:
            break
        smallest = found
    if smallest:
        now.taken.append(smallest)
        now.step = changed(now.step, "network", smallest.candidate.value) or now.step


def _pruned(now: Climb, network: Network) -> Move | None:
    """The move to a smaller network, where its mean is shown to reach the target."""
    step = changed(now.step, "network", network)
    found = _reaches(now, step) if step and not step.exceeds(now.plan.budget) else None
    if found is None or found.answer != "yes":
        return None
    return Move(Candidate(PRUNED, "network", network, "Fewer parameters", "As few parameters as reach the target."), found)


def _reaches(now: Climb, step: Step) -> Test:
    """Whether the mean accuracy of a step is the target, or half a difference above it, rather than half a difference below."""
    target, half = now.plan.budget.accuracy, now.plan.difference / 2
    folds = range(min(1, now.plan.folds - 1), now.plan.folds)
    found = Test((), 0.0, "open", PRUNE)
    while found.answer == "open":
        number = len(found.observations)
        if now.left < now.mean_cost:
            found = found._replace(answer="no")
            break
        one = now.run(step, PRUNE + number, folds[number % len(folds)], [target, target + 10 * half])
        found = sequential([*found.observations, one], target - half, target + half, now.spread(step), VERIFIED)
        found = found._replace(seed=PRUNE)
    now.decide(phase="prune", parameters=step.network.parameters, **found._asdict(), taken=found.answer == "yes")
    return found
