import re
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import NARROW, WIDE

from stepladder import ladders
from stepladder.evidence import EffectVerdict, TargetVerdict
from stepladder.page import overview, views, words
from stepladder.page.charts import MANY, Curves, accuracy_chart, late_chart, late_from, loss_chart
from stepladder.page.tree import Rail, rails
from stepladder.spec import AdamW, Affine, Erasing, StepLR
from stepladder.steps import Change


def make_step(**fields: Any) -> dict[str, Any]:
    """A step of a report of which only these fields are known; it keeps within BUDGET and ran with two seeds."""
    seeds = {str(seed): [{"test_accuracy": accuracy}] for seed, accuracy in enumerate((0.993, 0.997))}
    accuracy = {"mean": 0.995, "low": 0.992, "high": 0.998}
    held = {"share": 1.0, "least": 0.2236, "n": 2}
    step = {"parameters": 900, "epochs": 9, "seeds": [0, 1], "history": seeds, "test_accuracy": accuracy, "held": held}
    return step | {"effect": None, "target_verdict": "undecided", "target_seeds": None, "over_budget": []} | fields


def make_effect(mean: float, half: float, verdict: str = "undecided", n: int = 3, reason: str = "") -> dict[str, Any]:
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n, "verdict": verdict, "reason": reason}


NONE = {"share": 0.0, "least": 0.0, "n": 2}
BUDGET = {"parameters": 1_000, "epochs": 10, "accuracy": 0.994, "hold": 5}
NOT_RUN = make_step(seeds=[], history={}, test_accuracy=None, held=None, target_verdict="not run")


def test_the_gallery_stops_at_sixty() -> None:
    missed = [{"index": index, "label": 0, "missed_by": 1, "answers": {}} for index in range(70)]
    shown = views.gallery(missed, dict.fromkeys(range(70), ""), "0123456789")
    assert [image["index"] for image in shown] == list(range(60))
    assert [image["index"] for image in views.gallery(missed, {0: "", 1: "", 3: ""}, "0123456789")] == [0, 1]


@pytest.mark.parametrize(
    ("step", "verdict"),
    [
        (make_step(target_verdict="reached"), ("good", "✓", "reached", "held by 2 of 2, at least 22 %")),
        (make_step(target_verdict="missed", held=NONE), ("bad", "✗", "missed", "held by 0 of 2")),
        (make_step(target_verdict="accurate, not held", held=NONE), ("bad", "✗", "accurate, not held", "held by 0 of 2")),
        (make_step(target_seeds=12), ("open", "◐", "undecided", "≈ 12 seeds in all")),
        (make_step(held={"share": 0.5, "least": 0.025, "n": 2}), ("open", "◐", "undecided", "held by 1 of 2, at least 2 %")),
        (
            make_step(parameters=1_001, over_budget=["parameters"], target_verdict="over budget"),
            ("bad", "✗", "over budget", "1,001 parameters"),
        ),
        (make_step(target_verdict="too few epochs to judge"), ("none", "·", "too few epochs to judge", "")),
        (
            make_step(target_verdict="one run: too few to judge", target_seeds=6),
            ("open", "◐", "one run: too few to judge", "≈ 6 seeds in all"),
        ),
        (make_step(target_verdict="diverged"), ("bad", "✗", "diverged", "")),
        (NOT_RUN, ("none", "·", "not run", "")),
    ],
)
def test_a_target_has_its_verdict_a_colour_and_what_it_rests_on(step: dict[str, Any], verdict: tuple[str, ...]) -> None:
    assert overview.target(step) == verdict


def test_every_verdict_has_a_colour() -> None:
    assert list(overview.TARGETS) == list(get_args(TargetVerdict))
    assert list(overview.EFFECTS) == list(get_args(EffectVerdict))


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({"effect": make_effect(0.001, 0.0005, "helps", 10)}, ("good", "", "helps", "10 pairs")),
        ({"effect": make_effect(-0.001, 0.0005, "hurts")}, ("bad", "", "hurts", "3 pairs")),
        ({"effect": make_effect(0.0, 0.0003, "no difference")}, ("none", "", "no difference", "3 pairs")),
        (
            {"effect": make_effect(0.001, 0.0005, reason="interval excludes 0, not after Holm")},
            ("open", "", "undecided", "3 pairs: interval excludes 0, not after Holm"),
        ),
        ({"effect": make_effect(0.0, 0.001, "one pair: too few to judge", n=1)}, ("open", "", "one pair: too few to judge", "")),
        ({"effect": make_effect(0.0, 0.0, "dead")}, ("dead", "", "dead", "changed nothing")),
        ({}, None),
    ],
)
def test_an_effect_has_a_word_and_its_pairs(fields: dict[str, Any], verdict: tuple[str, ...] | None) -> None:
    assert overview.effect(make_step(**fields)) == verdict


