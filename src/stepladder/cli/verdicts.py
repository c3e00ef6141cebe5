"""What `compare` and `check` say, as data and as text."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from stepladder import evidence, report
from stepladder.analysis import cells, counted, headline, percent, percents, points
from stepladder.analysis.grounds import against
from stepladder.cli import layout
from stepladder.evidence import Arm, Effect, Evidence, Failure, Outcome
from stepladder.spec.budget import asked, device_limits
from stepladder.steps import Ladder, Step

EXITS = {"reached": 0, "failed": 1, "undecided": 3}
"""The exit code of `check` for an outcome."""


def comparison(ladder: Ladder, step: str, other: str, arms: Mapping[str, Arm], effect: Effect) -> dict[str, Any]:
    """Two steps' accuracies, from the arms of their ladder, and the effect of one against the other."""
    last = {name: [record.history[-1].test_accuracy for record in arms[name].finished] for name in (step, other)}
    return {
        "ladder": ladder.name,
        "step": step,
        "other": other,
        "test_accuracy": {name: asdict(evidence.estimate(values)) for name, values in last.items()},
        "effect": report.effect(effect),
        "words": against(other, effect),
    }


def sentences(found: dict[str, Any]) -> str:
    """A comparison as text."""
    lines = [f"{name}: {_accuracy(estimate)}" for name, estimate in found["test_accuracy"].items()]
    return "\n".join([*lines, found["words"]])


def check(ladder: Ladder, gathered: Mapping[str, Evidence], *, quick: bool = False) -> dict[str, Any]:
    """Each step's cost and verdicts, what the ladder shows (of a `quick` look nothing), its outcome, and a sentence for each reason
    why it fails."""
    outcome = evidence.outcome(ladder, gathered)
    return {
        "ladder": ladder.name,
        "budget": asked(ladder.budget),
        "headline": headline(ladder, gathered, quick=quick),
        "outcome": outcome.status,
        "words": _words(ladder, gathered, outcome),
        "failures": [why_failed(ladder, gathered, failure) for failure in outcome.failures],
        "steps": [_step(step, gathered[step.id]) for step in ladder.steps],
    }


def show(ladder: Ladder, found: dict[str, Any]) -> None:
    """Print what `check` found: a line for each step, what that shows, why it fails, and what the outcome is."""
    budget = ladder.budget
    title = (
        f"{ladder.name}: {budget.accuracy:.2%} held in the last {counted(budget.hold, 'epoch')} by {budget.held:.0%} of the seeds, "
        f"at most {budget.parameters:,} parameters and {budget.epochs} epochs{device_limits(asked(budget))}"
    )
    rows = []
    for step in found["steps"]:
        test, held, effect = step["test_accuracy"], step["held"], step["effect"]
        compared = f"{points(effect['mean'])}: {cells.effect(effect)}" if effect else ""
        figures = [f"{test['mean']:.2%}" if test else "", cells.held(held) if held else ""]
        costs = f"{step['parameters']:,}", str(step["epochs"])
        rows.append([step["id"], step["target_verdict"], compared, str(step["n"]), *figures, *costs])
    heads = ("step", "target", "against its parent", "seeds", "test", "held", "parameters", "epochs")
    layout.put(title, heads, 3, rows)
    print(found["headline"])
    for failure in found["failures"]:
        print(f"FAILED: {failure}")
    if found["words"]:
        print(found["words"])


def _words(ladder: Ladder, gathered: Mapping[str, Evidence], outcome: Outcome) -> str:
    """The outcome in a sentence; '' where the failures say it."""
    if outcome.status == "failed":
        return ""
    target = gathered[outcome.step].target
    last = f"{outcome.step}, the last step that is kept"
    if outcome.status == "reached":
        return f"passed: every step keeps within the budget and changes something; the target is reached by {last}"
    more = f" (about {counted(target.seeds, 'seed')} in all, {cells.PLANNED})" if target.seeds else ""
    return f"UNDECIDED: {last}, {mean(gathered[outcome.step])}: {target.verdict}{more}"


def why_failed(ladder: Ladder, gathered: Mapping[str, Evidence], failure: Failure) -> str:
    """Why a ladder fails, in a sentence."""
    step, found = ladder.step(failure.step), gathered[failure.step]
    last, goal = f"step {step.id}{place(ladder, step)}", percent(ladder.budget.accuracy)
    match failure.fault:
        case "over budget":
            beyond = [f"{cost.value:,} {cost.unit}, the budget allows {cost.limit:,}" for cost in step.exceeds(ladder.budget)]
            return f"step {step.id} is over budget: it has {', and '.join(beyond)}"
        case "dead":
            return f"step {step.id} is dead, it changes nothing: its weights are those of {step.parent.id if step.parent else ''}"
        case "not run":
            return f"{last} has not been run"
        case "diverged":
            return f"{last} has no finished run: {counted(len(found.diverged), 'run')} diverged"
        case "missed":
            return f"{last} misses the target of {goal}: {mean(found)}"
        case "accurate, not held":
            share = cells.held(asdict(found.held)) if found.held else ""
            return f"{last} is accurate, not held: {mean(found)}, but {share} of the seeds held {goal}"
        case "not quantised":
            return f"{last} is not quantised, so that it reaches nothing in 8 bits"


def place(ladder: Ladder, step: Step) -> str:
    """Of the step that a ladder, or some of its steps, are judged by: ', the last that is kept,'; '' of one that is not kept."""
    if not step.kept:
        return ""
    return ", the last that is kept," if step.id == ladder.last.id else ", the last of these that is kept,"


def _step(step: Step, found: Evidence) -> dict[str, Any]:
    return {
        "id": step.id,
        "parent": step.parent.id if step.parent else None,
        "kept": step.kept,
        "parameters": step.network.parameters,
        "epochs": step.recipe.epochs,
        "n": len(found.seeds),
        "test_accuracy": found.test and asdict(found.test),
        "held": found.held and asdict(found.held),
        "target_verdict": found.target.verdict,
        "target_seeds": found.target.seeds,
        "effect": report.effect(found.effect),
    }


def mean(found: Evidence) -> str:
    """The accuracy of a step; '' where no seed has finished."""
    return _accuracy(asdict(found.test)) if found.test else ""


def _accuracy(estimate: dict[str, Any]) -> str:
    interval = ""
    if estimate["low"] is not None:
        interval = f", 95 % interval {percents(estimate['low'], estimate['high'], 3)}"
    return f"{percent(estimate['mean'], 3)} over {counted(estimate['n'], 'seed')}{interval}"
