"""What a whole ladder shows, in a few sentences made of its verdicts."""

from collections.abc import Iterator, Mapping, Sequence

from stepladder.analysis.figures import apart, called, counted, listed, percent, sentence
from stepladder.evidence import Effect, Evidence
from stepladder.spec import Budget
from stepladder.steps import Ladder, Step

NAMED = 3
"""Up to so many steps are named; of more it is told how many they are."""

TOO_SHORT = "too few epochs to judge"
Steps = Sequence[tuple[Step, Evidence]]


def headline(ladder: Ladder, gathered: Mapping[str, Evidence], *, quick: bool = False) -> str:
    """Whether a step reaches the target, whether changes are shown to help, and what it takes to tell where that is open; of a
    `quick` look that it decides nothing."""
    steps = [(step, gathered[step.id]) for step in ladder.steps]
    return " ".join(sentence(each) for each in _sentences(steps, ladder.budget, quick) if each)


def seeds_needed(gathered: Mapping[str, Evidence]) -> int | None:
    """How many seeds a step it takes to show an effect of each change that has too few now; where only one step has a run, a single
    one, to decide its target. None where none has too few, or no number can be told."""
    effects = [found.effect for found in gathered.values() if found.effect]
    tested = [found for found in gathered.values() if found.test]
    lone = tested[0].target.seeds if len(tested) == 1 and len(tested[0].seeds) == 1 else None
    return max((effect.pairs_needed for effect in effects if _too_few(effect)), default=lone)


def _sentences(steps: Steps, budget: Budget, quick: bool) -> Iterator[str]:
    tested = [(step, found) for step, found in steps if found.test]
    if tested and quick:
        yield f"A first look, of few epochs and images: it decides nothing. Best so far: {_best(tested, budget)}."
    elif tested and max(len(found.seeds) for _, found in tested) == 1:
        yield f"One run{' a step' if len(steps) > 1 else ''}: too few to judge."
        yield f"Best so far: {_best(tested, budget)}; the target is {percent(budget.accuracy)}."
        yield _needed(tested) or _would_decide(tested)
        yield _short(tested, budget)
    elif tested:
        yield _judged(steps, tested, budget)
        if not _reached(tested):
            yield f"{'Best mean' if len(steps) > 1 else 'Mean'}: {_best(tested, budget)}."
        yield _needed(tested)
        yield _undecided(tested)
        yield _short(tested, budget) if any(found.target.verdict != TOO_SHORT for _, found in tested) else ""
    yield from _without_a_test(steps)


def _judged(steps: Steps, tested: Steps, budget: Budget) -> str:
    """The verdicts on targets and changes, and of how many seeds they are."""
    told = "; ".join(filter(None, [_target(steps, tested, budget), _changes(steps)]))
    low, high = (pick(len(found.seeds) for _, found in tested) for pick in (min, max))
    seeds = counted(high, "seed") if low == high else f"{low} to {counted(high, 'seed')}"
    each = "" if len(tested) == 1 else " each"
    return f"{told} ({seeds}{each})."


def _target(steps: Steps, tested: Steps, budget: Budget) -> str:
    """Which steps reach the target, and with how few parameters."""
    goal, reached = f"the target of {percent(budget.accuracy)}", _reached(tested)
    if reached:
        least = min(reached, key=lambda step: step.network.parameters)
        few = counted(least.network.parameters, "parameter")
        if len(reached) == 1:
            return f"{called(least.id)} reaches {goal} with {few}"
        who = _who([step.id for step in reached]) if len(reached) <= NAMED else f"{len(reached)} of {len(steps)} steps"
        return f"{who} reach {goal}, with as few as {few} ({called(least.id)})"
    if all(found.target.verdict == TOO_SHORT for _, found in tested):
        return f"Too few epochs to judge {goal}, which must hold for the last {budget.hold}"
    within = " within the budget" if any(found.target.over for _, found in tested) else ""
    closed = all(_closed(found) for _, found in steps)
    if len(steps) == 1:
        return f"{called(steps[0][0].id)} {'does not' if closed else 'is not shown to'} reach {goal}{within}"
    return f"No step {'reaches' if closed else 'is shown to reach'} {goal}{within}"


def _changes(steps: Steps) -> str:
    """What is shown of the changes that were measured; '' where none was."""
    effects = {step.id: found.effect.verdict for step, found in steps if found.effect}
    measured = " measured" if len(effects) < sum(step.change is not None for step, _ in steps) else ""
    helps, hurts = ([name for name, verdict in effects.items() if verdict == each] for each in ("helps", "hurts"))
    if not effects:
        return ""
    if len(effects) == 1:
        return f"the one change{measured} {'is' if helps or hurts else 'is not'} shown to {'hurt' if hurts else 'help'}"
    if not helps:
        hurt = f", and {_who(hurts)} {_is(hurts)} shown to hurt" if hurts else ""
        return f"none of {len(effects)} changes{measured} is shown to help{hurt}"
    hurt = f", and {_who(hurts)} to hurt" if hurts else ""
    return f"of {len(effects)} changes{measured}, {_who(helps)} {_is(helps)} shown to help{hurt}"