def test_the_scale_of_accuracies_holds_target_seeds_and_intervals() -> None:
    scale = overview.accuracies({"budget": BUDGET, "steps": [make_step(), NOT_RUN]})
    assert scale.low < 0.992
    assert scale.high > 0.998
    assert scale.place(scale.low) == 0
    assert scale.place((scale.low + scale.high) / 2) == 50
    mark = overview.accuracy_mark(make_step(), scale)
    assert mark is not None
    assert mark.seeds == [scale.place(0.993), scale.place(0.997)]
    assert mark.mean == scale.place(0.995)
    assert mark.interval is not None
    assert mark.interval == pytest.approx((scale.place(0.992), scale.place(0.998) - scale.place(0.992)))
    assert mark.cut == []
    assert overview.accuracy_mark(NOT_RUN, scale) is None


def test_the_scale_of_effects_has_zero_and_cuts_an_interval_that_is_far_too_wide() -> None:
    wide, narrow = (make_step(effect=make_effect(0.001, half)) for half in (0.05, 0.0005))
    scale = overview.effects({"steps": [NOT_RUN, wide, narrow]})
    assert scale.low < -0.001 < 0 < 0.0015 < scale.high < 0.01
    cut, whole = (overview.effect_mark(step, scale) for step in (wide, narrow))
    assert cut is not None
    assert (cut.interval, cut.cut) == ((0, 100), ["left", "right"])
    assert whole is not None
    assert whole.cut == []
    assert overview.effect_mark(NOT_RUN, scale) is None


def test_effects_of_nothing_still_have_a_scale_around_zero() -> None:
    scale = overview.effects({"steps": [NOT_RUN]})
    assert scale.place(0) == 50
    assert 0 in scale.ticks


@given(st.lists(st.floats(0, 1), min_size=1))
def test_a_scale_has_few_round_ticks_in_order_within_it(means: list[float]) -> None:
    steps = [
        make_step(test_accuracy={"mean": mean, "low": None}, history={"0": [{"test_accuracy": mean}]}, seeds=[0]) for mean in means
    ]
    scale = overview.accuracies({"budget": BUDGET, "steps": steps})
    assert 1 <= len(scale.ticks) <= overview.MOST
    assert scale.ticks == sorted(set(scale.ticks))
    assert scale.low <= scale.ticks[0]
    assert scale.ticks[-1] <= scale.high
    assert [tick for tick in scale.ticks if round(tick, 4) != tick] == []


def test_charts_draw_every_seed_and_the_mean() -> None:
    curves = [[0.9, 0.98, 0.99], [0.91, 0.97, 1.0], [0.92, 0.96, 0.985]]
    many = accuracy_chart("many", Curves(curves, curves[:1], [], [[0.5, 0.1]]), 0.99, (0.1, 1.0), drops=[2]).svg
    assert many.count("stroke: var(--train)") == 3 + 1
    assert many.count("stroke: var(--test)") == 1 + 1  # one seed is its own mean; one diverged
    assert many.count("stroke: var(--target-line)") == 1
    assert ">99.5 %<" in many
    assert "nan" not in many
    assert "#0000" not in many


def test_charts_of_many_seeds_are_bands_as_long_for_any_number() -> None:
    random = np.random.default_rng(0)
    few, more, most = (random.uniform(0.9, 1, (seeds, 5)).tolist() for seeds in (MANY, MANY + 1, 20 * MANY))
    charts = [
        accuracy_chart("many", Curves(curves, curves, [], most), 0.99, (0.1, 1.0), drops=[]).svg for curves in (few, more, most)
    ]
    strokes = [chart.count("stroke: var(--train)") for chart in charts]
    fills = [chart.count("fill: var(--train)") for chart in charts]
    assert strokes[0] == MANY + 1
    assert strokes[1:] == [1, 1]
    assert fills == [0, 2, 2]
    assert charts[2].count("stroke: var(--test)") == 1 + MANY  # the first that diverged
    assert len(charts[2]) < 1.1 * len(charts[1])


