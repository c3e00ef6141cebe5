"""Any object in any field of a spec value: what cannot be is refused by a SpecError, and what can be trains.

STEPLADDER_FUZZ=100000 draws so many examples of each, others every time.
"""

import json
import pickle
from math import prod
from pathlib import Path
from typing import Any, cast

import torch
from conftest import shape_after
from hypothesis import given
from hypothesis import strategies as st
from training import loop_images, network_of
from values import VALUES, anything, attempt, drawn, of_kind, one_layer, with_anything

from stepladder import Conv, GlobalAvgPool, Ladder, Linear, Network, Recipe, SpecError, Step, state
from stepladder.engine import native, plain, refusal
from stepladder.spec import Layer, Shape, from_data, to_data
from stepladder.train import Diverged, Streams, fit

KINDS = [*VALUES, Step, Ladder]


@drawn(300)
@given(st.data())
def test_what_is_accepted_can_be_compared_kept_sent_and_read_back(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    made = data.draw(with_anything(kind))
    if made is None:
        return
    assert hash(made) == hash(made)
    assert pickle.loads(pickle.dumps(made)) == made
    assert repr(made)
    if kind not in (Step, Ladder):
        found = to_data(made)
        assert from_data(found) == from_data(json.loads(json.dumps(found, allow_nan=False))) == made


data_of_values = st.one_of(*VALUES.values()).map(to_data)


@st.composite
def damaged(draw: st.DrawFn) -> Any:
    """The data of a value, with one thing in it replaced, taken out or added."""
    found = draw(data_of_values)
    place = found
    while inner := [
        item for item in (place.values() if isinstance(place, dict) else place) if isinstance(item, dict | list) and item
    ]:
        if draw(st.booleans()):
            break
        place = draw(st.sampled_from(inner))
    key = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
    match draw(st.sampled_from(["replace", "remove", "add"])):
        case "replace":
            place[key] = draw(anything | data_of_values)
        case "remove":
            del place[key]
        case "add" if isinstance(place, dict):
            place[draw(st.text(max_size=5) | st.sampled_from([1, None, "norm", "type"]))] = draw(anything)
    return found


@drawn(300)
@given(damaged() | anything)
def test_damaged_data_is_a_value_or_a_spec_error(found: Any) -> None:
    made = attempt(from_data, {"data": found})
    if made is not None:
        assert from_data(to_data(made)) == made


def shapes_of(layers: list[Layer]) -> list[Shape]:
    """The shapes before the first of these layers of digits and after each."""
    shapes: list[Shape] = [(1, 28, 28)]
    for layer in layers:
        shapes.append(shape_after(layer, shapes))
    return shapes


@st.composite
def steps(draw: st.DrawFn) -> Step | None:
    """Steps on images of 28 x 28, of any recipe that can be; None where network and recipe cannot be together."""
    found = {"title": "Drawn", "network": draw(networks_of_digits()), "recipe": draw(of_kind(Recipe))}
    return cast(Step | None, attempt(Step, found))


@st.composite
def networks_of_digits(draw: st.DrawFn) -> Network:
    """Networks of layers of any kind, each of which fits after the one before it."""
    layers: list[Layer] = []
    for _ in range(draw(st.integers(1, 5))):
        layer = draw(one_layer)
        try:
            shape = shape_after(layer, shapes_of(layers))
        except SpecError:
            continue
        if prod(shape) <= 20_000:
            layers.append(layer)
    shape = shapes_of(layers)[-1]
    last = draw(st.sampled_from([Conv(10, 1, activation=None), Conv(10, min(shape[1:], default=1))]))
    return Network([*layers, *([last, GlobalAvgPool()] if len(shape) == 3 else [Linear(10)])])


@drawn(60)
@given(step=steps(), images=st.sampled_from([7, 8]))
def test_what_is_accepted_trains_or_diverges_on_each_engine_that_takes_it(
    small_mnist: Path, step: Step | None, images: int
) -> None:
    if step is None or (step.network.point_norm and images % step.recipe.batch_size == 1):
        return
    whole = loop_images(small_mnist)
    few = whole._replace(train=whole.train[:images], train_labels=whole.train_labels[:images])
    for engine, module in (("torch", plain), ("native", native)):
        if refusal(network_of(step), engine):
            continue
        dropout = torch.Generator()
        model = module.build(network_of(step), step.recipe.dropout, dropout)
        plain.initialise(model, seed=0)
        try:
            epochs = fit(state.begin(model, step.recipe), step.recipe, few._replace(engine=module), Streams(0, dropout))
            assert next(epochs).epoch == 1
            if step.recipe.epochs > 1:
                next(epochs)
        except Diverged:
            pass
