"""Values only: what a ladder says, before anything is trained."""

from stepladder.spec.check import SpecError, UserError
from stepladder.spec.data import to_data
from stepladder.spec.ladder import CONCEPTS, Budget, Change, Ladder, Step
from stepladder.spec.layers import (
    AvgPool,
    BlurPool,
    Conv,
    Excite,
    Flatten,
    GlobalAvgPool,
    Join,
    Layer,
    Linear,
    MaxPool,
    Residual,
    Shape,
)
from stepladder.spec.network import Network
from stepladder.spec.recipe import EMA, AdamW, Affine, Erasing, Recipe
from stepladder.spec.schedules import Cosine, LinearDecay, OneCycle, Schedule, StepLR

__all__ = [
    "CONCEPTS", "EMA", "AdamW", "Affine", "AvgPool", "BlurPool", "Budget", "Change", "Conv", "Cosine", "Erasing", "Excite",
    "Flatten", "GlobalAvgPool", "Join", "Ladder", "Layer", "Linear", "LinearDecay", "MaxPool", "Network", "OneCycle", "Recipe",
    "Residual", "Schedule", "Shape", "SpecError", "Step", "StepLR", "UserError", "to_data",
]  # fmt: skip
