"""What a step's runs show: estimates over seeds, effects in pairs, verdicts, and which images are missed.

Pure functions over numbers, but for `load`, which reads the records. Accuracies are fractions; intervals are 95 %. Every
judgement is made here, once; all else words and colours it.
"""

from stepladder.evidence.curves import Cut, Late
from stepladder.evidence.effects import Effect, EffectReason, EffectVerdict, adjusted, effect, live
from stepladder.evidence.errors import SUSPECTS, Exchanged, Missed, exchanged, missed, per_class
from stepladder.evidence.estimates import Best, Estimate, Share, best, estimate, held, reach, sampling, share
from stepladder.evidence.gather import Evidence, between, compare, gather
from stepladder.evidence.outcome import Failure, Fault, Outcome, Status, outcome
from stepladder.evidence.paired import ALPHA, MARGIN, McNemar
from stepladder.evidence.quantised import Answered, LastEpoch, Pair, Quantised, judged, quantised, quantised_outcome
from stepladder.evidence.runs import Arm, load
from stepladder.evidence.target import Open, Target, TargetVerdict, target

__all__ = [
    "ALPHA", "MARGIN", "SUSPECTS", "Answered", "Arm", "Best", "Cut", "Effect", "EffectReason", "EffectVerdict", "Estimate",
    "Evidence", "Exchanged", "Failure", "Fault", "LastEpoch", "Late", "McNemar", "Missed", "Open", "Outcome", "Pair", "Quantised",
    "Share", "Status", "Target", "TargetVerdict", "adjusted", "best", "between", "compare", "effect", "estimate", "exchanged",
    "gather", "held", "judged", "live", "load", "missed", "outcome", "per_class", "quantised", "quantised_outcome", "reach",
    "sampling", "share", "target",
]  # fmt: skip
