"""The widths of a network: scaled by a factor, and fitted to what is allowed."""

from itertools import pairwise

import pytest
from conftest import fuzzed, networks
from hypothesis import given
from hypothesis import strategies as st

from stepladder import (
    Branch,
    Concat,
    Conv,
    Excite,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    Linear,
    MaxPool,
    Multiply,
    Network,
    Residual,
    SpecError,
)  # fmt: skip
from stepladder.climb.widths import fitted, scaled, shifted
from stepladder.ladders import load
from stepladder.spec import Layer

CLASSES: list[Layer] = [Conv(10, 1, activation=None), GlobalAvgPool()]
PLAIN = Network([Conv(4), Conv(6), MaxPool(2), Conv(8), *CLASSES])


def widths(network: Network) -> list[int]:
    """The channels or features after each layer."""
    return [shape[0] for shape in network.shapes()[1:]]


def test_all_widths_are_scaled_but_the_classes() -> None:
    assert scaled(PLAIN, 1.5) == Network([Conv(6), Conv(9), MaxPool(2), Conv(12), *CLASSES])
    assert scaled(PLAIN, 0.0) == Network([Conv(1), Conv(1), MaxPool(2), Conv(1), *CLASSES])
    hidden = Network([Conv(4), Flatten(), Linear(20), Linear(10)])
    assert scaled(hidden, 0.5) == Network([Conv(2), Flatten(), Linear(10), Linear(10)])


def test_what_lies_between_two_widths_becomes_the_larger() -> None:
    assert widths(scaled(PLAIN, 5 / 8))[:2] == [3, 4]


@pytest.mark.parametrize(
    ("layers", "doubled"),
    [
        ([Conv(4), Conv(8, groups=4), Conv(6, 1)], [Conv(8), Conv(16, groups=8), Conv(12, 1)]),
        ([Conv(4), Conv(8, groups=2)], [Conv(8), Conv(16, groups=2)]),
        ([Conv(4), GroupNorm(4), Conv(6), GroupNorm(2)], [Conv(8), GroupNorm(8), Conv(12), GroupNorm(2)]),
        ([Conv(4), Conv(4, 1), Residual(1)], [Conv(8), Conv(8, 1), Residual(1)]),
        (
            [Conv(8), GlobalAvgPool(), Linear(2, activation="relu"), Linear(8), Excite(3)],
            [Conv(16), GlobalAvgPool(), Linear(4, activation="relu"), Linear(16), Excite(3)],
        ),
        ([Conv(4), Conv(3, 1), Concat(1), Conv(7, groups=7)], [Conv(8), Conv(6, 1), Concat(1), Conv(14, groups=14)]),
        ([Conv(4), Conv(6, 1), Branch(1), Conv(6, 1), Multiply(2)], [Conv(8), Conv(12, 1), Branch(1), Conv(12, 1), Multiply(2)]),
    ],
    ids=["depthwise", "groups", "norms", "sum", "squeeze-and-excitation", "concatenation", "branch"],
)
def test_what_belongs_to_a_width_follows_it(layers: list[Layer], doubled: list[Layer]) -> None:
    assert scaled(Network([*layers, *CLASSES]), 2.0) == Network([*doubled, *CLASSES])


def test_groups_divide_every_width() -> None:
    grouped = Network([Conv(8), Conv(12, groups=4), *CLASSES])
    assert widths(scaled(grouped, 1.3))[:2] == [12, 16]
    assert widths(scaled(grouped, 0.0))[:2] == [4, 4]


def test_a_depthwise_convolution_stays_one() -> None:
    assert scaled(Network([Conv(8), Conv(8, groups=8), *CLASSES]), 0.0).layers[:2] == (Conv(2), Conv(2, groups=2))


def test_what_is_added_to_the_image_keeps_its_channels() -> None:
    network = Network([Conv(3, 1), Residual(1), Conv(8), *CLASSES], input=(3, 8, 8))
    assert widths(scaled(network, 2.0))[:3] == [3, 3, 16]


def test_sums_of_what_is_made_in_different_ways_keep_their_channels() -> None:
    network = Network([Conv(4), Conv(4, 1), Concat(1), Conv(8, 1), Residual(1), Conv(6), *CLASSES])
    assert widths(scaled(network, 2.0))[:6] == [4, 4, 8, 8, 8, 12]


def test_widths_are_shifted_at_a_layer() -> None:
    assert shifted(PLAIN, 2, 0.5, 2.0) == Network([Conv(2), Conv(3), MaxPool(2), Conv(16), *CLASSES])


def test_the_widest_network_that_fits_is_found() -> None:
    every = [scaled(PLAIN, number / 48) for number in range(150)]  # a width grows at multiples of 1/8, 1/12 and 1/16
    for limit in (300, 1000, PLAIN.parameters, 3000):
        found = fitted(PLAIN, lambda network, most=limit: network.parameters <= most)  # type: ignore[misc]
        assert found is not None
        assert found.parameters == max(network.parameters for network in every if network.parameters <= limit)
    assert fitted(PLAIN, lambda network: network.parameters <= 50) is None


def test_a_network_that_has_no_width_of_its_own_fits_or_not() -> None:
    network = Network([Conv(10, activation=None), GlobalAvgPool()])
    assert fitted(network, lambda found: True) == network
    assert fitted(network, lambda found: False) is None


def test_what_is_too_large_to_be_does_not_fit() -> None:
    found = fitted(Network([Conv(4, 1), GlobalAvgPool(), Linear(2)], input=(1, 2, 2), classes=2), lambda network: True)
    assert found is not None
    with pytest.raises(SpecError):
        scaled(found, 2.0)


@pytest.mark.parametrize("name", ["mnist", "mnist-8k", "mnist-smallest"])
def test_widths_of_ladders_grow_with_the_factor(name: str) -> None:
    for network in {step.network for step in load(name).steps}:
        assert isinstance(network, Network)
        every = [widths(scaled(network, factor / 10)) for factor in range(30)]
        for narrow, wide in pairwise(every):
            assert all(first <= second for first, second in zip(narrow, wide, strict=True))
        assert every[0] < every[-1]


@fuzzed(40)
@given(networks(), st.floats(0, 4))
def test_any_network_can_be_scaled(network: Network, factor: float) -> None:
    assert scaled(network, 1.0) == network
    made = scaled(network, factor)
    assert [type(layer) for layer in made.layers] == [type(layer) for layer in network.layers]
    assert [shape[1:] for shape in made.shapes()[:-1] if len(shape) == 3] == [
        shape[1:] for shape in network.shapes()[:-1] if len(shape) == 3
    ]


@fuzzed(30)
@given(networks(), st.integers(20, 2000))
def test_what_is_fitted_fits(network: Network, most: int) -> None:
    found = fitted(network, lambda made: made.parameters <= most)
    assert (found is None) == (scaled(network, 0.0).parameters > most)
    assert found is None or found.parameters <= most
