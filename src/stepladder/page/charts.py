"""Learning curves as inline SVG."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stepladder.page.svg import GRID, INK, TARGET, TEST, TRAIN, svg

Curve = Sequence[float]
Range = tuple[float, float]

SIZE = (4.8, 2.9)
"""Inches; the page scales the figure to its column."""
MANY = 30
"""More seeds than this are drawn as bands: their curves could not be told apart, and would be most of the page."""
LEAST_ERROR = 1e-4
"""Accuracies are drawn by their error on a logarithmic axis; an error of 0 is drawn here, at 99.99 %."""
LEAST_LOSS = 1e-4
"""A loss of 0 is drawn here."""
LEAST_SPAN = 0.001
"""Of accuracies that differ less than this, an axis holds so much all the same."""

_ACCURACIES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999)
_LOSSES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Curves(NamedTuple):
    """What is drawn, a curve for each seed: the finished ones, which are averaged, and those that diverged; `before` is the test
    curve that the parent's finished seeds have in the mean, or empty."""

    train: Sequence[Curve]
    test: Sequence[Curve]
    train_diverged: Sequence[Curve] = ()
    test_diverged: Sequence[Curve] = ()
    before: Curve = ()

    def each(self, change: Callable[[float], float]) -> "Curves":
        """The curves with this made of every value."""
        train, test, *lost = ([[change(value) for value in curve] for curve in kind] for kind in self[:4])
        return Curves(train, test, lost[0], lost[1], [change(value) for value in self.before])


class Place(NamedTuple):
    """Where an epoch and its two means are drawn, in percent of the chart from its left and its top; None for a train accuracy
    that lies outside the axes."""

    x: float
    test: float
    train: float | None


class Chart(NamedTuple):
    """An <svg> element, and the place of each epoch from `first` on (none without a finished seed)."""

    svg: str
    places: list[Place]
    first: int = 1


def accuracy_chart(name: str, curves: Curves, target: float, span: Range, drops: Sequence[int]) -> Chart:
    """Accuracies by epoch. `span` is the lowest and highest accuracy shown, `drops` are the epochs that began with a lower
    learning rate, `name` tells this chart's marks from those of the page's other charts."""
    figure, axes = _axes()
    errors = curves.each(_error)
    axes.set_yscale("log")
    _line(axes, _error(target))
    _draw(axes, errors, drops)
    ticks = _between(_ACCURACIES, span)
    axes.set_yticks([_error(value) for value in ticks], [f"{100 * value:g} %" for value in ticks])
    axes.set_ylim(_error(min(ticks[0], span[0])), _error(max(ticks[-1], span[1])))
    return Chart(svg(figure, name), _places(figure, errors))


def late_chart(name: str, curves: Curves, target: float, first: int, drops: Sequence[int]) -> Chart:
    """The accuracies from epoch `first` on, on an axis that holds the test curves, and the target where it is near to them; train
    is drawn as far as it lies there too. The other arguments are those of `accuracy_chart`."""
    figure, axes = _axes()
    _line(axes, target)
    _draw(axes, curves, drops, first)
    shown = [value for curve in (*curves.test, *curves.test_diverged, curves.before) for value in curve[first - 1 :]]
    low, high = min(shown), max(shown)
    reach = max(high - low, LEAST_SPAN)
    if low - reach <= target <= high + reach:
        low, high = min(low, target), max(high, target)
    axes.set_ylim(max(low - reach / 12, 0), min(high + reach / 12, 1 + reach / 12))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: f"{round(100 * value, 6):g} %")
    return Chart(svg(figure, name), _places(figure, curves, first), first)


