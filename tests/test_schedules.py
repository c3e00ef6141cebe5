"""Learning rates batch by batch, beside torch's own schedulers."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR, SequentialLR

from stepladder import Cosine, LinearDecay, OneCycle, Recipe, StepLR

shares = st.floats(0, 0.95)
bases = st.floats(1e-3, 1)
trainings = st.tuples(st.integers(1, 6), st.integers(1, 30)).filter(lambda found: found[0] * found[1] > 1)
"""Epochs, and the batches of one."""


def rates(recipe: Recipe, epoch_batches: int) -> list[float]:
    return [recipe.rate(batch, epoch_batches) for batch in range(recipe.epochs * epoch_batches)]


def torch_rates(make: Callable[[Optimizer], LRScheduler], base: float, batches: int) -> list[float]:
    """What a scheduler of torch sets, stepped after every batch."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=base)
    scheduler, found = make(optimizer), []
    for _ in range(batches):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return found


# StepLR and no schedule


def test_a_step_schedule_multiplies_after_every_so_many_epochs() -> None:
    recipe = Recipe(learning_rate=0.01, schedule=StepLR(every=6, factor=0.1))
    assert [recipe.rate(epoch) for epoch in range(14)] == pytest.approx([0.01] * 6 + [0.001] * 6 + [0.0001] * 2, rel=1e-12)


@given(st.integers(1, 20), st.integers(1, 8), st.floats(0, 2))
def test_a_step_schedule_is_constant_within_an_epoch(epoch_batches: int, every: int, factor: float) -> None:
    recipe = Recipe(schedule=StepLR(every, factor))
    expected = [recipe.rate(epoch) for epoch in range(14) for _ in range(epoch_batches)]
    assert rates(recipe, epoch_batches) == expected


def test_the_learning_rate_is_constant_without_a_schedule() -> None:
    assert set(rates(Recipe(learning_rate=0.03), 5)) == {0.03}


# OneCycle


@given(peak=bases, warmup=shares, start=st.floats(0.01, 0.9), end=shares, training=trainings)
def test_one_cycle_is_torchs(peak: float, warmup: float, start: float, end: float, training: tuple[int, int]) -> None:
    epochs, epoch_batches = training
    batches = epochs * epoch_batches
    if warmup * batches == 1:
        return  # torch divides by zero

    def make(optimizer: Optimizer) -> LRScheduler:
        # torch divides the first rate, not the peak, to get the last.
        first, last = 1 / start, start / max(end, 1e-12)
        return OneCycleLR(optimizer, peak, batches, pct_start=warmup, cycle_momentum=False, div_factor=first, final_div_factor=last)

    found = rates(Recipe(epochs=epochs, schedule=OneCycle(peak, warmup, start, end)), epoch_batches)
    assert found == pytest.approx(torch_rates(make, peak, batches), rel=1e-6, abs=1e-9)


def test_one_cycle_has_torchs_defaults() -> None:
    expected = torch_rates(lambda optimizer: OneCycleLR(optimizer, 0.1, 50, cycle_momentum=False), 0.1, 50)
    assert rates(Recipe(epochs=5, schedule=OneCycle(0.1)), 10) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_one_cycle_rises_from_its_start_to_its_peak_and_falls_to_its_end() -> None:
    found = rates(Recipe(epochs=10, learning_rate=7, schedule=OneCycle(0.2, warmup=0.2, start=0.1, end=0.01)), 10)
    assert (found[0], found[19], found[99]) == pytest.approx((0.02, 0.2, 0.002))
    assert found[:20] == sorted(found[:20])
    assert found[19:] == sorted(found[19:], reverse=True)


def test_a_warm_up_of_one_batch_begins_at_the_peak() -> None:
    assert rates(Recipe(epochs=1, schedule=OneCycle(0.2, warmup=0.1, end=0)), 10)[0] == 0.2


