"""Where a climb stands by the runs there are, and which it will ask for next."""

from collections.abc import Mapping, Sequence

from stepladder.climb.plan import Figure, Need, Plan
from stepladder.climb.rule import Climb, bare, climb


class _Missing(Exception):
    def __init__(self, need: Need, guesses: Sequence[float]) -> None:
        super().__init__()
        self.need, self.guesses = need, guesses


def stand(plan: Plan, known: Mapping[Need, Figure]) -> tuple[Climb, Need | None]:
    """The climb as far as the known runs lead, and the run that it waits for, None at its end."""
    now, missing = _stand(plan, known)
    return now, missing.need if missing else None


def wanted(plan: Plan, known: Mapping[Need, Figure], count: int) -> list[Need]:
    """Up to so many runs that the climb waits for, or will: the first for certain, the others if those before them come out as is
    likely, the likeliest first."""
    found: list[Need] = []
    cost = sum(figure.cost for figure in known.values()) / len(known) if known else 1.0
    scenarios: list[dict[Need, Figure]] = [{}]
    for _ in range(4 * count):
        if not scenarios or len(found) == count:
            break
        assumed = scenarios.pop(0)
        _, missing = _stand(plan, {**known, **assumed})
        if missing is None:
            continue
        if missing.need not in found:
            found.append(missing.need)
        scenarios += [{**assumed, missing.need: Figure(guess, cost)} for guess in missing.guesses]
    return found


def _stand(plan: Plan, known: Mapping[Need, Figure]) -> tuple[Climb, _Missing | None]:
    def ask(need: Need, guesses: Sequence[float]) -> Figure:
        if need not in known:
            raise _Missing(need, guesses)
        return known[need]

    now = Climb(plan, ask, bare(plan.start))
    try:
        climb(now)
    except _Missing as missing:
        return now, missing
    return now, None
