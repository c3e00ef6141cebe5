"""The ladder at a glance: where accuracies and effects lie on their scales, and verdicts in a few words."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from stepladder.analysis import cells, counted
from stepladder.evidence import MARGIN
from stepladder.spec.budget import COSTS, DEVICE

TICKS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Distances between the ticks of a scale, of which the smallest is taken that gives no more than MOST of them."""
MOST = 5
AXIS = 140
"""Pixels of an axis on a desktop; where the window is narrower, it has half of that at least, and `few` ticks."""
LETTER, GAP = 6, 8
"""Pixels of a letter of its labels, and between two of them."""
ROOM = 0.04
"""The part of a scale that is left free at each end."""

TARGETS: dict[str, tuple[str, str]] = {
    "reached": ("good", "✓"),
    "accurate, not held": ("bad", "✗"),
    "missed": ("bad", "✗"),
    "undecided": ("open", "◐"),
    "one run: too few to judge": ("open", "◐"),
    "too few epochs to judge": ("none", "·"),
    "over budget": ("bad", "✗"),
    "diverged": ("bad", "✗"),
    "not run": ("none", "·"),
}
"""A target's verdict: its colour and sign."""
EFFECTS: dict[str, str] = {
    "helps": "good",
    "hurts": "bad",
    "no difference": "none",
    "dead": "dead",
    "undecided": "open",
    "one pair: too few to judge": "open",
}
"""An effect's verdict: its colour."""


class Scale(NamedTuple):
    """An axis from `low` to `high` with ticks between, of which `few` have room on half of it; values are fractions."""

    low: float
    high: float
    ticks: list[float]

    @property
    def few(self) -> list[float]:
        """Every other tick, with 0 among them where it is one."""
        return self.ticks[self.ticks.index(0) % 2 if 0 in self.ticks else 0 :: 2]

    def place(self, value: float) -> float:
        """Where a value lies, in percent of the axis; beyond an end, at the end."""
        return round(100 * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0), 2)


class Mark(NamedTuple):
    """A mean on a scale, the places of single seeds, and the interval's start and width, all in percent; `cut` names the
    sides on which the interval goes on beyond the scale."""

    mean: float
    seeds: list[float]
    interval: tuple[float, float] | None
    cut: list[str]


class Verdict(NamedTuple):
    """A judgement: `kind` (good, bad, open, none) for its colour, a sign, a word, and a reason."""

    kind: str
    sign: str
    word: str
    reason: str


def accuracies(found: dict[str, Any]) -> Scale:
    """A scale that holds the target, the last epoch of every seed, and the intervals of usual width."""
    values = [found["budget"]["accuracy"], *(value for step in found["steps"] for value in _last(step))]
    reach = (max(values) - min(values)) / 2
    return _scale(values, min(values) - reach, max(values) + reach, [step["test_accuracy"] for step in found["steps"]])


def effects(found: dict[str, Any]) -> Scale:
    """A scale that holds 0, twice the margin of equivalence, every mean effect, and the intervals of usual width."""
    known = [step["effect"] for step in found["steps"]]
    values = [-2 * MARGIN, 2 * MARGIN, *(effect["mean"] for effect in known if effect)]
    reach = 2 * max(map(abs, values))
    return _scale(values, -reach, reach, known)


def accuracy_mark(step: dict[str, Any], scale: Scale) -> Mark | None:
    """The step's test accuracy with a place for each seed; None without finished seeds."""
    return _mark(step["test_accuracy"], _last(step), scale)


def effect_mark(step: dict[str, Any], scale: Scale) -> Mark | None:
    """The step's effect; None where there is none."""
    return _mark(step["effect"], [], scale)


def target(step: dict[str, Any]) -> Verdict:
    """The verdict on the step's target, and what it rests on."""
    verdict = step["target_verdict"]
    kind, sign = TARGETS[verdict]
    reason = f"held by {cells.held(step['held'])}" if verdict in ("reached", "accurate, not held", "missed", "undecided") else ""
    if verdict == "over budget":
        reason = ", ".join(f"{_cost(step, name):,} {COSTS[name]}" for name in step["over_budget"])
    elif step["target_seeds"]:
        reason = f"≈ {counted(step['target_seeds'], 'seed')} in all"
    return Verdict(kind, sign, verdict, reason)


def _cost(step: dict[str, Any], name: str) -> int:
    """What a step has of something that a budget limits."""
    found: int = (step.get("device") or step)[name] if name in DEVICE else step[name]
    return found


def effect(step: dict[str, Any]) -> Verdict | None:
    """What the change did; None where it is not measured."""
    found = step["effect"]
    if not found:
        return None
    reason = "changed nothing" if found["verdict"] == "dead" else "" if found["n"] == 1 else f"{found['n']} pairs"
    if found["reason"].startswith("interval excludes 0"):
        reason = f"{reason}: {found['reason']}"
    return Verdict(EFFECTS[found["verdict"]], "", found["verdict"], reason)


def _scale(values: Sequence[float], least: float, most: float, estimates: Iterable[dict[str, Any] | None]) -> Scale:
    """A scale that holds the values, and the estimates' intervals as far as these lie from `least` to `most`."""
    ends = [found[side] for found in estimates if found and found["low"] is not None for side in ("low", "high")]
    shown = [*values, *(min(max(end, least), most) for end in ends)]
    room = max(max(shown) - min(shown), TICKS[1]) * ROOM
    low, high = min(shown) - room, max(shown) + room
    for apart in TICKS:
        ticks = [round(tick * apart, 6) for tick in range(math.ceil(low / apart), math.floor(high / apart) + 1)]
        if len(ticks) <= MOST and _widest(ticks) <= AXIS * apart / (high - low):
            break
    return Scale(low, high, ticks)


def _widest(ticks: Sequence[float]) -> float:
    """What two labels that stand beside one another need at most from middle to middle, in pixels; 0 without two."""
    letters = [len(f"{100 * tick:+.6g}") if tick else 1 for tick in ticks]
    return max((LETTER * (one + other) / 2 + GAP for one, other in pairwise(letters)), default=0)


def _mark(found: dict[str, Any] | None, seeds: Iterable[float], scale: Scale) -> Mark | None:
    if not found:
        return None
    # (Seeds in one place are one mark: there are as many places as counts of right answers, however many the seeds.)
    places, mean, low, high = sorted({scale.place(seed) for seed in seeds}), scale.place(found["mean"]), found["low"], found["high"]
    if low is None:
        return Mark(mean, places, None, [])
    start = scale.place(low)
    cut = [side for side, beyond in (("left", low < scale.low), ("right", high > scale.high)) if beyond]
    return Mark(mean, places, (start, round(scale.place(high) - start, 2)), cut)


def _last(step: dict[str, Any]) -> list[float]:
    """Test accuracy after the last epoch, of the finished seeds."""
    return [step["history"][str(seed)][-1]["test_accuracy"] for seed in step["seeds"]]
