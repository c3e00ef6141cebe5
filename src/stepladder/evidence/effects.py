"""What a change did: a step against its parent, paired over the seeds that both have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from stepladder.evidence.estimates import SAME, estimate
from stepladder.evidence.paired import ALPHA, McNemar, detectable, equivalence_p, holm, pairs_needed, sign_flip_p, smallest_p

EffectVerdict = Literal["helps", "hurts", "no difference", "undecided"]


@dataclass(frozen=True)
class Effect:
    """Child minus parent in last-epoch test accuracy, paired over `n` shared seeds.

    - `mean`, `low`, `high`: the mean difference and its t-interval (None with one pair, or pairs that all agree)
    - `p`: two-sided, of the exact sign-flip test; `p_holm`: adjusted for all effects of the ladder, 1.0 with one pair
    - `p_equivalence`: of the difference lying within 0.05 points of 0
    - `won`: the share of pairs in which the child is above the parent; equal pairs are not won
    - `correlation`: between the arms over the seeds (None below three pairs, where it says nothing, or without spread)
    - `detectable`: the difference that a t-test on so many pairs of this spread finds with 80 % power (None without spread)
    - `mcnemar`: the two runs image by image, with one pair only
    - `live`: False where every shared seed ends with the very weights of the parent
    - `least_p`: the smallest `p_holm` that `n` pairs allow, and `pairs_needed`: how many allow one below 0.05, both with
      the p of the ladder's other effects as they are
    """

    n: int
    mean: float
    low: float | None
    high: float | None
    p: float
    p_holm: float
    p_equivalence: float
    won: float
    correlation: float | None
    detectable: float | None
    mcnemar: McNemar | None
    live: bool
    least_p: float
    pairs_needed: int

    @property
    def verdict(self) -> EffectVerdict:
        """Helps or hurts: p after Holm below 0.05. No difference: the weights are the parent's, or the equivalence test
        says less than 0.05 points at 0.05. Undecided: the rest."""
        if not self.live:
            return "no difference"
        if self.p_holm < ALPHA:
            return "helps" if self.mean > 0 else "hurts"
        return "no difference" if self.p_equivalence < ALPHA else "undecided"


def effect(child: Mapping[int, float], parent: Mapping[int, float], *, live: bool = True) -> Effect | None:
    """The paired difference of two steps' accuracies, given by seed; None where they share no seed.

    Stands alone: `p_holm` is `p`. `adjusted` corrects the effects of a ladder for one another.
    """
    shared = sorted(child.keys() & parent.keys())
    if not shared:
        return None
    arms = [child[seed] for seed in shared], [parent[seed] for seed in shared]
    differences = np.subtract(*arms).tolist()
    found, p = estimate(differences), sign_flip_p(differences)
    return Effect(
        n=found.n,
        mean=found.mean,
        low=found.low,
        high=found.high,
        p=p,
        p_holm=p,
        p_equivalence=equivalence_p(differences),
        won=float(np.mean(np.asarray(differences) > SAME)),
        correlation=_correlation(*arms),
        detectable=detectable(found.sd / found.n**0.5, found.n - 1) if found.sd else None,
        mcnemar=None,
        live=live,
        least_p=smallest_p(found.n),
        pairs_needed=pairs_needed([]),
    )


def adjusted(effects: Mapping[str, Effect]) -> dict[str, Effect]:
    """The effects of a ladder with Holm's correction over those of two pairs or more; one pair claims nothing and costs
    the others nothing."""
    family = [name for name, found in effects.items() if found.n > 1]
    ps = dict(zip(family, holm([effects[name].p for name in family]), strict=True))

    def adjust(name: str, found: Effect) -> Effect:
        others = [effects[other].p for other in family if other != name]
        least = holm([smallest_p(found.n), *others])[0]
        return replace(found, p_holm=ps.get(name, 1.0), least_p=least, pairs_needed=pairs_needed(others))

    return {name: adjust(name, found) for name, found in effects.items()}


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
