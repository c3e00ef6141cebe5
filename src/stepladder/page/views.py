"""A step's figures as what its section of the page draws: curves, matrix and pictures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepladder.analysis import percent
from stepladder.evidence.curves import CUT
from stepladder.page.charts import Chart, Curves, Place, Range, accuracy_chart, late_chart, late_from, loss_chart
from stepladder.page.pictures import shown

MISSED = 6
"""So many of the images that a step misses most often can be shown to its network."""
GALLERY = 60
"""At most so many misclassified images are shown for a step."""


class Spans(NamedTuple):
    """The lowest and highest accuracy and loss of all steps, so that all charts have the same axes."""

    accuracy: Range
    loss: Range


class Reading(NamedTuple):
    """What a chart says at one epoch: where, both values with their range over the seeds, and the parent's where it has one."""

    place: Place
    epoch: int
    test: str
    train: str
    before: str


class Graph(NamedTuple):
    """A chart with a reading for each epoch (none without a finished seed)."""

    svg: str
    readings: list[Reading]

    @property
    def data(self) -> list[list[Any]]:
        """The readings as the page's script takes them: x, y of test and train, and the texts of the legend."""
        return [[*reading.place, str(reading.epoch), *reading[2:]] for reading in self.readings]


class Charts(NamedTuple):
    """A step's learning curves, those of its late epochs (None where there are few or none), the parent whose curve is behind
    them ('' where there is none), and the epochs that began with a lower learning rate."""

    accuracy: Graph
    late: Graph | None
    loss: Graph
    before: str
    drops: list[int]

    @property
    def graphs(self) -> list[tuple[str, str, Graph]]:
        """Each with its heading and what it is a chart of."""
        late = [("Accuracy, late epochs", "accuracy in the late epochs", self.late)] if self.late else []
        return [("Accuracy", "accuracy", self.accuracy), *late, ("Loss", "loss", self.loss)]


class Confusion(NamedTuple):
    """The names of the classes, the matrix with the depth of each shade (0 to 1), each label's share of right answers, the label
    with the smallest, and the most frequent confusion (label, answer, times)."""

    names: Sequence[str]
    rows: list[list[tuple[int, float]]]
    shares: list[float | None]
    worst: int
    most: tuple[str, str, int] | None


def spans(found: dict[str, Any]) -> Spans:
    """The ranges of accuracy (with the target) and loss over all steps, seeds and epochs."""
    epochs = [epoch for step in found["steps"] for history in step["history"].values() for epoch in history]
    accuracies, losses = (
        [epoch[f"{part}_{name}"] for epoch in epochs for part in ("train", "test")] for name in ("accuracy", "loss")
    )
    accuracies.append(found["budget"]["accuracy"])
    return Spans((min(accuracies), max(accuracies)), (min(losses, default=0.0), max(losses, default=1.0)))


def charts(step: dict[str, Any], target: float, shared: Spans, parent: dict[str, Any] | None = None) -> Charts | None:
    """The step's learning curves, behind them its parent's; None without an epoch."""
    if not any(step["history"].values()):
        return None
    longest = max(step["history"].values(), key=len)
    drops = _drops([epoch["learning_rate"] for epoch in longest])
    accuracies, losses = (_curves(step, name, parent) for name in ("accuracy", "loss"))
    accuracy = accuracy_chart(f"{step['id']} accuracy", accuracies, target, shared.accuracy, drops)
    first = late_from(len(accuracies.test[0])) if accuracies.test else None
    late = late_chart(f"{step['id']} late", accuracies, target, first, drops) if first else None
    loss = loss_chart(f"{step['id']} loss", losses, shared.loss, drops)

    def graph(chart: Chart) -> Graph:
        return Graph(chart.svg, _readings(chart, accuracies, percent, lambda value: f"{100 * value:.2f}"))

    return Charts(
        accuracy=graph(accuracy),
        late=graph(late) if late else None,
        loss=Graph(loss.svg, _readings(loss, losses, "{:.4f}".format, "{:.4f}".format)),
        before=parent["id"] if parent and accuracies.before else "",
        drops=drops,
    )