@pytest.mark.parametrize("value", [1.0, 0.99, 0.00001, 0.0])
def test_a_flat_curve_at_any_height_has_an_axis(value: float) -> None:
    curves = Curves([[value, value]], [[value, value]])
    for svg in (
        accuracy_chart("accuracy", curves, 0.99, (value, value), []).svg,
        loss_chart("loss", curves, (value, value), []).svg,
    ):
        assert len(re.findall(r"<text[^>]*text-anchor: end", svg)) >= 2
        assert "nan" not in svg


def test_charts_are_repeatable_and_share_no_ids() -> None:
    curves = Curves([[0.5, 0.25]], [[0.4, 0.3]])
    first, again, other = (loss_chart(name, curves, (0.2, 0.5), []) for name in ("a", "a", "b"))
    assert first == again
    ids = [set(re.findall(r'id="([^"]*)"', chart.svg)) for chart in (first, other)]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_a_place_is_where_the_mean_is_drawn() -> None:
    curves = Curves(train=[[0.5, 0.8], [0.7, 0.9]], test=[[0.6, 0.7], [0.6, 0.9]])
    svg, places, _ = accuracy_chart("places", curves, 0.99, (0.5, 0.99), [])
    width, height = map(float, re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0])
    drawn = [
        [(100 * float(x) / width, 100 * float(y) / height) for x, y in re.findall(r"[ML] ([\d.]+) ([\d.]+)", path)]
        for path in re.findall(r'<path d="([^"]*)"[^>]*stroke-width: 2.2', svg)
    ]
    assert np.ravel(drawn[0]) == pytest.approx([number for place in places for number in (place.x, place.train)], abs=0.03)
    assert np.ravel(drawn[1]) == pytest.approx([number for place in places for number in (place.x, place.test)], abs=0.03)


def test_curves_without_a_finished_seed_have_no_places() -> None:
    assert loss_chart("lost", Curves([], [], [[2.0]], [[2.1]]), (2.0, 2.1), []).places == []


@pytest.mark.parametrize(
    ("rates", "drops"),
    [([1, 1, 0.1, 0.1, 0.01], [3, 5]), ([1, 1, 0.95], []), ([1, 0.8, 0.6, 0.4], []), ([0.1, 0.1, 1], []), ([1], []), ([], [])],
)
def test_cuts_of_a_constant_learning_rate_are_marked(rates: list[float], drops: list[int]) -> None:
    epoch = {f"{part}_{name}": 0.5 for part in ("train", "test") for name in ("accuracy", "loss")}
    history = [{"epoch": place, "learning_rate": rate} | epoch for place, rate in enumerate(rates, start=1)]
    step = {"id": "a", "seeds": [0], "diverged": [], "history": {"0": history}}
    made = views.charts(step, 0.9, views.Spans((0.5, 0.9), (0.5, 0.9)))
    assert (made.drops if made else []) == drops


def test_branches_keep_their_lanes() -> None:
    steps = [{"id": step.id, "parent": step.parent.id if step.parent else None} for step in ladders.load("mnist").steps]
    found = rails(steps)
    assert found[0] == Rail(lane=0, above=[], below=[0], forks=[1])
    assert found[3] == Rail(lane=0, above=[0, 1], below=[0, 1], forks=[])
    assert found[4] == Rail(lane=0, above=[0, 1], below=[1], forks=[])
    assert found[5] == Rail(lane=1, above=[1], below=[1], forks=[])
    assert found[8] == Rail(lane=1, above=[1], below=[], forks=[])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (Change("dropout", 0.0, 0.043), "dropout: none → 4.3 % of activations"),
        (Change("augmentation", None, Affine(rotate=15, shift=2)), "augmentation: none → rotation up to 15°, shift up to 2 pixels"),
        (Change("augmentation", Affine(scale=0.1), Affine(shear=5)), "augmentation: scale by 0.9 to 1.1 → shear up to 5°"),
        (Change("schedule", None, StepLR(6)), "schedule: constant learning rate → learning rate x 0.1 after every 6 epochs"),
        (Change("learning_rate", 0.01, 0.1), "learning rate: 0.01 → 0.1"),
        (Change("nesterov", False, True), "nesterov: off → on"),
        (Change("optimizer", None, AdamW(beta2=0.99)), "optimizer: stochastic gradient descent → AdamW(0.9, beta2=0.99)"),
        (Change("erasing", None, Erasing(0.5, (0.1, 0.2))), "erasing: none → Erasing(0.5, area=[0.1, 0.2])"),
        (Change("batch_size", 128, 1024), "batch size: 128 images → 1,024 images"),
        (Change("network", WIDE, NARROW),
         "network: … · Conv(12) · GlobalAvgPool() · Linear(10) → … · Conv(10, activation=None) · GlobalAvgPool()"),
    ],
)  # fmt: skip
def test_a_change_is_told_in_words(change: Change, text: str) -> None:
    assert words.brief(change) == text


