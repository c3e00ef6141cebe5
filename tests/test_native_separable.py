"""Depthwise and 1 x 1 convolutions, which have kernels of their own in the native engine, against the plain module."""

from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from native_twin import assert_agrees, assert_bits_alike, example, outcome, prepare, twin
from test_native import exact, whole_numbers
from test_native_threads import built_for

from stepladder import BlurPool, Conv, Flatten, Linear, Network
from stepladder.engine import native
from stepladder.spec import Layer
from stepladder.streams import stream


@st.composite
def separables(draw: st.DrawFn, norms: bool = True) -> Network:
    """Depthwise convolutions with every border that has a kernel, on rows of one column to three strips, blurring, and 1 x 1
    convolutions, of groups too; with norm and ReLU, one of them or neither."""
    channels, height, width = image = draw(st.tuples(st.integers(1, 9), st.integers(1, 12), st.integers(1, 26)))
    layers: list[Layer] = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["depthwise", "1 x 1", *["blur"] * (norms and min(height, width) > 1)]))
        normed, relu, bias = norms and draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
        end: dict[str, Any] = {"norm": "batch" if normed else None, "activation": "relu" if relu else None, "bias": bias}
        if kind == "1 x 1":
            groups = draw(st.sampled_from([each for each in (1, 2, 3) if channels % each == 0]))
            channels = groups * draw(st.integers(1, 20 // groups))
            layers.append(Conv(channels, 1, groups=groups, **end))
            continue
        stride, padding = (2, 1) if kind == "blur" else (draw(st.integers(1, 3)), draw(st.integers(min(height, width) < 3, 2)))
        depthwise = Conv(channels, 3, stride, padding=padding, groups=channels, **end)
        layers.append(BlurPool() if kind == "blur" else depthwise)
        height, width = ((side + 2 * padding - 3) // stride + 1 for side in (height, width))
    return Network([*layers, Flatten(), Linear(4)], image, classes=4)


@pytest.mark.parametrize("isa", native.extension().isas())
@settings(max_examples=30)
@given(network=separables(), images=st.integers(2, 37))
def test_values_gradients_and_statistics_are_those_of_the_twin(isa: str, network: Network, images: int) -> None:
    x, cotangent, seed = example(network, images)
    module = built_for(isa, network)
    prepare(module, seed)
    rough = outcome(twin(network, seed, torch.float32), x, cotangent)
    assert_agrees(outcome(module, x, cotangent), outcome(twin(network, seed, torch.float64), x.double(), cotangent), rough)


@pytest.mark.parametrize("isa", native.extension().isas())
@settings(max_examples=30)
@given(network=separables(norms=False), seed=st.integers(0, 9))
def test_sums_of_whole_numbers_are_exact(isa: str, network: Network, seed: int) -> None:
    x = torch.randint(-2, 3, (20, *network.input), generator=stream(seed, "x")).float()
    cotangent = torch.randint(-2, 3, (20, network.classes), generator=stream(seed, "cotangent")).float()
    assume(exact(network, seed, x, cotangent))
    expected = outcome(whole_numbers(twin(network, 0, torch.float64), seed), x.double(), cotangent)
    found = outcome(whole_numbers(built_for(isa, network), seed), x, cotangent)
    assert torch.equal(found.logits.double(), expected.logits)
    for name, gradient in expected.gradients.items():
        assert torch.equal(found.gradients[name].double(), gradient), name


def test_the_bits_are_the_same_for_any_number_of_threads() -> None:
    """Through chains of layers that each thread takes a tile through at once."""
    separable = [Conv(8, 3, groups=8, norm=None, activation=None), Conv(8, 1)]
    assert_bits_alike(Network([Conv(8), *separable, BlurPool(), *separable, Flatten(), Linear(10)], (1, 14, 15)))
