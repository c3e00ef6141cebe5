"""A climb in words: what was tried, what was taken, and what was shown of it."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stepladder.climb.ladder import pairs, titled
from stepladder.climb.ladder import sentence as tested
from stepladder.climb.plan import Plan
from stepladder.climb.rule import DIVERGED, PRUNED, Climb, Move
from stepladder.climb.sequential import Test
from stepladder.evidence import Evidence, estimate
from stepladder.steps import Ladder


def decision(entry: dict[str, Any]) -> str:
    """A decision as a line."""
    if "ends" in entry and "move" not in entry:
        return f"{entry['phase']}: ends, as {entry['ends']}"
    if "ends" in entry:
        return f"verify: {entry['move']} stays, {entry['ends']}"
    if entry["phase"] == "prune":
        reaches = "reaches" if entry["taken"] else "is not shown to reach"
        return f"prune: {entry['parameters']:,} parameters, {reaches} the target ({_runs(len(entry['observations']))})"
    seen = entry["differences"] if entry["phase"] == "explore" else entry["observations"]
    mean = f" {_mean(seen) * 100:+.3f} points," if seen else ""
    answer = {"explore": ("taken", "dropped"), "test": ("kept", "not kept"), "verify": ("stays", "set back")}[entry["phase"]]
    return f"{entry['phase']}: {entry['move']}{mean} {pairs(len(seen))}: {answer[not entry['taken']]}"


def headline(now: Climb) -> str:
    """What a climb did, in a sentence or two."""
    tried = [entry for entry in now.decisions if entry["phase"] in ("explore", "test") and "move" in entry]
    taken = sum(entry["taken"] for entry in tried)
    pruned = [move for move in now.taken if move.candidate.name == PRUNED]
    verified = sum(move.test is not None and move.test.answer == "yes" for move in now.taken) - len(pruned)
    told = "" if now.plan.few else f", took {taken} while exploring"
    pruning = f" Pruned to {pruned[-1].candidate.value.parameters:,} parameters." if pruned else ""
    return f"Tried {len(tried)} move{'s' * (len(tried) != 1)} in {_runs(len(now.figures))}{told}, {verified} verified.{pruning}"


def what(plan: Plan) -> str:
    """What was asked for, in a sentence."""
    budget = plan.budget
    limits = f"{budget.parameters:,} parameters and {budget.epochs} epochs"
    return f"A climb towards {budget.accuracy:.2%} within {limits}, from {plan.start.title!r}; its decisions are in climb.md."


def data(now: Climb, ladder: Ladder) -> dict[str, Any]:
    """What the report of its ladder tells of a climb, JSON-ready."""
    return {
        "steps": [step.title for step in ladder.steps],
        "headline": headline(now),
        "judged": judged(now),
        "runs": len(now.figures),
        "looks": {str(fold): count for fold, count in looks(now).items()},
        "kept": [_move(now, move) for move in now.taken],
        "set_back": [_move(now, move) for move in now.dropped],
        "tried": [_tried(entry) for entry in now.decisions if "after" in entry],
    }


def recorded(path: Path, ladder: Ladder) -> dict[str, Any] | None:
    """What `data` made of the climb of a ladder; None where there is nothing, or it is of another ladder or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        same = found["steps"] == [step.title for step in ladder.steps]
        whole = all(name in found for name in ("headline", "judged", "kept", "set_back", "tried"))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if same and whole else None


def _tried(entry: dict[str, Any]) -> dict[str, Any]:
    seen = entry["differences"] if entry["phase"] == "explore" else entry["observations"]
    return {
        "move": entry["move"],
        "concept": entry["concept"],
        "after": entry["after"],
        "differences": list(seen),
        "taken": entry["taken"],
    }


def judged(now: Climb) -> str:
    """What images judged, how often, and what was looked for."""
    found = looks(now)
    others = sum(count for fold, count in found.items() if fold)
    diverged = sum(not figure.accuracy for figure in now.figures.values())
    return (
        f"It was judged by {len(found)} parts of the training images, kept back in turn: the first by {found.get(0, 0):,} runs, "
        f"the others by {others:,}. A difference of {now.plan.difference * 100:.2g} points was looked for, and more where runs "
        f"deviate by more than {now.plan.deviation * 100:.2g} points over seeds; those of the end deviate by "
        f"{now.spread(now.step).deviation * 100:.2g}."
        + (f" {_runs(diverged)} diverged, and counted as {-DIVERGED:g} of these differences worse." if diverged else "")
    )


