import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepladder.evidence import Effect, adjusted, effect, estimate, live
from stepladder.evidence.paired import detectable

accuracies = st.integers(9_900, 9_999).map(lambda correct: correct / 10_000)
arms = st.dictionaries(st.integers(0, 12), accuracies, min_size=1, max_size=10)


def measured(*differences: float, parent: float = 0.99) -> Effect:
    """The effect of a child that is this much above a parent whose seeds all agree."""
    found = effect(
        {seed: parent + difference for seed, difference in enumerate(differences)}, dict.fromkeys(range(len(differences)), parent)
    )
    assert found is not None
    return found


def test_an_effect_pairs_shared_seeds_only() -> None:
    # Differences 0.001, 0.002 and 0.003; seeds 7 and 8 have no partner.
    half = 4.302653 * 0.001 / math.sqrt(3)  # t(0.975, 2), from a table
    found = effect({0: 0.991, 1: 0.952, 2: 0.983, 7: 0.1}, {2: 0.98, 1: 0.95, 0: 0.99, 8: 0.9})
    assert found is not None
    assert found.n == 3
    assert [found.mean, found.low, found.high] == pytest.approx([0.002, 0.002 - half, 0.002 + half], rel=1e-6)
    assert (found.p, found.p_holm, found.won) == (2 / 8, 2 / 8, 1.0)


def test_pairing_finds_a_difference_that_the_seeds_would_hide() -> None:
    parent = {0: 0.95, 1: 0.97, 2: 0.99}
    child = {0: 0.9511, 1: 0.971, 2: 0.9909}
    paired = effect(child, parent)
    alone = estimate(list(child.values()))
    assert paired is not None
    assert paired.low is not None
    assert paired.low > 0
    assert alone.low is not None
    assert alone.low < estimate(list(parent.values())).mean


def test_one_pair_has_a_difference_and_nothing_else() -> None:
    found = effect({3: 0.75}, {3: 0.5, 4: 0.25})
    assert found is not None
    assert (found.n, found.mean, found.low, found.high) == (1, 0.25, None, None)
    assert (found.p, found.p_holm, found.p_equivalence, found.p_equivalence_holm, found.least_p) == (1.0,) * 5
    assert (found.correlation, found.detectable, found.mcnemar, found.sd, found.low90) == (None,) * 5
    assert (found.won, found.verdict, found.reason) == (1.0, "one pair: too few to judge", "one pair")


def test_without_a_shared_seed_there_is_no_effect() -> None:
    assert effect({1: 0.996}, {2: 0.994}) is None
    assert effect({1: 0.996}, {}) is None


@pytest.mark.parametrize(("pairs", "verdict"), [(2, "undecided"), (5, "undecided"), (6, "helps"), (12, "helps")])
def test_pairs_that_all_agree_are_judged_by_how_many_they_are(pairs: int, verdict: str) -> None:
    found = measured(*[0.003] * pairs)
    assert (found.low, found.high, found.detectable, found.p_equivalence) == (None, None, None, 1.0)
    assert found.p == 2 / 2**pairs
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("differences", "verdict", "reason"),
    [
        ([0.001, 0.002, 0.001, 0.003, 0.002, 0.001], "helps", "p after Holm below 0.05"),
        ([-0.001, -0.002, -0.001, -0.003, -0.002, -0.001], "hurts", "p after Holm below 0.05"),
        ([0.0001, -0.0001, 0.0002, -0.0002, 0.0001, 0.0], "no difference", "within 0.05 points after Holm"),
        ([0.001, -0.002, 0.003, -0.003, 0.002, 0.001], "undecided", "interval contains 0"),
        # weights differ and accuracies agree: a fluke, no proof
        ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0], "undecided", "pairs all agree"),
        ([0.01, 0.03], "undecided", "too few pairs to show any"),  # two pairs cannot have a p below 0.5
        ([0.01, 0.011], "undecided", "interval excludes 0, the exact test does not"),
        ([0.01, 0.01, 0.01, 0.01, 0.01, -0.0004], "undecided", "interval excludes 0, the exact test does not"),
    ],
)
def test_a_verdict_is_what_the_pairs_carry_and_has_its_reason(differences: list[float], verdict: str, reason: str) -> None:
    found = measured(*differences)
    assert (found.verdict, found.reason) == (verdict, reason)


