"""What a change did: a step against its parent, paired over the seeds that both have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from stepladder.evidence.estimates import SAME, estimate
from stepladder.evidence.paired import (
    ALPHA,
    McNemar,
    anytime_p,
    detectable,
    equivalence_p,
    holm,
    level_after_holm,
    pairs_needed,
    sign_flip_p,
    smallest_p,
)

EffectVerdict = Literal["helps", "hurts", "no difference", "dead", "undecided", "one pair: too few to judge"]
EffectReason = Literal[
    "p after Holm below 0.05",
    "within 0.05 points after Holm",
    "weights are the parent's",
    "one pair",
    "too few pairs to show any",
    "pairs all agree",
    "interval excludes 0, not after Holm",
    "interval excludes 0, the exact test does not",
    "p below 0.05, not after Holm",
    "interval contains 0",
]


@dataclass(frozen=True)
class Effect:
    """Child minus parent in last-epoch test accuracy, paired over `n` shared seeds.

    - `mean`, `sd`, `low`, `high`: the mean difference, its deviation and t-interval (None with one pair, the interval also
      with pairs that all agree); `low90` and `high90`: the 90 % interval that the equivalence test rests on
    - `p`: two-sided, of the exact sign-flip test, for a number of seeds that was planned; `p_holm`: adjusted for all effects
      of the ladder, 1.0 with one pair. The verdict rests on it
    - `p_anytime`: of the same null, may be looked at after every seed; not adjusted
    - `p_equivalence`: of the difference lying within 0.05 points of 0; `p_equivalence_holm`: adjusted as `p_holm` is
    - `won`: the share of pairs in which the child is above the parent; equal pairs are not won
    - `correlation`: between the arms over the seeds (None below three pairs, where it says nothing, or without spread)
    - `detectable`: the difference that a t-test on so many pairs of this spread finds with 80 % power at the level that it
      faces after Holm (None without spread, and where so few pairs cannot show any)
    - `mcnemar`: the two runs image by image, with one pair only
    - `live`: False where every shared seed ends with the very weights of the parent
    - `least_p`: the smallest `p_holm` that `n` pairs allow, and `pairs_needed`: how many allow one below 0.05, both with
      the p of the ladder's other effects as they are; of one pair also beside the other single pairs, whose p is 1: whoever
      adds seeds adds them to all
    """

    n: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None
    low90: float | None
    high90: float | None
    p: float
    p_holm: float
    p_anytime: float
    p_equivalence: float
    p_equivalence_holm: float
    won: float
    correlation: float | None
    detectable: float | None
    mcnemar: McNemar | None
    live: bool
    least_p: float
    pairs_needed: int

    @property
    def verdict(self) -> EffectVerdict:
        """Dead: the weights are the parent's. Helps or hurts: p after Holm below 0.05. No difference: the equivalence test
        after Holm says less than 0.05 points at 0.05. One pair is too few to judge; the rest is undecided."""
        if not self.live:
            return "dead"
        if self.n == 1:
            return "one pair: too few to judge"
        if self.p_holm < ALPHA:
            return "helps" if self.mean > 0 else "hurts"
        return "no difference" if self.p_equivalence_holm < ALPHA else "undecided"

    @property
    def reason(self) -> EffectReason:
        """Why that is the verdict."""
        decided: dict[EffectVerdict, EffectReason] = {
            "dead": "weights are the parent's",
            "one pair: too few to judge": "one pair",
            "helps": "p after Holm below 0.05",
            "hurts": "p after Holm below 0.05",
            "no difference": "within 0.05 points after Holm",
        }
        if self.verdict in decided:
            return decided[self.verdict]
        if self.low is not None and self.high is not None and not self.low <= 0 <= self.high:
            return "interval excludes 0, not after Holm" if self.p < ALPHA else "interval excludes 0, the exact test does not"
        if self.n < self.pairs_needed:
            return "too few pairs to show any"
        if self.low is None:
            return "pairs all agree"
        return "p below 0.05, not after Holm" if self.p < ALPHA else "interval contains 0"


def effect(child: Mapping[int, float], parent: Mapping[int, float], *, live: bool = True) -> Effect | None:
    """The paired difference of two steps' accuracies, given by seed; None where they share no seed.

    Stands alone: `p_holm` is `p`. `adjusted` corrects the effects of a ladder for one another.
    """
    shared = sorted(child.keys() & parent.keys())
    if not shared:
        return None
    arms = [child[seed] for seed in shared], [parent[seed] for seed in shared]
    differences = np.subtract(*arms).tolist()
    found, ninety = estimate(differences), estimate(differences, 1 - 2 * ALPHA)
    p, p_equivalence = sign_flip_p(differences), equivalence_p(differences)
    alone = Effect(
        n=found.n,
        mean=found.mean,
        sd=found.sd,
        low=found.low,
        high=found.high,
        low90=ninety.low,
        high90=ninety.high,
        p=p,
        p_holm=p,
        p_anytime=anytime_p(differences),
        p_equivalence=p_equivalence,
        p_equivalence_holm=p_equivalence,
        won=float(np.mean(np.asarray(differences) > SAME)),
        correlation=_correlation(*arms),
        detectable=None,
        mcnemar=None,
        live=live,
        least_p=1.0,
        pairs_needed=1,
    )
    return _beside(alone, [])


def adjusted(effects: Mapping[str, Effect]) -> dict[str, Effect]:
    """The effects of a ladder with Holm's correction over those of two pairs or more; one pair claims nothing and costs
    the others nothing."""
    family = [name for name, found in effects.items() if found.n > 1]
    ps, equivalences = (
        dict(zip(family, holm([getattr(effects[name], field) for name in family]), strict=True)) for field in ("p", "p_equivalence")
    )

    def adjust(name: str, found: Effect) -> Effect:
        others = family if found.n > 1 else effects
        beside = _beside(found, [effects[other].p for other in others if other != name])
        return replace(beside, p_holm=ps.get(name, 1.0), p_equivalence_holm=equivalences.get(name, 1.0))

    return {name: adjust(name, found) for name, found in effects.items()}


def _beside(found: Effect, others: Sequence[float]) -> Effect:
    """The effect with what it can show beside the p of the `others`."""
    needed = pairs_needed(others)
    shown = None
    if found.sd and found.n >= needed:
        shown = detectable(found.sd / found.n**0.5, found.n - 1, level_after_holm(others))
    return replace(found, least_p=holm([smallest_p(found.n), *others])[0], pairs_needed=needed, detectable=shown)


def live(child: Mapping[int, str], parent: Mapping[int, str]) -> bool | None:
    """Whether a change did anything, from the hashes of the final weights by seed; None where no seed is shared.

    A change is dead when every shared seed ends with the very bits of the parent.
    """
    shared = child.keys() & parent.keys()
    return any(child[seed] != parent[seed] for seed in shared) if shared else None


def _correlation(child: Sequence[float], parent: Sequence[float]) -> float | None:
    if len(child) < 3 or min(np.ptp(child), np.ptp(parent)) < SAME:
        return None
    return float(np.corrcoef(child, parent)[0, 1])
