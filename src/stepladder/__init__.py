"""Climb to an accuracy target one change at a time, with evidence for every step."""

from stepladder.spec import (
    EMA,
    AdamW,
    Affine,
    AvgPool,
    Budget,
    Conv,
    Cosine,
    Erasing,
    Flatten,
    GlobalAvgPool,
    Ladder,
    Linear,
    LinearDecay,
    MaxPool,
    Network,
    OneCycle,
    Recipe,
    SpecError,
    Step,
    StepLR,
)

__version__ = "0.1.0"

__all__ = [
    "EMA",
    "AdamW",
    "Affine",
    "AvgPool",
    "Budget",
    "Conv",
    "Cosine",
    "Erasing",
    "Flatten",
    "GlobalAvgPool",
    "Ladder",
    "Linear",
    "LinearDecay",
    "MaxPool",
    "Network",
    "OneCycle",
    "Recipe",
    "SpecError",
    "Step",
    "StepLR",
]