def test_a_verdict_says_where_holm_leaves_open_what_an_interval_excludes() -> None:
    weak = measured(0.001, 0.002, 0.001, 0.003, 0.002, 0.001, -0.0001)  # p 4 / 128
    found = adjusted({"weak": weak, "other": weak})["weak"]
    assert found.low is not None
    assert found.low > 0
    assert (found.p, found.p_holm) == (4 / 128, 8 / 128)
    assert (found.verdict, found.reason) == ("undecided", "interval excludes 0, not after Holm")
    wide = measured(*[0.0001] * 8, 0.01, -0.0001)  # p 20 / 1024, and an interval around 0
    alone = adjusted({str(step): wide for step in range(4)})["0"]
    assert (alone.verdict, alone.reason) == ("undecided", "p below 0.05, not after Holm")


def test_no_difference_is_corrected_over_the_ladder_and_rests_on_the_90_percent_interval() -> None:
    equal = measured(*[0.0004, -0.0004] * 5)  # t = 0.0005 / (0.000422 / sqrt(10)) = 3.75, p 0.0023
    wider = measured(*[0.0007, -0.0007] * 5)  # t = 2.14, p 0.030
    assert [found.verdict for found in (equal, wider)] == ["no difference", "no difference"]
    assert wider.low90 is not None
    assert wider.high90 is not None
    half = 1.833113 * 0.0007 * math.sqrt(10 / 9) / math.sqrt(10)  # t(0.95, 9), from a table
    assert [wider.low90, wider.high90] == pytest.approx([-half, half], rel=1e-5)
    assert wider.high90 < 0.0005
    both = adjusted({"first": wider, "second": wider})
    assert both["first"].p_equivalence_holm == pytest.approx(2 * wider.p_equivalence)
    assert (both["first"].verdict, both["first"].reason) == ("undecided", "interval contains 0")
    beside = adjusted({"equal": equal, "wider": wider, "one": measured(0.0)})
    assert [found.verdict for found in beside.values()] == ["no difference", "no difference", "one pair: too few to judge"]
    assert beside["one"].p_equivalence_holm == 1.0


def test_the_detectable_difference_is_that_of_the_level_after_holm() -> None:
    pairs = measured(*[0.001, -0.001] * 5)
    clear = measured(*[0.001, 0.002] * 5)
    assert pairs.detectable is not None
    alone = adjusted({"pairs": pairs})["pairs"]
    assert alone.detectable == pairs.detectable
    eight = adjusted({"pairs": pairs} | {str(step): pairs for step in range(7)})["pairs"]
    assert eight.detectable == pytest.approx(detectable(0.001 * math.sqrt(10 / 9) / math.sqrt(10), 9, 0.05 / 8))
    # what is found before it is taken off: all seven others are
    beside = adjusted({"pairs": pairs} | {str(step): clear for step in range(7)})["pairs"]
    assert beside.detectable == pairs.detectable


def test_where_so_few_pairs_show_nothing_no_difference_is_detectable() -> None:
    five = measured(0.001, 0.002, 0.003, 0.001, 0.002)
    assert (five.n, five.pairs_needed, five.detectable) == (5, 6, None)


def test_what_is_shown_to_help_is_not_called_no_difference_however_small() -> None:
    found = measured(*[0.0001, 0.0002] * 5)
    assert found.p_equivalence < 0.05
    assert found.verdict == "helps"


@pytest.mark.parametrize("seeds", [1, 3, 8])
def test_a_change_without_an_effect_on_the_weights_is_dead_whatever_its_figures(seeds: int) -> None:
    found = effect(dict.fromkeys(range(seeds), 0.99), dict.fromkeys(range(seeds), 0.99), live=False)
    assert found is not None
    assert (found.verdict, found.reason) == ("dead", "weights are the parent's")


def test_equal_pairs_are_not_won() -> None:
    assert measured(0.001, 0.0, 0.001, -0.002).won == 0.5


def test_the_arms_correlation_is_pearsons() -> None:
    # by hand: deviations (-1, 0, 1) and (-1, 1, 0): 1 / sqrt(2 x 2)
    found = effect({0: 0.991, 1: 0.992, 2: 0.993}, {0: 0.981, 1: 0.983, 2: 0.982})
    assert found is not None
    assert found.correlation == pytest.approx(0.5)


def test_two_pairs_and_arms_without_spread_have_no_correlation() -> None:
    two = effect({0: 0.991, 1: 0.992}, {0: 0.981, 1: 0.983})
    assert two is not None
    assert two.correlation is None
    assert measured(0.001, 0.002, 0.003).correlation is None


def test_the_detectable_difference_of_pairs_is_that_of_their_spread() -> None:
    # ten pairs of standard deviation 1: 3.149633 / sqrt(10) (noncentral t with 9 degrees of freedom at 80 %)
    differences = [0.001 * sign for sign in (1, -1)] * 5
    assert measured(*differences).detectable == pytest.approx(0.001 * math.sqrt(10 / 9) * 3.149633 / math.sqrt(10), rel=1e-5)


