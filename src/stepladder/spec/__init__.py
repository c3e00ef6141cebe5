"""Values only: what a ladder says, before anything is trained."""

from stepladder.spec.check import SpecError, UserError
from stepladder.spec.data import to_data
from stepladder.spec.ladder import CONCEPTS, Budget, Change, Ladder, Step
from stepladder.spec.layers import Conv, Flatten, GlobalAvgPool, Layer, Linear, MaxPool, Network, Shape
from stepladder.spec.recipe import Affine, Recipe, StepLR

__all__ = [
    "CONCEPTS", "Affine", "Budget", "Change", "Conv", "Flatten", "GlobalAvgPool", "Ladder", "Layer", "Linear", "MaxPool",
    "Network", "Recipe", "Shape", "SpecError", "Step", "StepLR", "UserError", "to_data",
]  # fmt: skip
