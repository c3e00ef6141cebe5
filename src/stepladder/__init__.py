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
    ELU,
    GELU,
    AvgPool,
    BatchNorm,
    BlurPool,
    Branch,
    Concat,
    Conv,
    Dropout,
    Dropout2d,
    Excite,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    HardSwish,
    LayerNorm,
    LeakyReLU,
    Linear,
    MaxPool,
    Multiply,
    PReLU,
    ReLU,
    ReLU6,
    Residual,
    Sigmoid,
    SiLU,
    Tanh,
)
from stepladder.steps import Ladder, Step

if TYPE_CHECKING:
    from stepladder.data import DataError
    from stepladder.lab import Lab
    from stepladder.records import RecordError

__version__ = "0.1.0"

__all__ = [
    "ELU",
    "EMA",
    "GELU",
    "AdamW",
    "Affine",
    "AvgPool",
    "BatchNorm",
    "BlurPool",
    "Branch",
    "Budget",
    "Concat",
    "Conv",
    "Cosine",
    "DataError",
    "Dropout",
    "Dropout2d",
    "Erasing",
    "Excite",
    "Flatten",
    "GlobalAvgPool",
    "GroupNorm",
    "HardSwish",
    "Lab",
    "Ladder",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LinearDecay",
    "MaxPool",
    "Multiply",
    "Network",
    "OneCycle",
    "PReLU",
    "ReLU",
    "ReLU6",
    "Recipe",
    "RecordError",
    "Residual",
    "SiLU",
    "Sigmoid",
    "SpecError",
    "Step",
    "StepLR",
    "Tanh",
    "UserError",
]


_ELSEWHERE = {"DataError": "stepladder.data", "Lab": "stepladder.lab", "RecordError": "stepladder.records"}
"""Names that a ladder's file needs nothing of, and that bring numpy and more: loaded when they are asked for."""


def __getattr__(name: str) -> Any:
    if name in _ELSEWHERE:
        return getattr(import_module(_ELSEWHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