def test_the_effects_of_a_ladder_are_corrected_for_one_another() -> None:
    clear = measured(*[0.001, 0.002] * 5)  # p 2 / 1024
    weak = measured(0.001, 0.002, 0.001, 0.003, 0.002, 0.001)  # p 2 / 64
    one = measured(0.01)
    found = adjusted({"clear": clear, "weak": weak, "one": one})
    assert [found[name].p_holm for name in ("clear", "weak", "one")] == pytest.approx([4 / 1024, 2 / 64, 1.0])
    assert [found[name].verdict for name in ("clear", "weak", "one")] == ["helps", "helps", "one pair: too few to judge"]
    both = adjusted({"weak": weak, "other": weak})
    assert both["weak"].p_holm == pytest.approx(4 / 64)
    assert both["weak"].verdict == "undecided"


def test_how_many_pairs_could_show_an_effect_depends_on_the_ladder() -> None:
    three = measured(0.001, 0.002, 0.003)
    assert (three.least_p, three.pairs_needed) == (0.25, 6)
    ladder = adjusted({str(step): three for step in range(8)})
    assert (ladder["0"].least_p, ladder["0"].pairs_needed) == (1.0, 9)
    alone = adjusted({"0": three, **{str(step): measured(0.001) for step in range(1, 8)}})
    assert (alone["0"].least_p, alone["0"].pairs_needed) == (0.25, 6)
    assert alone["1"].pairs_needed == 9  # seeds are added to all, so that all eight would be corrected for


def test_no_effects_need_no_correction() -> None:
    assert adjusted({}) == {}


@given(arms, arms)
def test_an_effect_turned_round_says_the_opposite(child: dict[int, float], parent: dict[int, float]) -> None:
    found, back = effect(child, parent), effect(parent, child)
    if not found or not back:
        assert not child.keys() & parent.keys()
        assert found is back is None
        return
    opposite = {"helps": "hurts", "hurts": "helps"}
    assert back.verdict == opposite.get(found.verdict, found.verdict)
    assert back.p == found.p
    assert back.p_anytime == pytest.approx(found.p_anytime)
    assert back.reason == found.reason
    assert back.mean == pytest.approx(-found.mean)
    assert found.won + back.won <= 1


@given(arms, arms)
def test_too_few_pairs_claim_nothing_and_every_claim_has_its_p(child: dict[int, float], parent: dict[int, float]) -> None:
    found = effect(child, parent)
    if found and found.verdict in ("helps", "hurts"):
        assert found.n >= found.pairs_needed
        assert found.p_holm < 0.05
        assert (found.mean > 0) == (found.verdict == "helps")
    if found and found.least_p >= 0.05:
        assert found.n < found.pairs_needed
        assert found.detectable is None
        assert found.verdict in ("undecided", "no difference", "one pair: too few to judge")


@given(st.lists(st.lists(accuracies, min_size=1, max_size=8), min_size=1, max_size=6))
def test_a_correction_never_makes_a_claim(arms: list[list[float]]) -> None:
    effects = {str(step): measured(*(value - 0.995 for value in arm), parent=0.995) for step, arm in enumerate(arms)}
    for name, found in adjusted(effects).items():
        alone = effects[name]
        assert found.p_holm >= alone.p
        assert found.p_equivalence_holm >= alone.p_equivalence
        assert (found.detectable or 1) >= (alone.detectable or 0)
        assert found.least_p <= found.p_holm or found.n == 1
        assert found.verdict in (alone.verdict, "undecided")
        names = ("p_holm", "p_equivalence_holm", "least_p", "pairs_needed", "detectable")
        assert replace(found, **{name: getattr(alone, name) for name in names}) == alone


@pytest.mark.parametrize(
    ("child", "parent", "expected"),
    [
        ({0: "a", 1: "b"}, {0: "a", 1: "b"}, False),
        ({0: "a", 1: "b", 2: "x"}, {0: "a", 1: "b"}, False),
        ({0: "a", 1: "c"}, {0: "a", 1: "b"}, True),
        ({0: "b", 1: "a"}, {0: "a", 1: "b"}, True),
        ({0: "a"}, {1: "a"}, None),
        ({0: "a"}, {}, None),
    ],
)
def test_a_change_is_dead_when_all_shared_seeds_end_with_the_parents_weights(
    child: dict[int, str], parent: dict[int, str], expected: bool | None
) -> None:
    assert live(child, parent) is expected