def looks(now: Climb) -> dict[int, int]:
    """How many runs each kept-back part judged."""
    return dict(sorted(Counter(need.fold for need in now.figures).items()))


def _move(now: Climb, move: Move) -> dict[str, Any]:
    test = move.test or Test((), 0.0, "open")
    found = estimate(test.observations) if test.observations else None
    return {
        "move": move.candidate.name,
        "concept": move.candidate.concept,
        "title": titled(now, move.candidate),
        "pairs": len(test.observations),
        "seed": test.seed,
        "log_ratio": test.log_ratio,
        "answer": test.answer,
        "mean": found and found.mean,
        "low": found and found.low,
        "high": found and found.high,
        "against": now.plan.budget.accuracy if move.candidate.name == PRUNED else None,
    }


def markdown(now: Climb, ladder: Ladder, confirmed: Mapping[str, Evidence], day: str | None) -> str:
    """The climb as a page to read."""
    return "\n".join(_lines(now, ladder, confirmed, day)) + "\n"


def _lines(now: Climb, ladder: Ladder, confirmed: Mapping[str, Evidence], day: str | None) -> Iterator[str]:
    yield f"# The climb {ladder.name}"
    yield ""
    yield headline(now)
    yield judged(now)
    yield ""
    yield from _confirmation(now, ladder, confirmed, day)
    yield "## What is kept"
    yield ""
    if not now.taken:
        yield "Nothing: no change was shown to help."
    for number, move in enumerate(now.taken, 1):
        shown = "it was taken, and not tested alone" if move.test is None else tested(move.test)
        if move.candidate.name == PRUNED and move.test:
            shown = f"its mean of {_runs(len(move.test.observations))} reaches the target: {_mean(move.test.observations):.3%}"
        yield f"{number}. **{titled(now, move.candidate)}** ({move.candidate.concept}): {shown}."
    yield ""
    if now.dropped:
        yield "## Taken while exploring, and not shown to help"
        yield ""
        for move in now.dropped:
            yield f"- {titled(now, move.candidate)} ({move.candidate.concept}): {tested(move.test or Test((), 0.0, 'no'))}."
        yield ""
    yield "## All that was tried"
    yield ""
    yield "| | move | after | seeds | differences, points | |"
    yield "|---|---|---:|---:|---|---|"
    for number, entry in enumerate((each for each in now.decisions if "after" in each), 1):
        seen = entry["differences"] if entry["phase"] == "explore" else entry["observations"]
        points = ", ".join(f"{each * 100:+.2f}" for each in seen)
        yield f"| {number} | {entry['move']} | {entry['after']} | {len(seen)} | {points} | {'taken' if entry['taken'] else ''} |"
    yield ""
    yield "`after` counts the moves that had been taken before. Differences are to the step that stood then, seed by seed."


def _confirmation(now: Climb, ladder: Ladder, confirmed: Mapping[str, Evidence], day: str | None) -> Iterator[str]:
    if now.plan.locked:
        yield "The test set was not read: it is locked."
        yield ""
        return
    told = [(step, confirmed[step.id]) for step in ladder.steps if step.kept and step.id in confirmed and confirmed[step.id].test]
    if not told:
        return
    yield f"## Confirmed on the test set{f', which the climb opened on {day}' if day else ''}"
    yield ""
    yield "| step | parameters | n | mean | deviation, points | held |"
    yield "|---|---:|---:|---:|---:|---|"
    for step, found in told:
        assert found.test
        deviation = "" if found.test.sd is None else f"{found.test.sd * 100:.3f}"
        held = f"{found.held.count} of {found.held.n}" if found.held else ""
        yield f"| {step.label} | {step.network.parameters:,} | {found.test.n} | {found.test.mean:.3%} | {deviation} | {held} |"
    yield ""
    yield "Seeds 0 to 9 and on, trained on all training images; the climb chose nothing by them, and trained with others."
    yield ""


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _runs(count: int) -> str:
    return f"{count:,} run{'s' * (count != 1)}"
