"""A climb as it goes: where it stands, what is tried, what was decided last."""

from collections.abc import Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from stepladder.climb.drive import Standing
from stepladder.climb.story import decision
from stepladder.live.terminal import line
from stepladder.sweep import under_way

LAST = 6
"""Decisions on a screen."""


def show(standings: Iterator[Standing]) -> Standing:
    """Follow a climb to its end in a terminal; returns how it stood then."""
    console = Console()
    return _live(standings, console) if console.is_terminal else _plain(standings, console)


def lines(standing: Standing) -> list[str]:
    """How a climb stands."""
    now = standing.now
    network, moves = now.step.network, ", ".join(move.candidate.title for move in now.taken) or "none taken yet"
    accuracies = [accuracy for fold in range(now.plan.folds) for accuracy in now.arms.get((now.step, fold), ())]
    mean = f", {sum(accuracies) / len(accuracies):.3%} on images kept back ({len(accuracies)} runs)" if accuracies else ""
    pace = f", {3600 * standing.made / standing.seconds:.0f} runs an hour" if standing.made and standing.seconds else ""
    found = [
        f"{network.parameters:,} parameters{mean}; moves: {moves}",
        f"{len(now.figures):,} runs used, {now.spent / now.plan.total:.0%} of what there is{pace}{_left(standing)}",
    ]
    found += [f"  {line(under_way(job))}" for job in standing.running]
    return found + [f"  {decision(entry)}" for entry in now.decisions[-LAST:]]


def _left(standing: Standing) -> str:
    """At most so much time is left, by the pace so far."""
    now = standing.now
    if not standing.made or not now.spent:
        return ""
    runs = (now.plan.total - now.spent) / now.mean_cost
    hours = runs * standing.seconds / standing.made / 3600
    return f", at most {hours:.1f} hours left" if hours >= 1 else f", at most {60 * hours:.0f} minutes left"


def _live(standings: Iterator[Standing], console: Console) -> Standing:
    with Live(console=console, refresh_per_second=4, transient=True) as screen:
        for standing in standings:
            screen.update(Group(*(Text(each) for each in lines(standing))))
    return standing


def _plain(standings: Iterator[Standing], console: Console) -> Standing:
    told = 0
    for standing in standings:
        now = standing.now
        for entry in now.decisions[told:]:
            used = f"({len(now.figures):,} runs, {now.spent / now.plan.total:.0%})"
            console.print(f"{decision(entry)} {used}", highlight=False, markup=False, soft_wrap=True)
        told = len(now.decisions)
    return standing
