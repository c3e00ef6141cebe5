"""A result as a matplotlib figure: learning curves, and the effects as a forest plot."""

from collections.abc import Mapping
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stepladder.evidence import MARGIN, Arm, Evidence
from stepladder.steps import Ladder


class Plot(Figure):
    """A figure that notebooks show whether or not pyplot is in use."""

    def _repr_png_(self) -> bytes:
        written = BytesIO()
        self.savefig(written, format="png", dpi=110)
        return written.getvalue()


def figure(ladder: Ladder, arms: Mapping[str, Arm], gathered: Mapping[str, Evidence]) -> Plot:
    """Mean test accuracy of each step by epoch, and each step's effect against its parent with its 95 % interval."""
    made = Plot(figsize=(11, 4.2), layout="constrained")
    curves, forest = made.subplots(1, 2)
    _curves(curves, ladder, arms)
    _forest(forest, ladder, gathered)
    return made


def _curves(axes: Axes, ladder: Ladder, arms: Mapping[str, Arm]) -> None:
    for step in ladder.steps:
        tests = [[100 * epoch.test_accuracy for epoch in record.history] for record in arms[step.id].finished]
        if tests:
            axes.plot(range(1, len(tests[0]) + 1), np.mean(tests, axis=0), label=f"{step.id} (n = {len(tests)})", marker=".")
    axes.axhline(100 * ladder.budget.accuracy, color="grey", linestyle="--", linewidth=1, label="target")
    axes.set(xlabel="epoch", ylabel="test accuracy, %", title=f"{ladder.name}: mean over seeds")
    axes.legend(fontsize="small")


def _forest(axes: Axes, ladder: Ladder, gathered: Mapping[str, Evidence]) -> None:
    axes.axvspan(-100 * MARGIN, 100 * MARGIN, color="grey", alpha=0.15, linewidth=0)
    axes.axvline(0, color="grey", linewidth=1)
    known = [(step, effect) for step in ladder.steps if (effect := gathered[step.id].effect)]
    for place, (_, effect) in enumerate(known):
        low, high = (effect.mean if end is None else end for end in (effect.low, effect.high))
        axes.plot([100 * low, 100 * high], [place, place], color="tab:blue")
        axes.plot(100 * effect.mean, place, "s", color="tab:blue")
    axes.set_yticks(range(len(known)), [f"{step.id}: {effect.verdict}" for step, effect in known])
    axes.invert_yaxis()
    axes.set(xlabel="points of test accuracy against the step before", title="effects, 95 % intervals")
