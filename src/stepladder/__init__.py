"""Climb to an accuracy target one change at a time, with evidence for every step."""

from stepladder.spec import (
    Affine,
    Budget,
    Conv,
    Flatten,
    GlobalAvgPool,
    Ladder,
    Linear,
    MaxPool,
    Network,
    Recipe,
    SpecError,
    Step,
    StepLR,
)

__version__ = "0.1.0"

__all__ = [
    "Affine",
    "Budget",
    "Conv",
    "Flatten",
    "GlobalAvgPool",
    "Ladder",
    "Linear",
    "MaxPool",
    "Network",
    "Recipe",
    "SpecError",
    "Step",
    "StepLR",
]
