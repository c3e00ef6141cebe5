"""What a ladder says, before anything is trained: steps that change one concept each, under a budget."""

from stepladder.steps.ladder import Ladder
from stepladder.steps.step import CONCEPTS, Change, Step

__all__ = ["CONCEPTS", "Change", "Ladder", "Step"]
