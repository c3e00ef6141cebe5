"""A report's figures as what the page draws: positions, verdicts, shades, charts and pictures."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepladder.page.charts import Curves, Range, accuracy_chart, loss_chart
from stepladder.page.pictures import data_uri

GALLERY = 60
"""At most so many misclassified images are shown for a step."""


class Axis(NamedTuple):
    """The accuracies at both ends of the overview's strips, and where the target lies between them, in percent."""

    low: float
    high: float
    target: float

    def place(self, accuracy: float) -> float:
        """Where an accuracy lies, in percent of the strip; beyond an end, at the end."""
        return round(100 * min(max((accuracy - self.low) / (self.high - self.low), 0.0), 1.0), 2)


class Strip(NamedTuple):
    """One step on the axis, in percent: a mark for each seed, the mean, and the interval's start and width."""

    seeds: list[float]
    mean: float
    interval: tuple[float, float] | None


class Verdict(NamedTuple):
    """Whether a step meets the budget: `kind` (met, partly, missed, unknown), a mark, and the reason."""

    kind: str
    mark: str
    text: str


class Spans(NamedTuple):
    """The lowest and highest accuracy and loss of all steps, so that all charts have the same axes."""

    accuracy: Range
    loss: Range


class Charts(NamedTuple):
    """A step's learning curves as SVG, and the epochs that began with a lower learning rate."""

    accuracy: str
    loss: str
    drops: list[int]


class Confusion(NamedTuple):
    """The matrix with the depth of each shade (0 to 1), and the most frequent confusion (label, answer, times)."""

    rows: list[list[tuple[int, float]]]
    errors: int
    most: tuple[int, int, int] | None


def axis(found: dict[str, Any]) -> Axis:
    """An axis that holds the target and the last epoch of every seed."""
    values = [found["budget"]["accuracy"], *(value for step in found["steps"] for value in _last(step))]
    unit = 0.001 if max(values) - min(values) < 0.02 else 0.01
    low = max(math.floor(min(values) / unit - 0.2) * unit, 0.0)
    high = min(math.ceil(max(values) / unit + 0.2) * unit, 1.0)
    whole = Axis(round(low, 6), round(high, 6), 0)
    return whole._replace(target=whole.place(values[0]))


def strip(step: dict[str, Any], on: Axis) -> Strip | None:
    """The step's seeds, mean and interval on the axis; None without finished seeds."""
    accuracy = step["test_accuracy"]
    if not accuracy:
        return None
    interval = None
    if accuracy["low"] is not None:
        start = on.place(accuracy["low"])
        interval = start, round(on.place(accuracy["high"]) - start, 2)
    return Strip([on.place(value) for value in _last(step)], on.place(accuracy["mean"]), interval)


def verdict(step: dict[str, Any], budget: dict[str, Any]) -> Verdict:
    """Whether the step keeps within the budget and every seed held its accuracy."""
    over = [f"{step[name]:,} {name}" for name in ("parameters", "epochs") if step[name] > budget[name]]
    if over:
        return Verdict("missed", "✗", f"over the budget: {', '.join(over)}")
    held = step["held"]
    if not held:
        return Verdict("unknown", "·", "not run")
    if step["epochs"] < budget["hold"]:
        return Verdict("unknown", "·", "too few epochs")
    count = round(held["share"] * held["n"])
    kind, mark = ("met", "✓") if count == held["n"] else ("partly", "◐") if count else ("missed", "✗")
    return Verdict(kind, mark, f"held by {count} of {held['n']}")


def spans(found: dict[str, Any]) -> Spans:
    """The ranges of accuracy (with the target) and loss over all steps, seeds and epochs."""
    epochs = [epoch for step in found["steps"] for history in step["history"].values() for epoch in history]

    accuracies, losses = (
        [epoch[f"{part}_{name}"] for epoch in epochs for part in ("train", "test")] for name in ("accuracy", "loss")
    )
    accuracies.append(found["budget"]["accuracy"])
    return Spans((min(accuracies), max(accuracies)), (min(losses, default=0.0), max(losses, default=1.0)))


def charts(step: dict[str, Any], target: float, shared: Spans) -> Charts | None:
    """The step's learning curves; None without an epoch."""
    if not any(step["history"].values()):
        return None
    longest = max(step["history"].values(), key=len)
    drops = [after["epoch"] for before, after in pairwise(longest) if _lower(before, after)]
    accuracy = accuracy_chart(f"{step['id']} accuracy", _curves(step, "accuracy"), target, shared.accuracy, drops)
    return Charts(accuracy, loss_chart(f"{step['id']} loss", _curves(step, "loss"), shared.loss, drops), drops)


def confusion(counts: list[list[int]] | None) -> Confusion | None:
    """The confusion matrix, its shades by the square root of the count so that single errors can be seen."""
    if counts is None:
        return None
    off = np.array(counts)
    np.fill_diagonal(off, 0)
    label, answer = np.unravel_index(off.argmax(), off.shape)
    largest = int(off.max())
    shades = np.sqrt(off / max(largest, 1)).round(3)
    rows = [list(zip(row, shade, strict=True)) for row, shade in zip(counts, shades.tolist(), strict=True)]
    return Confusion(rows, int(off.sum()), (int(label), int(answer), largest) if largest else None)


def gallery(missed: Sequence[dict[str, Any]], images: NDArray[np.uint8]) -> list[dict[str, Any]]:
    """The images most often missed, each with its picture."""
    return [image | {"picture": data_uri(images[image["index"]])} for image in missed[:GALLERY]]


def _curves(step: dict[str, Any], name: str) -> Curves:
    def of(part: str, seeds: Iterable[int]) -> list[list[float]]:
        histories = (step["history"][str(seed)] for seed in seeds)
        return [[epoch[f"{part}_{name}"] for epoch in history] for history in histories if history]

    kinds = [(part, seeds) for seeds in (step["seeds"], step["diverged"]) for part in ("train", "test")]
    return Curves(*(of(part, seeds) for part, seeds in kinds))


def _lower(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether the learning rate was cut, by a tenth at least: schedules that glide would fill the chart with lines."""
    return bool(after["learning_rate"] <= 0.9 * before["learning_rate"])


def _last(step: dict[str, Any]) -> list[float]:
    """Test accuracy after the last epoch, of the finished seeds."""
    return [step["history"][str(seed)][-1]["test_accuracy"] for seed in step["seeds"]]
