"""Learning curves as inline SVG that takes its colours and font from the page."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from io import StringIO
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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

_ACCURACIES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999)
_LOSSES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
# Colours that stand for the page's own, so that a dark page has a dark chart.
_TEST, _TRAIN, _TARGET, _INK, _GRID = "#000001", "#000002", "#000003", "#000004", "#000005"
_VARIABLES = {_TEST: "--test", _TRAIN: "--train", _TARGET: "--target-line", _INK: "--muted", _GRID: "--line"}


class Curves(NamedTuple):
    """What is drawn, a curve for each seed: the finished ones, which are averaged, and those that diverged."""

    train: Sequence[Curve]
    test: Sequence[Curve]
    train_diverged: Sequence[Curve] = ()
    test_diverged: Sequence[Curve] = ()


class Place(NamedTuple):
    """Where an epoch and its two means are drawn, in percent of the chart from its left and its top."""

    x: float
    test: float
    train: float


class Chart(NamedTuple):
    """An <svg> element, and the place of each epoch (none without a finished seed)."""

    svg: str
    places: list[Place]


def accuracy_chart(name: str, curves: Curves, target: float, span: Range, drops: Sequence[int]) -> Chart:
    """Accuracies by epoch. `span` is the lowest and highest accuracy shown, `drops` are the epochs that began with a lower
    learning rate, `name` tells this chart's marks from those of the page's other charts."""
    figure, axes = _axes()
    errors = Curves(*([[_error(value) for value in curve] for curve in kind] for kind in curves))
    axes.set_yscale("log")
    axes.axhline(_error(target), color=_TARGET, linewidth=1, linestyle=(0, (5, 3)))
    _draw(axes, errors, drops)
    ticks = _between(_ACCURACIES, span)
    axes.set_yticks([_error(value) for value in ticks], [f"{100 * value:g} %" for value in ticks])
    axes.set_ylim(_error(min(ticks[0], span[0])), _error(max(ticks[-1], span[1])))
    return Chart(_svg(figure, name), _places(figure, errors))


def loss_chart(name: str, curves: Curves, span: Range, drops: Sequence[int]) -> Chart:
    """Losses by epoch on a logarithmic axis; the arguments are those of `accuracy_chart`."""
    figure, axes = _axes()
    axes.set_yscale("log")
    losses = Curves(*([[max(value, LEAST_LOSS) for value in curve] for curve in kind] for kind in curves))
    _draw(axes, losses, drops)
    span = max(span[0], LEAST_LOSS), max(span[1], LEAST_LOSS)
    ticks = _between(_LOSSES, span)
    axes.set_yticks(ticks, [f"{value:g}" for value in ticks])
    axes.set_ylim(min(ticks[0], span[0]), max(ticks[-1], span[1]))
    return Chart(_svg(figure, name), _places(figure, losses))


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
    axes.spines["bottom"].set_color(_INK)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.tick_params(which="major", length=0, colors=_INK, labelsize=9)
    axes.tick_params(axis="x", length=3, color=_INK)
    axes.set_xlabel("epoch", color=_INK, fontsize=9)
    axes.set_axisbelow(True)
    axes.set_autoscale_on(False)  # the limits are given, and matplotlib warns of those it finds for a lone line
    return figure, axes


def _draw(axes: Axes, curves: Curves, drops: Sequence[int]) -> None:
    """Every seed thin, the mean over the finished ones thick, those that diverged dotted (the first `MANY`). Of more seeds than
    that a band from lowest to highest, and a darker one of the middle 90 %, epoch by epoch."""
    for epoch in drops:
        axes.axvline(epoch - 0.5, color=_INK, linewidth=0.8, linestyle=(0, (1, 2)))
    for color, kind, lost in ((_TRAIN, curves.train, curves.train_diverged), (_TEST, curves.test, curves.test_diverged)):
        thin = [(curve, "-") for curve in kind if 1 < len(kind) <= MANY] + [(curve, ":") for curve in lost[:MANY]]
        for curve, style in thin:
            axes.plot(_epochs(curve), curve, style, color=color, linewidth=0.8, alpha=0.45)
        for ends, alpha in ((0, 100), 0.15), ((5, 95), 0.25):
            if len(kind) > MANY:
                low, high = np.percentile(kind, ends, axis=0)
                axes.fill_between(_epochs(low.tolist()), low, high, color=color, alpha=alpha, linewidth=0)
        if kind:
            mean = np.mean(kind, axis=0).tolist()
            axes.plot(_epochs(mean), mean, color=color, linewidth=2.2, marker="o" if len(mean) == 1 else "")
    longest = max((len(curve) for kind in curves for curve in kind), default=1)
    axes.minorticks_off()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0.7, max(longest, 2) + 0.3)


def _epochs(curve: Curve) -> range:
    return range(1, len(curve) + 1)


def _places(figure: Figure, curves: Curves) -> list[Place]:
    """The places of the means, once the figure has been laid out by drawing it."""
    if not curves.test:
        return []
    test, train = (np.mean(kind, axis=0) for kind in (curves.test, curves.train))
    to_figure = figure.axes[0].transData + figure.transFigure.inverted()
    epochs = np.arange(1, len(test) + 1)
    (x, low), (_, high) = (to_figure.transform(np.column_stack([epochs, mean])).T for mean in (test, train))
    rows = np.column_stack([x, 1 - low, 1 - high])
    return [Place(*row) for row in (100 * rows).round(2).tolist()]


def _svg(figure: Figure, name: str) -> str:
    """The figure as an <svg> element: the same text on every run, without sizes, ids of no use and namespaces."""
    written = StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :]
    # matplotlib's <style> would apply to the whole page, and its fonts are not the page's.
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.S)
    svg = re.sub(r' transform="rotate\(-0 [^"]*"', "", svg)
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)
    svg = re.sub(r' (xmlns(:xlink)?|version)="[^"]*"', "", svg)
    svg = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", svg))
    used = set(re.findall(r"#([\w-]+)", svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", svg)
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, f"var({variable})")
    return re.sub(r"\n\s*", "\n", svg).strip()
