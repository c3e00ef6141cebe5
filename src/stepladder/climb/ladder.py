"""The ladder that a climb leaves."""

from collections.abc import Sequence
from dataclasses import replace

from stepladder.climb.candidate import Candidate
from stepladder.climb.concepts import bare, changed, networks
from stepladder.climb.rule import PRUNED, Climb, Move
from stepladder.climb.sequential import Test
from stepladder.evidence import estimate
from stepladder.spec import Affine, OneCycle, UserError
from stepladder.steps import Ladder, Step
from stepladder.steps.step import id_of

TOGETHER = "What several moves came to together."
LONG = 60
"""Characters of a title that is put together."""


def ladder(now: Climb, name: str) -> Ladder:
    """The start, what was kept in the order in which it was taken, and, not kept, what was taken and then not shown to help."""
    start = now.plan.start
    root = Step(start.title, start.network, start.recipe, start.target, start.note, start.id)
    steps = [root]
    waiting = list(now.taken)
    while waiting:
        move = next((move for move in waiting if _follows(steps[-1], move.candidate)), None)
        if move is None:
            titles = ", ".join(move.candidate.title for move in waiting)
            raise UserError(f"the climb kept what cannot follow one after the other: {titles} (please report it with climb.jsonl)")
        waiting.remove(move)
        steps.append(_step(now, steps, steps[-1], move))
    end = steps[-1]
    for move in now.dropped:
        tried = changed(end, move.candidate.concept, move.candidate.value)
        if tried and not tried.exceeds(now.plan.budget) and not _within(now, move.candidate, end):
            steps.append(_step(now, steps, end, move, kept=False))
    return Ladder(name, now.plan.budget, steps)


def _follows(step: Step, candidate: Candidate) -> bool:
    return changed(step, candidate.concept, candidate.value) is not None


def _within(now: Climb, candidate: Candidate, end: Step) -> bool:
    """Whether a network came before that of the end, which has what it changed."""
    values = [each.value for each in networks(now.history)]
    return candidate.concept == "network" and candidate.value in values[: _last(values, end.network)]


def _step(now: Climb, steps: list[Step], parent: Step, move: Move, kept: bool = True) -> Step:
    """The step that a move makes after its parent, with a title of its own and what was seen of it."""
    candidate, ids = move.candidate, {step.id for step in steps}
    name, target = words(now, parent, candidate)
    title, number = name, 1
    while id_of(title) in ids:
        number += 1
        title = f"{name} ({number})"
    change = {candidate.concept: candidate.value}
    return parent.then(title, target=target, note=_note(move, kept), kept=kept, **change)


def titled(now: Climb, candidate: Candidate) -> str:
    """What is said of a candidate in the climb: the title of what it makes of the start, or of the network that is kept before."""
    before = now.plan.start
    if candidate.concept == "network":
        values = [each.value for each in networks(now.history)]
        kept = networks([move.candidate for move in now.taken])
        earlier = [each.value for each in kept if _last(values, each.value) < _last(values, candidate.value)]
        before = replace(before, network=earlier[-1]) if earlier else before
    return words(now, before, candidate)[0]


def words(now: Climb, parent: Step, candidate: Candidate) -> tuple[str, str]:
    """Title and target of what a candidate makes of its parent. The step that it was a move of may have been another one: they are
    those of the one move that leads from the parent to it, else of all that lead there together."""
    change, step = (candidate.concept, candidate.value), bare(parent)
    for each in now.plan.moves(step, now.plan.budget):
        if (each.concept, each.value) == change:
            return each.title, each.target
    if candidate.concept == "network" and candidate.name != PRUNED:
        found = networks(now.history)
        values = [each.value for each in found]
        first, last = _last(values, parent.network) + 1, _last(values, candidate.value)
        titles = " and ".join(each.title for each in found[first : last + 1])
        return (titles if 0 < len(titles) <= LONG else candidate.title), candidate.target
    match candidate.value:
        case OneCycle(peak):
            return f"One-cycle, peak {peak:g}", TOGETHER
        case Affine():
            return "Affine augmentation", TOGETHER
    if candidate.concept == "batch_size":
        return f"Batches of {candidate.value}", TOGETHER
    return candidate.title, TOGETHER if candidate.concept == "learning_rate" else candidate.target


def _last(values: Sequence[object], value: object) -> int:
    """The last place of a value, -1 where it has none."""
    return max((number for number, each in enumerate(values) if each == value), default=-1)


def _note(move: Move, kept: bool) -> str:
    """What was seen of a move."""
    if move.test is None:
        return "Taken while exploring, and not tested alone: what was kept after it cannot do without."
    if move.candidate.name == PRUNED:
        seen = estimate(move.test.observations)
        return f"On images kept back {seen.mean:.3%} over {seen.n} runs."
    against = "as the ladder stood then, with and without it" if kept else "where it was taken and set back again"
    return f"On images kept back, {against}: {sentence(move.test)}."


def sentence(test: Test) -> str:
    """What a test saw, in words."""
    if not test.observations:
        return "it was not compared: it makes no difference any more, or no runs were left"
    found = estimate(test.observations)
    spread = "" if found.low is None or found.high is None else f" ({found.low * 100:+.3f} to {found.high * 100:+.3f})"
    seeds = f"{test.seed}" if found.n == 1 else f"{test.seed} to {test.seed + found.n - 1}"
    return (
        f"{found.mean * 100:+.3f} points{spread} over {pairs(found.n)} (seeds {seeds}), log-likelihood ratio {test.log_ratio:+.1f}"
    )


def pairs(count: int) -> str:
    """So many pairs, in words."""
    return f"{count} pair{'s' * (count != 1)}"
