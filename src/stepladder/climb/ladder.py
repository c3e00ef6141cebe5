"""The ladder that a climb leaves."""

from stepladder.climb.candidate import Candidate
from stepladder.climb.concepts import changed
from stepladder.climb.rule import PRUNED, Climb, Move
from stepladder.climb.sequential import Test
from stepladder.evidence import estimate
from stepladder.spec import UserError
from stepladder.steps import Ladder, Step
from stepladder.steps.step import id_of


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
        steps.append(_step(steps, steps[-1], move, kept=True))
    end = steps[-1]
    for move in now.dropped:
        tried = changed(end, move.candidate.concept, move.candidate.value)
        if tried and not tried.exceeds(now.plan.budget):
            steps.append(_step(steps, end, move, kept=False))
    return Ladder(name, now.plan.budget, steps)


def _follows(step: Step, candidate: Candidate) -> bool:
    return changed(step, candidate.concept, candidate.value) is not None


def _step(steps: list[Step], parent: Step, move: Move, kept: bool) -> Step:
    """The step that a move makes after its parent, with a title of its own and what was seen of it."""
    candidate, ids = move.candidate, {step.id for step in steps}
    title = name = candidate.title if not _several(parent, candidate) else "Affine augmentation"
    number = 1
    while id_of(title) in ids:
        number += 1
        title = f"{name} ({number})"
    change = {candidate.concept: candidate.value}
    return parent.then(title, target=candidate.target, note=_note(move, kept), kept=kept, **change)


def _several(parent: Step, candidate: Candidate) -> bool:
    """Whether several parts of an augmentation changed, each by a move of its own."""
    if candidate.concept != "augmentation" or candidate.value is None:
        return False
    before = parent.recipe.augmentation
    parts = ("rotate", "shift", "scale", "shear")
    return sum(int(getattr(candidate.value, part) != (getattr(before, part) if before else 0.0)) for part in parts) > 1


def _note(move: Move, kept: bool) -> str:
    """What was seen of a move."""
    if move.test is None:
        return ""
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
