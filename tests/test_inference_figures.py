"""What a network takes on a micro-controller, known from its shapes alone."""

import pytest
from conftest import fuzzed, networks
from hypothesis import given
from test_export_program import exported, trained

from stepladder import BatchNorm, Conv, Flatten, GlobalAvgPool, GroupNorm, LayerNorm, Linear, Network, PReLU, UserError, ladders
from stepladder.inference.figures import Figures, figures, planned
from stepladder.inference.program import planned as unknown

EVERY = [step for name in ladders.names() for step in ladders.load(name).steps]
NETWORKS = {step.network: step.id for step in EVERY if isinstance(step.network, Network)}


@pytest.mark.parametrize("network", NETWORKS, ids=[*NETWORKS.values()])
def test_a_built_in_step_takes_what_its_export_states(network: Network) -> None:
    assert planned(network) == figures(exported(network, trained(network)), int8=True)
    assert planned(network).multiply_adds == sum(
        layer.macs(before, after)
        for layer, before, after in zip(network.layers, network.shapes(), network.shapes()[1:], strict=False)
    )


def test_the_memory_of_known_steps() -> None:
    found = {step.id: planned(step.network).arena_bytes for step in EVERY if isinstance(step.network, Network)}
    assert {name: found[name] for name in ("A4", "C7", "S2", "S4", "F1")} == {
        **{"A4": 13_622, "C7": 9_462, "S2": 12_544, "S4": 12_544, "F1": 7_840}
    }


def test_the_figures_of_a_small_network_by_hand() -> None:
    # 6 x 6 of 4 channels beside 9 taps gathered; 2 numbers, which are scores; a bias and a multiplier of 4 bytes an output
    small = Network([Conv(4), Flatten(), Linear(2)], (1, 8, 8), 2)
    linear = 4 * 36 * 2
    assert planned(small).multiply_adds == 36 * 4 * 9 + linear
    assert planned(small).weight_bytes == 4 * 9 + linear + 8 * (4 + 2)
    assert planned(small).arena_bytes == 4 * 36 + 9


@fuzzed(60)
@given(networks())
def test_what_is_told_of_shapes_is_what_is_told_of_a_trained_network(network: Network) -> None:
    made = exported(network, trained(network))
    bare = unknown(network)
    for int8 in (False, True):
        assert figures(bare, int8) == figures(made, int8)
    assert [(own.kind, own.inputs, own.function, own.shape) for own in bare.operations] == [
        (own.kind, own.inputs, own.function, own.shape) for own in made.operations
    ]


def test_a_network_too_large_to_hold_is_planned_all_the_same() -> None:
    large = Network([Flatten(), Linear(1_000_000), Linear(1_000), BatchNorm(), Linear(10)])
    assert planned(large) == Figures(1_001_000, 1_784_010_000 + 8 * 1_001_010, 1_784_010_000)


@pytest.mark.parametrize("layer", [GroupNorm(2), LayerNorm(), PReLU(per_channel=True)], ids=str)
def test_what_integers_cannot_express_is_told(layer: GroupNorm | LayerNorm | PReLU) -> None:
    with pytest.raises(UserError, match="cannot be written in int8"):
        planned(Network([Conv(10, activation=None), layer, GlobalAvgPool()]))
