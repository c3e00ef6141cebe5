"""Values only: what a ladder says, before anything is trained."""

from stepladder.spec.check import SpecError, UserError, shown
from stepladder.spec.data import from_data, to_data
from stepladder.spec.ladder import Budget, Ladder
from stepladder.spec.layers import Join, Layer, Shape
from stepladder.spec.network import Network
from stepladder.spec.recipe import EMA, AdamW, Affine, Erasing, Recipe
from stepladder.spec.schedules import Cosine, LinearDecay, OneCycle, Schedule, StepLR
from stepladder.spec.step import CONCEPTS, Change, Step

__all__ = [
    "CONCEPTS", "EMA", "AdamW", "Affine", "Budget", "Change", "Cosine", "Erasing", "Join", "Ladder", "Layer", "LinearDecay",
    "Network", "OneCycle", "Recipe", "Schedule", "Shape", "SpecError", "Step", "StepLR", "UserError", "from_data", "shown",
    "to_data",
]  # fmt: skip
