"""Climb to an accuracy target one change at a time, with evidence for every step."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from stepladder.spec import (
    EMA,
    AdamW,
    Affine,
    Budget,
    Cosine,
    Erasing,
    LinearDecay,
    Network,
    OneCycle,
    Recipe,
    SpecError,
    StepLR,
    UserError,
)
from stepladder.spec.layers import (
    AvgPool,
    BatchNorm,
    BlurPool,
    Conv,
    Dropout,
    Excite,
    Flatten,
    GlobalAvgPool,
    Linear,
    MaxPool,
    ReLU,
    Residual,
)
from stepladder.steps import Ladder, Step

if TYPE_CHECKING:
    from stepladder.data import DataError
    from stepladder.lab import Lab
    from stepladder.records import RecordError

__version__ = "0.1.0"

__all__ = [
    "EMA",
    "AdamW",
    "Affine",
    "AvgPool",
    "BatchNorm",
    "BlurPool",
    "Budget",
    "Conv",
    "Cosine",
    "DataError",
    "Dropout",
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
    "ReLU",
    "Recipe",
    "RecordError",
    "Residual",
    "SpecError",
    "Step",
    "StepLR",
    "UserError",
]


_ELSEWHERE = {"DataError": "stepladder.data", "Lab": "stepladder.lab", "RecordError": "stepladder.records"}
"""Names that a ladder's file needs nothing of, and that bring numpy and more: loaded when they are asked for."""


def __getattr__(name: str) -> Any:
    if name in _ELSEWHERE:
        return getattr(import_module(_ELSEWHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