def confusion(step: dict[str, Any], names: Sequence[str]) -> Confusion | None:
    """The confusion matrix, its shades by the square root of the count so that single errors can be seen."""
    counts, shares = step["confusion"], step["per_class"]
    if counts is None:
        return None
    off = np.array(counts)
    np.fill_diagonal(off, 0)
    label, answer = np.unravel_index(off.argmax(), off.shape)
    largest = int(off.max())
    shades = np.sqrt(off / max(largest, 1)).round(3)
    rows = [list(zip(row, shade, strict=True)) for row, shade in zip(counts, shades.tolist(), strict=True)]
    worst = min((share, label) for label, share in enumerate(shares) if share is not None)[1]
    return Confusion(names, rows, shares, worst, (names[int(label)], names[int(answer)], largest) if largest else None)


def is_ink(images: NDArray[np.uint8]) -> bool:
    """Whether images are ink on black, as MNIST's are: grey, and black in more than half of their pixels."""
    return images.shape[1] == 1 and 2 * int(np.count_nonzero(images)) < images.size


def gallery(missed: Sequence[dict[str, Any]], pictures: Mapping[int, str], names: Sequence[str]) -> list[dict[str, Any]]:
    """The images most often missed, of those that have a picture, with label and answers by name."""
    found = missed[:GALLERY]
    return [
        image | {"label": names[image["label"]], "answers": [names[int(answer)] for answer in image["answers"]]}
        for image in found[: shown((image["index"] for image in found), pictures)]
    ]


def choices(
    examples: Sequence[int], missed: Sequence[dict[str, Any]], pictures: Mapping[int, str], names: Sequence[str]
) -> list[tuple[int, str]]:
    """The images that a step's network can be shown, the examples and those it missed most often, and what each is."""
    labels = {image["index"]: names[image["label"]] for image in missed}
    hard = [image["index"] for image in missed[:MISSED] if image["index"] not in examples]
    return [
        (index, f"test image {index}" + (f", {labels[index]}, which was missed" if index in labels else ""))
        for index in [*examples, *hard]
        if index in pictures
    ]


def _curves(step: dict[str, Any], name: str, parent: dict[str, Any] | None) -> Curves:
    train, test = f"train_{name}", f"test_{name}"
    before = _histories(parent, test, "seeds") if parent else []
    return Curves(
        *(_histories(step, train, "seeds"), _histories(step, test, "seeds")),
        *(_histories(step, train, "diverged"), _histories(step, test, "diverged")),
        np.mean(before, axis=0).tolist() if before else [],
    )


def _histories(step: dict[str, Any], name: str, kind: str) -> list[list[float]]:
    """A curve for each of the step's `seeds`, or of those that `diverged`."""
    histories = (step["history"][str(seed)] for seed in step[kind])
    return [[epoch[name] for epoch in history] for history in histories if history]


def _drops(rates: Sequence[float]) -> list[int]:
    """The epochs (from 1) at which a rate that had been constant was cut; one that glides would fill a chart with lines."""
    triples = zip(rates, rates[1:], rates[2:], strict=False)
    return [epoch for epoch, (before, last, rate) in enumerate(triples, start=3) if before == last and rate <= CUT * last]


def _readings(chart: Chart, curves: Curves, mean: Callable[[float], str], end: Callable[[float], str]) -> list[Reading]:
    def text(values: Sequence[float]) -> str:
        said = mean(float(np.mean(values)))
        return said if len(values) == 1 else f"{said} ({end(min(values))} to {end(max(values))})"

    start = chart.first - 1
    kinds = (list(zip(*kind, strict=True))[start:] for kind in (curves.test, curves.train))
    before = [mean(value) for value in curves.before[start:]]
    before += [""] * (len(chart.places) - len(before))
    epochs = zip(chart.places, *kinds, before[: len(chart.places)], strict=True)
    return [
        Reading(place, epoch, text(test), text(train), said)
        for epoch, (place, test, train, said) in enumerate(epochs, start=chart.first)
    ]
