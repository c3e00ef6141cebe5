"""What `compare` and `check` say, as data and as text."""

from dataclasses import asdict
from typing import Any

from stepladder import evidence
from stepladder.analysis import counted, percent, percents, points
from stepladder.analysis.sentences import against
from stepladder.cli import tables
from stepladder.evidence import Effect, Evidence
from stepladder.job import Setup
from stepladder.spec import Ladder, Step, UserError


def comparison(ladder: Ladder, step: Step, other: Step, setup: Setup) -> dict[str, Any]:
    """Two steps' accuracies and the effect of `step` against `other`; raises UserError where no finished seed is shared."""
    arms = evidence.load(ladder, setup, [step, other])
    labels = setup.dataset(step.network.classes).test_labels
    effect = evidence.compare(arms[step.id], arms[other.id], labels)
    if effect is None:
        seeds = (f"{each.id} has {_seeds(arms[each.id].finished)}" for each in (step, other))
        raise UserError(f"{step.id} and {other.id} have no finished seed in common: {', '.join(seeds)}")
    last = {name: [record.history[-1].test_accuracy for record in arm.finished] for name, arm in arms.items()}
    return {
        "ladder": ladder.name,
        "step": step.id,
        "other": other.id,
        "test_accuracy": {name: asdict(evidence.estimate(values)) for name, values in last.items()},
        "effect": asdict(effect) | {"verdict": effect.verdict},
        "words": against(other.id, effect),
    }


def sentences(found: dict[str, Any]) -> str:
    """A comparison as text."""
    lines = [f"{name}: {_accuracy(estimate)}" for name, estimate in found["test_accuracy"].items()]
    return "\n".join([*lines, found["words"]])


def check(ladder: Ladder, setup: Setup) -> dict[str, Any]:
    """Each step's cost and verdicts, and why the check fails: a sentence for each reason, none where it passes."""
    arms = evidence.load(ladder, setup)
    gathered = evidence.gather(ladder, arms, setup.dataset(ladder.steps[0].network.classes).test_labels)
    return {
        "ladder": ladder.name,
        "budget": asdict(ladder.budget),
        "failures": _failures(ladder, gathered),
        "steps": [_step(step, gathered[step.id]) for step in ladder.steps],
    }


def show(ladder: Ladder, found: dict[str, Any]) -> None:
    """Print what `check` found: a line for each step, then why it fails or that it passes."""
    budget = ladder.budget
    title = (
        f"{ladder.name}: {budget.accuracy:.2%} held in the last {budget.hold} epochs, "
        f"at most {budget.parameters:,} parameters and {budget.epochs} epochs"
    )
    table = tables.new(title, ("step", "target", "against its parent", "seeds", "test", "held", "parameters", "epochs"), left=3)
    for step in found["steps"]:
        test, held, effect = step["test_accuracy"], step["held"], step["effect"]
        against = "" if not effect else "dead" if step["live"] is False else f"{effect['verdict']} ({points(effect['mean'])})"
        figures = [f"{test['mean']:.2%}" if test else "", f"{held['share']:.0%}" if held else ""]
        costs = f"{step['parameters']:,}", str(step["epochs"])
        table.add_row(step["id"], step["target_verdict"] or "not run", against, str(step["n"]), *figures, *costs)
    tables.put(table)
    for failure in found["failures"]:
        print(f"FAILED: {failure}")
    if not found["failures"]:
        (last,) = (step for step in found["steps"] if step["id"] == ladder.last.id)
        print(
            "passed: every step keeps within the budget and changes something; "
            f"the target is {last['target_verdict']} by {last['id']}, the last step that is kept"
        )


def _failures(ladder: Ladder, gathered: dict[str, Evidence]) -> list[str]:
    dead = [step for step in ladder.steps if gathered[step.id].live is False]
    found = ladder.violations()
    found += [f"step {step.id} changes nothing: its weights are those of {step.parent.id}" for step in dead if step.parent]
    last = ladder.last
    shown = gathered[last.id]
    if not shown.target:
        found.append(f"step {last.id}, the last that is kept, has not been run")
    elif not shown.test:
        found.append(f"step {last.id}, the last that is kept, has no finished run: {counted(len(shown.diverged), 'run')} diverged")
    elif shown.target.verdict == "missed":
        found.append(
            f"step {last.id}, the last that is kept, misses the target of {percent(ladder.budget.accuracy)}: {_mean(shown)}"
        )
    return found


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
        "target_verdict": found.target and found.target.verdict,
        "target_more_seeds": found.target and found.target.more_seeds,
        "effect": _effect(found.effect),
        "live": found.live,
    }


def _effect(found: Effect | None) -> dict[str, Any] | None:
    return asdict(found) | {"verdict": found.verdict} if found else None


def _mean(found: Evidence) -> str:
    return _accuracy(asdict(found.test)) if found.test else ""


def _accuracy(estimate: dict[str, Any]) -> str:
    interval = ""
    if estimate["low"] is not None:
        interval = f", 95 % interval {percents(estimate['low'], estimate['high'], 3)}"
    return f"{percent(estimate['mean'], 3)} over {counted(estimate['n'], 'seed')}{interval}"


def _seeds(finished: list[Any]) -> str:
    return ", ".join(str(record.seed) for record in finished) or "none"