def test_a_summary_tells_a_network_by_its_size() -> None:
    assert words.summary(Change("network", WIDE, NARROW)) == "network: 1,106 → 828 parameters"
    assert words.summary(Change("dropout", 0.0, 0.043)) == "dropout: none → 4.3 % of activations"


@pytest.mark.parametrize(
    ("fields", "lines"),
    [
        ({"p_holm": 0.0156, "won": 0.9}, ["p 0.0156 after Holm", "anytime p 0.02", "9 of 10 pairs won"]),
        ({"verdict": "no difference", "p_holm": 1.0, "won": 0.5, "low90": -0.0002, "high90": 0.0003},
         ["p 1 after Holm", "anytime p 0.02", "5 of 10 pairs won", "90 %: -0.02 to +0.03 points"]),
        ({"verdict": "undecided", "p_holm": 0.5, "won": 0.5, "detectable": 0.00066},
         ["p 0.5 after Holm", "anytime p 0.02", "5 of 10 pairs won", "would show 0.07 or more"]),
        ({"n": 1, "mcnemar": {"only_child": 31, "only_parent": 27, "p": 0.694}},
         ["31 images only here,", "27 only there, p 0.694"]),
    ],
)  # fmt: skip
def test_the_tests_of_an_effect_are_told_in_a_few_words(fields: dict[str, Any], lines: list[str]) -> None:
    effect = {"n": 10, "verdict": "helps", "detectable": 0.0004, "mcnemar": None, "p_anytime": 0.02} | fields
    assert words.effect_tests(effect) == lines


def test_the_late_epochs_have_an_axis_of_their_own_that_holds_test_and_a_near_target() -> None:
    test = [[0.9] * 10 + [0.990, 0.991, 0.992], [0.9] * 10 + [0.991, 0.992, 0.993]]
    curves = Curves(train=[[0.5] * 13], test=test, before=[0.9] * 10 + [0.9895, 0.9895, 0.9895])
    near, far = (late_chart("late", curves, target, 11, []) for target in (0.994, 0.999))
    labels = [re.findall(r">([\d.]+) %<", chart.svg) for chart in (near, far)]
    assert min(map(float, labels[0] + labels[1])) > 98.9
    assert max(map(float, labels[0])) == 99.4 > max(map(float, labels[1]))
    assert re.findall(r">(\d\d?)<", near.svg) == ["11", "12", "13"]
    assert near.first == 11
    assert [place.train for place in near.places] == [None] * 3  # far below: not drawn outside the axes
    assert [place.test for place in near.places] == sorted((place.test for place in near.places), reverse=True)


@pytest.mark.parametrize(("epochs", "first"), [(7, None), (8, 4), (15, 11), (20, 14), (100, 67), (1, None)])
def test_late_epochs_are_the_last_third_and_five_at_least(epochs: int, first: int | None) -> None:
    assert late_from(epochs) == first


@given(st.floats(-0.02, 0.01), st.floats(0, 0.01))
def test_labels_of_a_scale_do_not_meet(mean: float, half: float) -> None:
    step = make_step(effect=make_effect(mean, half))
    for scale, form in (
        (overview.effects({"steps": [step]}), "+g"),
        (overview.accuracies({"budget": BUDGET, "steps": [make_step(test_accuracy={"mean": 0.99 + mean, "low": None})]}), "g"),
    ):
        for ticks, wide in ((scale.ticks, overview.AXIS), (scale.few, overview.AXIS / 2)):
            for before, after in pairwise(ticks):
                letters = sum(len(format(round(100 * tick, 6), form)) if tick else 1 for tick in (before, after)) / 2
                assert wide * (after - before) / (scale.high - scale.low) > 5.9 * letters
