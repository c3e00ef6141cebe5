"""Values only: what networks and recipes say."""

from stepladder.spec.budget import Budget
from stepladder.spec.check import SpecError, UserError, shown
from stepladder.spec.data import from_data, to_data
from stepladder.spec.layers import Join, Layer, Shape
from stepladder.spec.network import Network
from stepladder.spec.recipe import EMA, AdamW, Affine, Erasing, Recipe
from stepladder.spec.schedules import Cosine, LinearDecay, OneCycle, Schedule, StepLR

__all__ = [
    "EMA", "AdamW", "Affine", "Budget", "Cosine", "Erasing", "Join", "Layer", "LinearDecay",
    "Network", "OneCycle", "Recipe", "Schedule", "Shape", "SpecError", "StepLR", "UserError", "from_data", "shown",
    "to_data",
]  # fmt: skip
