"""What `climb` is told, and what it shows."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepladder import ladders
from stepladder.analysis import counted
from stepladder.climb import story
from stepladder.climb.plan import CONFIRMED, FEW, TRIED, VERIFIED, Plan
from stepladder.climb.sequential import detectable
from stepladder.lab import climb as climbing
from stepladder.lab.climb import Climbed, Wish
from stepladder.spec import Budget, UserError
from stepladder.steps import Ladder, Step

if TYPE_CHECKING:
    from stepladder.lab import Lab


def wish(
    start: Ladder | None, limits: dict[str, Any], hours: float | None, runs: int | None, output: Path, **more: Any
) -> Wish:  # fmt: skip
    """What is asked for: a budget is that of the start, but for what is given."""
    given = {name: value for name, value in limits.items() if value is not None}
    if start is None and (missing := [f"--{name}" for name in ("parameters", "epochs", "accuracy") if name not in given]):
        raise UserError(f"{' and '.join(missing)} not given: a climb without a start is told its budget")
    budget = replace(start.budget, **given) if start else Budget(**given)
    if output.suffix != ".py":
        raise UserError(f"--output is {str(output)!r}, expected a Python file, as climbed.py")
    return Wish(budget, hours, runs, name=output.stem, **more)


def planned(plan: Plan, runs: float, moves: list[Any]) -> str:
    """What a climb would do: the moves of its start, how many runs there is room for, and what effect they can show."""
    few = runs < FEW
    confirmed = 0 if plan.locked else 2 * CONFIRMED
    limits = TRIED if few else VERIFIED
    shown = detectable(plan.difference, 2**0.5 * plan.deviation, limits)
    counts = Counter(move.concept for move in moves)
    start, budget = plan.start, plan.budget
    lines = [
        f"from {start.title!r}: {start.network.parameters:,} of {budget.parameters:,} parameters, {start.recipe.epochs} of "
        f"{budget.epochs} epochs",
        f"{counted(len(moves), 'move')}: {', '.join(f'{count} of {concept}' for concept, count in counts.items())}",
        *(f"  {move.name}" for move in moves),
        f"about {runs:,.0f} runs fit, {confirmed} of them for fresh seeds at the end"
        + (": so few that each move is tested as it is tried" if few else ""),
        f"an effect of {shown * 100:.2f} points is found four times out of five, with up to {limits.most} pairs, where runs "
        f"deviate by {plan.deviation * 100:.3f} points",
    ]
    return "\n".join(lines)


def sentences(climbed: Climbed) -> str:
    """What came of it, and where it is."""
    end = climbed.ladder.last
    lines = [
        story.headline(climbed.climb),
        f"{climbed.path}: {counted(len(climbed.ladder.steps), 'step')}, the end has {end.network.parameters:,} parameters",
    ]
    if climbed.result:
        test, verdict = climbed.result[end.id].evidence.test, climbed.result[end.id].target.verdict
        seen = f"{test.mean:.3%} over {test.n} seeds that chose nothing, " if test else ""
        lines.append(f"on the test set: {seen}{verdict}")
    return "\n".join([*lines, f"the story: {climbed.story}"])


def begun(name: str | None, step: str | None) -> tuple[Ladder | None, Step | None]:
    """The ladder that is named, if one is, and what is climbed from: the step of an id, or its end."""
    if name is None:
        if step is not None:
            raise UserError(f"--step is {step!r}, expected a ladder that it is a step of before it")
        return None, None
    ladder = ladders.load(name)
    return ladder, ladder.last if step is None else ladder.step(step)


def climb(lab: "Lab", start: Step | None, wish: Wish, output: Path, dry: bool) -> tuple[str, int]:
    """Climb, or say what a climb would do; and the exit code."""
    if dry:
        plan, setup, _ = lab.planned(start, wish)
        runs = climbing.enough(plan, climbing.runs_that_fit(plan, setup, wish))
        return planned(plan, runs, list(plan.moves(plan.start, plan.budget))), 0
    asked = {name: getattr(wish, name) for name in ("hours", "runs", "seed", "locked", "difference")}
    climbed = lab.climb(start, wish.budget, **asked, output=output)
    problems = climbed.result.problems if climbed.result else []
    return "\n".join([sentences(climbed), *problems]), int(bool(problems))
