"""The native engine's dropout: a draw is a function of the pass, the layer, the image and the activation alone.

The draws are made again here, in numpy, as native/network.cpp (keys) and native/pointwise.hpp (draws) say they are.
"""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from native_twin import Masked, assert_agrees, batches, example, networks, outcome, prepare, twin
from numpy.typing import NDArray
from torch import Tensor, nn

from stepladder import BatchNorm, Conv, Dropout2d, Flatten, Linear, MaxPool, Network, Residual
from stepladder.engine import native, plain
from stepladder.engine.kernels import lower
from stepladder.spec import Layer
from stepladder.streams import stream

# Activated ones, as they are: the logits show what is dropped.
BARE = Network([Conv(10, 1, norm=None), Flatten()], input=(1, 4, 5), classes=200)


def splitmix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def lowbias(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def kept(key: int, stage: int, shape: Sequence[int], share: float) -> NDArray[np.bool_]:
    """(images, activations): false where the activation that enters a stage is dropped. Stages are the engine's kernels."""
    images, activations = shape
    place = np.uint64(stage << 32) | np.arange(images, dtype=np.uint64)
    keys = splitmix(np.uint64(key) ^ splitmix(place)).astype(np.uint32)
    pairs = np.arange((activations + 1) // 2, dtype=np.uint32) * np.uint32(0x9E3779B9)
    draws = lowbias(keys[:, None] + pairs).astype("<u4").view("<u2")  # 16 bits each for two activations
    kept: NDArray[np.bool_] = draws[:, :activations] >= share * 65536
    return kept


def in_steps(share: float) -> float:
    """The share that is dropped: of 16 bits."""
    return round(share * 65536) / 65536


def masks(network: Network, images: int, share: float, seed: int) -> list[Masked]:
    """The dropout of the first training pass of a module whose generator has this seed."""
    key = int(torch.randint(2**62, (), generator=torch.Generator().manual_seed(seed)))
    return [
        Masked(kept(key, stage, (images, int(np.prod(kernel.output))), in_steps(share)), in_steps(share))
        for stage, kernel in enumerate(lower(network, share), start=1)
        if kernel.dropout
    ]


@settings(max_examples=50)
@given(st.data(), networks(), st.sampled_from([0.02, 0.1, 0.5, 0.9]), st.integers(0, 99))
def test_exactly_the_drawn_activations_are_dropped_forward_and_backward(
    data: st.DataObject, network: Network, share: float, seed: int
) -> None:
    images = data.draw(batches(network))
    assume(images > 1 and masks(network, 1, share, seed))
    drawn = masks(network, images, share, seed)
    x, cotangent, weights = example(network, images, drawn)
    module = native.build(network, share, torch.Generator().manual_seed(seed))
    prepare(module, weights)
    expected = outcome(twin(network, weights, torch.float64, drawn), x.double(), cotangent)
    rough = outcome(twin(network, weights, torch.float32, drawn), x, cotangent)
    assert_agrees(outcome(module, x, cotangent), expected, rough)


def bare(share: float = 0.3, seed: int = 0) -> nn.Sequential:
    module = native.build(BARE, share, torch.Generator().manual_seed(seed))
    module.get_parameter("conv1.weight").data.fill_(1)
    return module


def ones(images: int = 500) -> Tensor:
    return torch.ones(images, *BARE.input, requires_grad=True)


@pytest.mark.parametrize("share", [0.001, 0.043, 0.5, 0.9])
def test_the_share_is_dropped_and_the_rest_scaled(share: float) -> None:
    logits = bare(share)(ones()).detach()
    n = logits.numel()
    assert abs(int((logits == 0).sum()) - n * share) < 5 * (n * share * (1 - share)) ** 0.5
    assert logits.unique().tolist() == pytest.approx([0, 1 / (1 - in_steps(share))])


def test_draws_are_spread_evenly_over_images_and_activations() -> None:
    """Each count is binomial: their variance is that of independent draws, within 5 standard errors."""
    dropped = (bare(0.3)(ones(2000)) == 0).double()
    for counts, n in ((dropped.sum(0), 2000), (dropped.sum(1), 200)):
        variance = n * 0.3 * 0.7
        assert (counts - n * 0.3).abs().max() < 5 * variance**0.5
        assert counts.var().item() == pytest.approx(variance, rel=5 * (2 / len(counts)) ** 0.5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("images", [5, 37])
def test_dropout2d_drops_exactly_the_drawn_channels_forward_and_backward(images: int, training: bool) -> None:
    bare = Conv(2, padding=1, activation=None)  # no block that the recipe's dropout would follow
    layers: list[Layer] = [bare, Residual(1), Dropout2d(0.4), bare, Dropout2d(0.3), MaxPool(2), Flatten(), Dropout2d(0.2)]
    network = Network([*layers, Linear(7, activation="relu"), Dropout2d(0.5), Linear(3)], input=(2, 9, 8), classes=3)
    key = int(torch.randint(2**62, (), generator=torch.Generator().manual_seed(7)))
    drawn = []
    for stage, kernel in enumerate(lower(network), start=1):
        channels, height, width = kernel.output
        if kernel.dropout:
            of_channels = kept(key, stage, (images, channels), in_steps(kernel.dropout))
            drawn.append(Masked(of_channels.repeat(height * width, axis=1), in_steps(kernel.dropout)))
    assert len(drawn) == 4
    x, cotangent, weights = example(network, images, drawn, training)
    module = native.build(network, 0.0, torch.Generator().manual_seed(7))
    prepare(module, weights)
    expected = outcome(twin(network, weights, torch.float64, drawn), x.double(), cotangent, training)
    rough = outcome(twin(network, weights, torch.float32, drawn), x, cotangent, training)
    assert_agrees(outcome(module, x, cotangent, training), expected, rough)


def test_dropout2d_drops_its_share_of_channels_whole_and_scales_the_rest() -> None:
    network = Network([Conv(100, 1, norm=None), Dropout2d(0.3), Flatten()], input=(1, 2, 2), classes=400)
    for engine in (native, plain):
        module = engine.build(network, 0.0, torch.Generator().manual_seed(0))
        module.get_parameter("conv1.weight").data.fill_(1)
        channels = module(torch.ones(500, 1, 2, 2)).view(500, 100, 4)
        assert (channels == channels[:, :, :1]).all()
        assert (channels[:, :, 0] == 0).double().mean().item() == pytest.approx(0.3, abs=0.01)
        assert channels.max().item() == pytest.approx(1 / 0.7, rel=1e-4)
        assert channels[0].ne(channels[1]).any()


def test_a_channel_that_is_dead_before_a_norm_and_dropout2d_still_gets_the_gradient_of_its_shift() -> None:
    network = Network([Conv(2, 1, norm=None), BatchNorm(), Dropout2d(0.5), Flatten()], input=(1, 2, 2), classes=8)
    module = native.build(network, 0.0, torch.Generator().manual_seed(0))
    module.get_parameter("conv1.weight").data.fill_(0)
    module(torch.ones(1000, 1, 2, 2)).sum().backward()
    shift = module.get_parameter("norm1.bias").grad
    assert shift is not None
    torch.testing.assert_close(shift, torch.full((2,), 4000.0), rtol=0.1, atol=0)


def test_the_gradient_goes_where_the_activation_went() -> None:
    module, x = bare(), ones()
    logits = module(x)
    logits.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, logits.detach().view(500, 10, 4, 5).sum(1, keepdim=True))


def test_dropout_after_pooling_spares_the_maximum_from_its_draws() -> None:
    """An activation is dropped as a whole, after the maximum is taken, not before."""
    network = Network([Conv(1, 1, norm=None), MaxPool(2), Flatten()], input=(1, 2, 8), classes=4)
    module = native.build(network, 0.5, torch.Generator().manual_seed(0))
    module.get_parameter("conv1.weight").data.fill_(1)
    logits = module(torch.ones(1000, 1, 2, 8))
    assert (logits == 0).double().mean().item() == pytest.approx(0.5, abs=0.04)


def test_passes_images_and_layers_have_draws_of_their_own() -> None:
    module = bare()
    first, second = module(ones()), module(ones())
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
    both = Network([Conv(10, 1, norm=None), Conv(10, 1, norm=None, groups=10), Flatten()], input=(1, 4, 5), classes=200)
    twice = native.build(both, 0.3, torch.Generator().manual_seed(0))
    for parameter in twice.parameters():
        parameter.data.fill_(1)
    dropped_twice = (twice(ones()) == 0).double().mean().item()
    assert dropped_twice == pytest.approx(1 - 0.7**2, abs=0.01)


def test_the_generators_state_decides_the_draws() -> None:
    torch.manual_seed(1)
    first = bare(seed=5)(ones())
    torch.manual_seed(2)
    assert torch.equal(bare(seed=5)(ones()), first)
    assert not torch.equal(bare(seed=6)(ones()), first)


def test_an_image_is_dropped_alike_in_any_batch() -> None:
    assert torch.equal(bare()(ones(37))[:9], bare()(ones(9)))


def test_nothing_is_dropped_and_nothing_drawn_when_not_training() -> None:
    generator = torch.Generator().manual_seed(0)
    module = native.build(BARE, 0.3, generator).eval()
    module.get_parameter("conv1.weight").data.fill_(1)
    before = generator.get_state()
    assert torch.equal(module(ones()), torch.ones(500, 200))
    with torch.no_grad():
        assert torch.equal(module(ones()), torch.ones(500, 200))
    assert torch.equal(generator.get_state(), before)


def test_a_training_pass_draws_one_number() -> None:
    generator = stream(0)
    native.build(BARE, 0.3, generator)(ones())
    twin_generator = stream(0)
    torch.randint(2**62, (), generator=twin_generator)
    assert torch.equal(generator.get_state(), twin_generator.get_state())
