"""What `check --int8` says, as data and as text."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from stepladder import evidence, report
from stepladder.analysis import cells, counted, percent, point_range, points
from stepladder.cli import layout
from stepladder.cli.verdicts import mean, place, why_failed
from stepladder.evidence import Evidence, LastEpoch, Outcome, Quantised
from stepladder.steps import Ladder, Step


def check(ladder: Ladder, gathered: Mapping[str, Evidence], found: Mapping[str, Quantised]) -> dict[str, Any]:
    """What 8 bits do to each step, the outcome of the steps in integers, and a sentence for each reason why they fail."""
    outcome = evidence.quantised_outcome(ladder, gathered, found)
    judged = evidence.judged(gathered, found)
    return {
        "ladder": ladder.name,
        "budget": asdict(ladder.budget),
        "bits": 8,
        "judged": "last epoch",
        "computed_by": next((each.by for each in found.values() if each.by), None),
        "outcome": outcome.status,
        "words": _words(ladder, judged, outcome),
        "failures": [why_failed(ladder, judged, each) for each in outcome.failures],
        "steps": [_step(ladder.step(name), each) for name, each in found.items()],
    }


def show(found: dict[str, Any]) -> None:
    """Print what `check` found: a line for each step, why integers cannot express it, why it fails, and what the outcome is."""
    budget = found["budget"]
    title = (
        f"{found['ladder']} in integers of 8 bits: {budget['accuracy']:.2%} after the last epoch, whose weights alone are kept, by "
        f"{budget['held']:.0%} of the seeds; floats are judged likewise"
    )
    columns = ("step", "target in 8 bits", "target in floats", "8 bits against floats", "seeds", "8 bits", "floats")
    heads = (*columns, "reach it in 8 bits", "reach it in floats", "answers changed")
    layout.put(title, heads, 4, [_row(step) for step in found["steps"]])
    for step in found["steps"]:
        if step["refused"]:
            print(f"{step['id']} is not quantised: {step['refused']}")
        elif step["n"] == 1:
            print(f"{step['id']} has one finished seed: n = 1, without an interval")
    if found["computed_by"]:
        print(f"(8 bits computed by {found['computed_by']}; answers changed: the mean of a seed)")
    for sentence in found["failures"]:
        print(f"FAILED: {sentence}")
    if found["words"]:
        print(found["words"])


def _row(step: dict[str, Any]) -> list[str]:
    integers, floats = step["int8"] or {}, step["float"]
    return [
        step["id"],
        integers.get("target_verdict", "not quantised"),
        floats["target_verdict"],
        _difference(step["effect"]) if step["effect"] else "",
        str(step["n"]),
        *(percent(last["test_accuracy"]["mean"], 3) if last.get("test_accuracy") else "" for last in (integers, floats)),
        *(cells.held(last["held"]) if last.get("held") else "" for last in (integers, floats)),
        f"{step['changed']['mean']:.1f}" if step["changed"] else "",
    ]


def _difference(effect: dict[str, Any]) -> str:
    """'-0.004 points (-0.010 to +0.002 points): no difference'."""
    interval = "" if effect["low"] is None else f" ({point_range(effect['low'], effect['high'], 3)})"
    return f"{points(effect['mean'], 3)}{interval}: {cells.effect(effect)}"


def _words(ladder: Ladder, judged: Mapping[str, Evidence], outcome: Outcome) -> str:
    """The outcome in a sentence; '' where the failures say it."""
    if outcome.status == "failed":
        return ""
    target, which = judged[outcome.step].target, f"step {outcome.step}{place(ladder, ladder.step(outcome.step))}"
    if outcome.status == "reached":
        return f"passed: in 8 bits {which} reaches the target after the last epoch"
    more = f" (about {counted(target.seeds, 'seed')} in all, {cells.PLANNED})" if target.seeds else ""
    return f"UNDECIDED: in 8 bits {which} has {mean(judged[outcome.step])}: {target.verdict}{more}"


def _step(step: Step, found: Quantised) -> dict[str, Any]:
    return {
        "id": step.id,
        "parent": step.parent.id if step.parent else None,
        "kept": step.kept,
        "parameters": step.network.parameters,
        "epochs": step.recipe.epochs,
        "n": found.floats.test.n if found.floats.test else 0,
        "diverged": list(found.diverged),
        "refused": found.refused or None,
        "float": _last(found.floats),
        "int8": found.integers and _last(found.integers),
        "effect": report.effect(found.effect),
        "changed": found.changed and asdict(found.changed),
        "seeds": [
            {"seed": pair.seed, "float": pair.floats, "int8": pair.integers, "changed": pair.changed} for pair in found.pairs
        ],
    }


def _last(found: LastEpoch) -> dict[str, Any]:
    return {
        "test_accuracy": found.test and asdict(found.test),
        "held": found.held and asdict(found.held),
        "target_verdict": found.target.verdict,
        "target_seeds": found.target.seeds,
    }
