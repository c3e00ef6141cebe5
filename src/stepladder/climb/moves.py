"""The moves of a climb: what a step may become by one change of one concept."""

from collections.abc import Callable, Iterator

from stepladder.climb import networks, recipes
from stepladder.climb.candidate import Candidate
from stepladder.spec import Budget, UserError
from stepladder.steps import Step

__all__ = ["MOVES", "Candidate", "candidates"]

MOVES: tuple[Callable[[Step, Budget], Iterator[Candidate]], ...] = (
    *(recipes.schedules, recipes.learning_rate, recipes.weight_decay, recipes.augmentation, recipes.erasing),
    *(recipes.batch_size, recipes.averaging, recipes.label_smoothing, recipes.dropout),
    *(recipes.optimizer, recipes.momentum, recipes.nesterov, recipes.epochs),
    *(networks.widths, networks.rearranged),
)
"""All there are, in the order of their candidates; another joins by being listed."""


def candidates(step: Step, budget: Budget) -> list[Candidate]:
    """All moves of a step, always in the same order: those that make a step within the budget. Of moves that come to the same
    value there is the first."""
    found: dict[tuple[str, object], Candidate] = {}
    for move in MOVES:
        for candidate in move(step, budget):
            key = candidate.concept, candidate.value
            if key not in found and _can_be(step, candidate, budget):
                found[key] = candidate
    return list(found.values())


def _can_be(step: Step, candidate: Candidate, budget: Budget) -> bool:
    """Whether a candidate makes a step, which differs from the present one to some effect, within the budget."""
    try:
        made = step.then(candidate.title, target=candidate.target, kept=step.kept, **{candidate.concept: candidate.value})
        return not made.exceeds(budget)
    except UserError:
        return False
