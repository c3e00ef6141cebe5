"""Test accuracies epoch by epoch, by seed: runs that settle, rise, scatter, dip."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

Histories = dict[int, list[float]]


def climb(
    last: float, seed: int = 0, *, scatter: float = 0.0008, rise: float = 0.0, epochs: int = 14, calm: int = 99
) -> list[float]:
    """A run that settles at `last` (reached exactly in its last epoch), moving by about `scatter` from epoch to epoch, a
    quarter of it after epoch `calm`, and rising by `rise` for each of the epochs."""
    noise = np.random.default_rng(seed).uniform(-1, 1, epochs) * scatter * np.where(np.arange(epochs) < calm, 1, 0.25)
    left = np.arange(epochs - 1, -1, -1)
    curve = last + noise - noise[-1] - 0.02 * np.exp(-np.arange(epochs) / 1.2) - rise * left
    return [round(10_000 * min(accuracy, 1)) / 10_000 for accuracy in [*curve[:-1].tolist(), last]]


def climbs(lasts: Iterable[float], **shape: Any) -> Histories:
    """Runs of seeds 0, 1, ... that end like this."""
    return {seed: climb(last, seed, **shape) for seed, last in enumerate(lasts)}


def around(mean: float, spread: float, seeds: int, draw: int = 0) -> list[float]:
    """Accuracies of so many seeds, in whole images, with this mean (to an image) and standard deviation."""
    values = np.random.default_rng(draw).normal(size=seeds)
    values = mean + spread * (values - values.mean()) / (values.std(ddof=1) if seeds > 1 else 1)
    return [round(10_000 * value) / 10_000 for value in values.tolist()]


def shifted(lasts: Sequence[float], mean: float, spread: float) -> list[float]:
    """Those accuracies, pair by pair moved by differences with this mean and standard deviation."""
    moves = around(mean, spread, len(lasts), draw=7)
    return [round(10_000 * (last + move)) / 10_000 for last, move in zip(lasts, moves, strict=True)]


def dipped(histories: Histories) -> Histories:
    """Those runs with an epoch far below the others before the last two."""
    return {seed: [*history[:-3], 0.9920, *history[-2:]] for seed, history in histories.items()}