def _best(tested: Steps, budget: Budget) -> str:
    """The step with the highest mean, of those within the budget and of more than one run where there are any."""
    within = [(step, found) for step, found in tested if not found.target.over] or tested
    among = [(step, found) for step, found in within if len(found.seeds) > 1] or within
    means = {step.id: found.test.mean for step, found in among if found.test}
    name = max(means, key=lambda each: means[each])
    found = next(found for step, found in among if step.id == name)
    told = f"{called(name)}, {percent(means[name], apart(budget.accuracy, means[name]))}"
    told += f" over {counted(len(found.seeds), 'seed')}" if len({len(each.seeds) for _, each in tested}) > 1 else ""
    told += ", over budget" if found.target.over else ""
    if found.held and found.held.n > 1 and means[name] >= budget.accuracy and found.target.verdict != TOO_SHORT:
        count = "all" if found.held.count == found.held.n else found.held.count or "none"
        told += f"; {count} of its {found.held.n} seeds held {percent(budget.accuracy)}"
    return told


def _needed(tested: Steps) -> str:
    """How many seeds it takes to show an effect, where there are too few; '' where there are enough, or no effect."""
    effects = {step.id: found.effect for step, found in tested if found.effect and found.effect.verdict != "dead"}
    few = [name for name, effect in effects.items() if _too_few(effect)]
    if not few:
        return ""
    seeds = max(effects[name].pairs_needed for name in few)
    if len(few) == len(effects):
        return f"It takes {seeds} seeds a step (`--seeds {seeds}`) to show that a change helps."
    change = "change" if len(few) == 1 else "changes"
    return (
        f"It takes {seeds} seeds (`--seeds {seeds}`) to show that the {change} of {_who(few)} help{'s' if len(few) == 1 else ''}."
    )


def _would_decide(tested: Steps) -> str:
    """How many seeds would decide the target of the only step that has a run; '' where that is not known."""
    seeds = seeds_needed({step.id: found for step, found in tested}) if len(tested) == 1 else None
    return f"About {seeds} seeds (`--seeds {seeds}`) would decide whether it is reached." if seeds else ""


def _undecided(tested: Steps) -> str:
    """Which targets are undecided while others are judged, and how many seeds would decide them."""
    left = {step.id: found.target.seeds for step, found in tested if found.target.verdict == "undecided" and not _closed(found)}
    one = [step.id for step, found in tested if found.target.verdict == "one run: too few to judge"]
    told = []
    if left:
        known = sorted({seeds for seeds in left.values() if seeds})
        about = f"{known[0]} to {known[-1]}" if len(known) > 1 else f"{known[0]}" if known else ""
        would = f"; about {about} seeds would tell" if known and None not in left.values() else ""
        told.append(f"{_who([*left])} {_is([*left])} undecided{would}.")
    if one:
        told.append(f"{_who(one)} {_has(one)} one run: too few to judge.")
    return " ".join(told)


def _short(tested: Steps, budget: Budget) -> str:
    """Which steps are trained for fewer epochs than the target must hold."""
    few = [step.id for step, found in tested if found.target.verdict == TOO_SHORT]
    if not few:
        return ""
    return f"{_who(few)} {_has(few)} too few epochs: the target must hold for the last {budget.hold}."


def _without_a_test(steps: Steps) -> Iterator[str]:
    """Which steps have no finished run, and which changed nothing."""
    dead = [step.id for step, found in steps if found.effect and found.effect.verdict == "dead"]
    if dead:
        yield f"{_who(dead)} {_is(dead)} dead: the change did nothing."
    lost = [step.id for step, found in steps if found.diverged and not found.seeds]
    if lost:
        yield "Every run diverged." if len(lost) == len(steps) else f"Every run of {_who(lost)} diverged."
    missing = [step.id for step, found in steps if not found.diverged and not found.seeds]
    if len(missing) == len(steps):
        yield "No run has finished."
    elif missing:
        yield f"{_who(missing)} {_has(missing)} not been run."


def _closed(found: Evidence) -> bool:
    """Whether a step is judged, and no more seeds would make it reach the target."""
    if found.target.verdict == "undecided":
        return found.target.open == "too few seeds hold for it to be reached"
    return found.target.verdict in ("missed", "accurate, not held", "over budget", "diverged")


def _reached(steps: Steps) -> list[Step]:
    return [step for step, found in steps if found.target.verdict == "reached"]


def _too_few(effect: Effect) -> bool:
    """Whether so few pairs cannot show an effect."""
    return effect.verdict in ("undecided", "one pair: too few to judge") and effect.n < effect.pairs_needed


def _who(names: Sequence[str]) -> str:
    return listed([*map(called, names)]) if len(names) <= NAMED else f"{len(names)} steps"


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _has(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"
