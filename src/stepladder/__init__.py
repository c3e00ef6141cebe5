"""Climb to an accuracy target one change at a time, with evidence for every step."""

from stepladder.spec import (
    EMA,
    AdamW,
    Affine,
    Budget,
    Cosine,
    Erasing,
    Ladder,
    LinearDecay,
    Network,
    OneCycle,
    Recipe,
    SpecError,
    Step,
    StepLR,
)
from stepladder.spec.layers import (
    AvgPool,
    BlurPool,
    Conv,
    Excite,
    Flatten,
    GlobalAvgPool,
    Linear,
    MaxPool,
    Residual,
)

__version__ = "0.1.0"

__all__ = [
    "EMA",
    "AdamW",
    "Affine",
    "AvgPool",
    "BlurPool",
    "Budget",
    "Conv",
    "Cosine",
    "Erasing",
    "Excite",
    "Flatten",
    "GlobalAvgPool",
    "Ladder",
    "Linear",
    "LinearDecay",
    "MaxPool",
    "Network",
    "OneCycle",
    "Recipe",
    "Residual",
    "SpecError",
    "Step",
    "StepLR",
]
