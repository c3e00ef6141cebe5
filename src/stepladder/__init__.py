"""Climb to an accuracy target one change at a time, with evidence for every step."""

from typing import TYPE_CHECKING, Any

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
    UserError,
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

if TYPE_CHECKING:
    from stepladder.lab import Lab

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
    "Lab",
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
    "UserError",
]


def __getattr__(name: str) -> Any:
    if name == "Lab":  # only now: a ladder's file needs none of what it brings
        from stepladder.lab import Lab

        return Lab
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