@given(
    kind=st.sampled_from([OneCycle, Cosine, LinearDecay]),
    warmup=st.sampled_from([0, 0.5, 1 - 2**-53, 1 - 2**-52, 5e-324]) | st.floats(0, 1, exclude_max=True),
    epoch_batches=st.integers(1, 300) | st.sampled_from([2**20 + 1, 2**30 - 1, 10**9]),
    epochs=st.sampled_from([1, 2, 3]),
)
def test_any_warm_up_that_is_accepted_has_a_rate_for_every_batch(
    kind: type, warmup: float, epoch_batches: int, epochs: int
) -> None:
    recipe = Recipe(epochs=epochs, schedule=kind(0.1, warmup) if kind is OneCycle else kind(warmup))
    batches = epochs * epoch_batches
    for batch in {0, min(1, batches - 1), batches // 2, max(0, batches - 2), batches - 1}:
        assert 0 <= recipe.rate(batch, epoch_batches) <= 0.1


# Cosine and LinearDecay


@given(base=bases, end=shares, training=trainings)
def test_a_cosine_is_torchs(base: float, end: float, training: tuple[int, int]) -> None:
    epochs, epoch_batches = training
    batches = epochs * epoch_batches
    expected = torch_rates(lambda optimizer: CosineAnnealingLR(optimizer, batches, eta_min=end * base), base, batches)
    found = rates(Recipe(epochs=epochs, learning_rate=base, schedule=Cosine(end=end)), epoch_batches)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(base=bases, end=shares, training=trainings)
def test_a_linear_decay_is_torchs(base: float, end: float, training: tuple[int, int]) -> None:
    epochs, epoch_batches = training
    batches = epochs * epoch_batches
    expected = torch_rates(lambda optimizer: LinearLR(optimizer, 1.0, end, batches), base, batches)
    found = rates(Recipe(epochs=epochs, learning_rate=base, schedule=LinearDecay(end=end)), epoch_batches)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("schedule", [Cosine(warmup=0.25, end=0.1), LinearDecay(warmup=0.25, end=0.1)])
def test_a_warm_up_is_torchs_linear_one_before_the_decay(schedule: Cosine | LinearDecay) -> None:
    def make(optimizer: Optimizer) -> LRScheduler:
        warm = LinearLR(optimizer, 1 / 11, 1.0, 10)
        linear = isinstance(schedule, LinearDecay)
        decay = LinearLR(optimizer, 1.0, 0.1, 30) if linear else CosineAnnealingLR(optimizer, 30, eta_min=0.05)
        return SequentialLR(optimizer, [warm, decay], [10])

    found = rates(Recipe(epochs=4, learning_rate=0.5, schedule=schedule), 10)
    assert found == pytest.approx(torch_rates(make, 0.5, 40), rel=1e-6)


@given(warmup=shares, end=shares, training=trainings)
def test_every_batch_counts_and_none_is_above_the_learning_rate(warmup: float, end: float, training: tuple[int, int]) -> None:
    epochs, epoch_batches = training
    recipe = Recipe(epochs=epochs, learning_rate=0.5)
    for schedule in (Cosine(warmup, end), LinearDecay(warmup, end)):
        found = rates(replace(recipe, schedule=schedule), epoch_batches)
        assert all(0 < rate <= 0.5 for rate in found)
        rising = sum(batch < warmup * len(found) for batch in range(len(found)))
        assert found[:rising] == sorted(found[:rising])
        assert found[rising:] == sorted(found[rising:], reverse=True)


def test_known_rates() -> None:
    recipe = Recipe(epochs=2, learning_rate=0.8)
    assert rates(replace(recipe, schedule=LinearDecay()), 2) == pytest.approx([0.8, 0.6, 0.4, 0.2])
    assert rates(replace(recipe, schedule=LinearDecay(warmup=0.5, end=0.5)), 2) == pytest.approx([0.8 / 3, 1.6 / 3, 0.8, 0.6])
    assert rates(replace(recipe, schedule=Cosine()), 2) == pytest.approx([0.8, 0.682843, 0.4, 0.117157], rel=1e-5)
