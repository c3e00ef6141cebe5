"""What a step's runs show: estimates over seeds, effects in pairs, targets, and which images are missed.

Pure functions over numbers, but for `load`, which reads the records. Accuracies are fractions; intervals are 95 %.
"""

from stepladder.evidence.curves import Cut, Late
from stepladder.evidence.effects import Effect, adjusted, effect, live
from stepladder.evidence.errors import SUSPECTS, Missed, missed, per_class
from stepladder.evidence.estimates import Best, Estimate, Share, best, estimate, held
from stepladder.evidence.gather import Evidence, compare, gather
from stepladder.evidence.paired import ALPHA, MARGIN, McNemar
from stepladder.evidence.runs import Arm, load
from stepladder.evidence.target import Target, target

__all__ = [
    "ALPHA", "MARGIN", "SUSPECTS", "Arm", "Best", "Cut", "Effect", "Estimate", "Evidence", "Late", "McNemar", "Missed", "Share",
    "Target", "adjusted", "best", "compare", "effect", "estimate", "gather", "held", "live", "load", "missed", "per_class",
    "target",
]  # fmt: skip