def late_from(epochs: int) -> int | None:
    """The epoch from which on a chart of the late ones begins: the last third, five at least; None where that is most of all."""
    late = max(-(-epochs // 3), 5)
    return epochs - late + 1 if epochs > late + 2 else None


def loss_chart(name: str, curves: Curves, span: Range, drops: Sequence[int]) -> Chart:
    """Losses by epoch on a logarithmic axis; the arguments are those of `accuracy_chart`."""
    figure, axes = _axes()
    axes.set_yscale("log")
    losses = curves.each(lambda value: max(value, LEAST_LOSS))
    _draw(axes, losses, drops)
    span = max(span[0], LEAST_LOSS), max(span[1], LEAST_LOSS)
    ticks = _between(_LOSSES, span)
    axes.set_yticks(ticks, [f"{value:g}" for value in ticks])
    axes.set_ylim(min(ticks[0], span[0]), max(ticks[-1], span[1]))
    return Chart(svg(figure, name), _places(figure, losses))


def _error(accuracy: float) -> float:
    return max(1 - accuracy, LEAST_ERROR)


def _between(ticks: Sequence[float], span: Range) -> Sequence[float]:
    """The ticks from the last one at or below the span to the first one at or above it, as far as there are such; two at
    least, so that there is an axis between them."""
    first = min(max(bisect_right(ticks, span[0]) - 1, 0), len(ticks) - 2)
    return ticks[first : max(bisect_left(ticks, span[1]) + 1, first + 2)]


def _axes() -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE, layout="constrained")
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    axes.patch.set_visible(False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(INK)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.tick_params(which="major", length=0, colors=INK, labelsize=9)
    axes.tick_params(axis="x", length=3, color=INK)
    axes.set_xlabel("epoch", color=INK, fontsize=9)
    axes.set_axisbelow(True)
    axes.set_autoscale_on(False)  # the limits are given, and matplotlib warns of those it finds for a lone line
    return figure, axes


def _line(axes: Axes, target: float) -> None:
    axes.axhline(target, color=TARGET, linewidth=1, linestyle=(0, (5, 3)))


def _draw(axes: Axes, curves: Curves, drops: Sequence[int], first: int = 1) -> None:
    """From epoch `first` on: the parent's curve behind all, every seed thin, the mean over the finished ones thick, those that
    diverged dotted (the first `MANY`). Of more seeds than that a band from lowest to highest, and a darker one of the middle
    90 %, epoch by epoch."""
    for epoch in (epoch for epoch in drops if epoch > first):
        axes.axvline(epoch - 0.5, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
    if len(curves.before) >= first:
        _plot(axes, curves.before, first, color=INK, linewidth=1.4)
    for color, kind, lost in ((TRAIN, curves.train, curves.train_diverged), (TEST, curves.test, curves.test_diverged)):
        thin = [(curve, "-") for curve in kind if 1 < len(kind) <= MANY] + [(curve, ":") for curve in lost[:MANY]]
        for curve, style in thin:
            _plot(axes, curve, first, color=color, linewidth=0.8, alpha=0.45, linestyle=style)
        for ends, alpha in ((0, 100), 0.15), ((5, 95), 0.25):
            if len(kind) > MANY:
                low, high = np.percentile(kind, ends, axis=0)[:, first - 1 :]
                axes.fill_between(range(first, first + len(low)), low, high, color=color, alpha=alpha, linewidth=0)
        if kind:
            mean = np.mean(kind, axis=0).tolist()
            _plot(axes, mean, first, color=color, linewidth=2.2, marker="o" if len(mean) == 1 else "")
    longest = max((len(curve) for kind in curves[:4] for curve in kind), default=1)
    axes.minorticks_off()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(first - 0.3, max(longest, 2) + 0.3)


def _plot(axes: Axes, curve: Curve, first: int, **style: Any) -> None:
    """A curve as far as the chart shows it: what lies outside would be written into it all the same."""
    axes.plot(range(first, len(curve) + 1), curve[first - 1 :], **style)


def _places(figure: Figure, curves: Curves, first: int = 1) -> list[Place]:
    """The places of the means, once the figure has been laid out by drawing it."""
    if not curves.test:
        return []
    test, train = (np.mean(kind, axis=0) for kind in (curves.test, curves.train))
    to_figure = figure.axes[0].transData + figure.transFigure.inverted()
    epochs = np.arange(first, len(test) + 1)
    (x, low), (_, high) = (to_figure.transform(np.column_stack([epochs, mean[first - 1 :]])).T for mean in (test, train))
    box = figure.axes[0].get_position()
    rows = (100 * np.column_stack([x, 1 - low, 1 - high])).round(2).tolist()
    inside = ((box.y0 <= high) & (high <= box.y1)).tolist()
    return [Place(along, down, train if seen else None) for (along, down, train), seen in zip(rows, inside, strict=True)]
