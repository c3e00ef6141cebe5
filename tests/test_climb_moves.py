"""All the moves of a step."""

import time
from dataclasses import replace

import pytest
from conftest import fuzzed, networks
from hypothesis import given
from student_networks import NETWORKS
from values import of_kind

from stepladder import Budget, Conv, GlobalAvgPool, Ladder, Network, Recipe, Step
from stepladder.climb.moves import candidates
from stepladder.climb.networks import MOST_WORK, macs
from stepladder.climb.start import plain
from stepladder.ladders import load
from stepladder.networks import layers
from stepladder.steps import CONCEPTS

LADDERS = [load(name) for name in ("mnist", "mnist-8k", "mnist-smallest")]
BUDGET = Budget(parameters=8_000, epochs=15, accuracy=0.99)


def check(step: Step, budget: Budget) -> int:
    """Assert what holds for all candidates of a step; how many there are."""
    found = candidates(step, budget)
    assert len({candidate.name for candidate in found}) == len(found)
    assert len({(candidate.concept, candidate.value) for candidate in found}) == len(found)
    for name, concept, value, title, target in found:
        made = step.then(title, target=target, kept=step.kept, **{concept: value})
        assert made.change is not None
        assert made.change.concept == concept
        assert not made.exceeds(budget)
        assert name
        assert target.endswith(".")
        if concept == "network" and not name.startswith("widths"):
            present = layers(step.network)
            assert present is not None
            assert macs(value) <= MOST_WORK * macs(present)
    return len(found)


@pytest.mark.parametrize("ladder", LADDERS, ids=lambda ladder: ladder.name)
def test_every_move_of_a_ladder_makes_a_step_within_the_budget(ladder: Ladder) -> None:
    for step in ladder.steps:
        assert check(step, ladder.budget) > 30


@fuzzed(40)
@given(networks(), of_kind(Recipe))
def test_every_move_of_any_step_makes_a_step_within_the_budget(network: Network, recipe: Recipe) -> None:
    step = Step("Start", network, replace(recipe, batch_size=64))
    budget = Budget(parameters=network.parameters + 100, epochs=recipe.epochs + 1, accuracy=0.99)
    assert check(step, budget) > 5


def test_every_concept_is_proposed() -> None:
    start = plain((1, 28, 28), 10, BUDGET)
    proposed = {candidate.concept for candidate in candidates(start.then("Shorter", epochs=10), BUDGET)}
    assert proposed == set(CONCEPTS)


def test_a_step_always_has_the_same_moves_in_the_same_order() -> None:
    step, budget = LADDERS[1].step("C10"), LADDERS[1].budget
    assert candidates(step, budget) == candidates(replace(step), budget)


def test_names_say_the_same_at_every_step() -> None:
    first, second = (
        {candidate.name for candidate in candidates(LADDERS[1].step(name), LADDERS[1].budget)} for name in ("B4", "C4")
    )
    assert len(first & second) > 0.6 * len(first)


def test_a_step_beyond_the_budget_moves_only_to_what_keeps_it() -> None:
    step = LADDERS[0].step("0")
    found = candidates(step, BUDGET)
    assert {candidate.concept for candidate in found} == {"network"}
    assert all(candidate.value.parameters <= 8_000 for candidate in found)


@pytest.mark.parametrize("kind", NETWORKS[:4])
def test_a_module_is_changed_as_the_layers_that_it_was_read_into(kind: type) -> None:
    step = Step("Module", kind)
    read = layers(step.network)
    assert read is not None
    budget = Budget(parameters=2 * read.parameters, epochs=15, accuracy=0.99)
    proposed = [candidate for candidate in candidates(step, budget) if candidate.concept == "network"]
    assert proposed == [candidate for candidate in candidates(Step("Layers", read), budget) if candidate.concept == "network"]
    assert check(step, budget) > 30


def test_a_network_of_one_layer_has_moves() -> None:
    assert check(Step("Small", Network([Conv(10, activation=None), GlobalAvgPool()])), BUDGET) > 20


def test_the_moves_of_a_step_take_a_moment() -> None:
    """About 35 ms of processor time for C7; the limit leaves room for slower machines."""
    step, budget = LADDERS[1].step("C7"), LADDERS[1].budget
    taken = []
    for _ in range(3):
        before = time.process_time()
        candidates(step, budget)
        taken.append(time.process_time() - before)
    assert min(taken) < 0.2
