"""Where a climb stands by the runs there are, and which it will ask for next."""

from collections.abc import Callable, Mapping, Sequence

from stepladder.climb.concepts import bare
from stepladder.climb.plan import Figure, Need, Plan
from stepladder.climb.rule import Climb, climb


class _Missing(Exception):
    def __init__(self, need: Need, guesses: Sequence[float]) -> None:
        super().__init__()
        self.need, self.guesses = need, guesses


Look = Callable[[Need], Figure | None]
"""The figure of a run where it is known."""


def stand(plan: Plan, look: Look) -> tuple[Climb, Need | None]:
    """The climb as far as the known runs lead, and the run that it waits for, None at its end."""
    now, missing = _stand(plan, look)
    return now, missing.need if missing else None


def wanted(plan: Plan, look: Look, count: int) -> list[Need]:
    """Up to so many runs that the climb waits for, or will: the first for certain, the others if those before them come out as is
    likely, the likeliest first."""
    found: list[Need] = []
    scenarios: list[dict[Need, Figure]] = [{}]
    for _ in range(4 * count):
        if not scenarios or len(found) == count:
            break
        assumed = scenarios.pop(0)
        now, missing = _stand(plan, _assuming(assumed, look))
        if missing is None:
            continue
        if missing.need not in found:
            found.append(missing.need)
        scenarios += [{**assumed, missing.need: Figure(guess, now.mean_cost)} for guess in missing.guesses]
    return found


def _assuming(assumed: Mapping[Need, Figure], look: Look) -> Look:
    """What is assumed, else what is known."""
    return lambda need: assumed[need] if need in assumed else look(need)


def _stand(plan: Plan, look: Look) -> tuple[Climb, _Missing | None]:
    def ask(need: Need, guesses: Sequence[float]) -> Figure:
        if (figure := look(need)) is None:
            raise _Missing(need, guesses)
        return figure

    now = Climb(plan, ask, bare(plan.start))
    try:
        climb(now)
    except _Missing as missing:
        return now, missing
    return now, None
