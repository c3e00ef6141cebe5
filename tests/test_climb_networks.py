"""Changes of a network's layers, on networks that a person can read."""

from collections.abc import Callable, Iterator

import pytest
import torch

from stepladder import (
    AvgPool,
    BatchNorm,
    BlurPool,
    Concat,
    Conv,
    Excite,
    Flatten,
    GlobalAvgPool,
    Linear,
    MaxPool,
    Network,
    ReLU,
    Residual,
)  # fmt: skip
from stepladder.climb import networks as changes
from stepladder.climb.blocks import Block, hidden, replaced, stages
from stepladder.climb.candidate import Candidate
from stepladder.engine import plain, refusal
from stepladder.ladders import load
from stepladder.ladders.mnist_8k import separable
from stepladder.spec import Layer

CLASSES: list[Layer] = [Conv(10, 1, activation=None), GlobalAvgPool()]
FIRST, SECOND, THIRD, FOURTH = Conv(4, padding=1), Conv(6, padding=1), Conv(8), Conv(8)
PLAIN = Network([FIRST, SECOND, MaxPool(2), THIRD, FOURTH, *CLASSES])
C7 = load("mnist-8k").step("C7").network


def made(change: Callable[[Network], Iterator[Candidate]], network: Network) -> dict[str, list[Layer]]:
    """The layers before the classes of each candidate, by its name."""
    return {candidate.name: list(candidate.value.layers[:-2]) for candidate in change(network)}


def test_a_block_is_a_convolution_and_what_belongs_to_it() -> None:
    network = Network(
        [
            *(Conv(4, norm=None, activation=None), BatchNorm(), ReLU(), MaxPool(2)),
            *(Conv(4, groups=4, norm=None, activation=None), Conv(8, 1)),
            *(Conv(8, padding=1), Conv(8, padding=1, activation=None), Residual(2)),
            *(Conv(8, padding=1), GlobalAvgPool(), Linear(2), Linear(8), Excite(3)),
            *CLASSES,
        ]
    )
    assert hidden(network) == [Block(0, 3), Block(4, 6), Block(6, 9), Block(9, 14)]
    assert stages(network) == [[Block(0, 3)], [Block(4, 6), Block(6, 9), Block(9, 14)]]


def test_joins_go_back_to_where_they_went() -> None:
    network = Network([FIRST, Conv(4, 1), Conv(4, 1, activation=None), Residual(2), *CLASSES])
    assert replaced(network, 1, 1, [Conv(4, 1)]) == Network([FIRST, Conv(4, 1), *network.layers[1:]])
    assert replaced(network, 2, 2, [Conv(4, 1)]) == Network(
        [FIRST, Conv(4, 1), Conv(4, 1), Conv(4, 1, activation=None), Residual(3), *CLASSES]
    )
    assert replaced(network, 1, 2, []) == Network([FIRST, Conv(4, 1, activation=None), Residual(1), *CLASSES])
    assert replaced(network, 0, 2, [Conv(4, padding=1)]) is None  # the sum would lose what it adds
    dense = Network([FIRST, Conv(3, 1), Concat(1), Conv(7, groups=7), *CLASSES])
    assert replaced(dense, 1, 2, [Conv(5, 1)]) == Network([FIRST, Conv(5, 1), Concat(1), Conv(9, groups=9), *CLASSES])


def test_a_block_more_at_the_end_of_each_stage() -> None:
    assert made(changes.more_blocks, PLAIN) == {
        "block more in stage 1": [FIRST, SECOND, SECOND, MaxPool(2), THIRD, FOURTH],
        "block more in stage 2": [FIRST, SECOND, MaxPool(2), THIRD, FOURTH, Conv(8, padding=1)],
    }
    separated = Network([FIRST, MaxPool(2), *separable(4, 6), *CLASSES])
    assert made(changes.more_blocks, separated)["block more in stage 2"] == [
        *(FIRST, MaxPool(2), *separable(4, 6), *separable(6, 6, padding=1)),
    ]


def test_a_block_whose_copy_cannot_keep_the_size_is_not_repeated() -> None:
    assert made(changes.more_blocks, Network([Conv(4, kernel=4), *CLASSES])) == {}
    assert made(changes.more_blocks, Network([Conv(4, kernel=4, padding=1), *CLASSES], input=(1, 2, 2))) == {}


def test_each_hidden_block_is_left_out() -> None:
    assert made(changes.fewer_blocks, PLAIN) == {
        "without block 1": [SECOND, MaxPool(2), THIRD, FOURTH],
        "without block 2": [FIRST, MaxPool(2), THIRD, FOURTH],
        "without block 3": [FIRST, SECOND, MaxPool(2), FOURTH],
        "without block 4": [FIRST, SECOND, MaxPool(2), THIRD],
    }


def test_a_separable_convolution_follows_where_the_one_before_it_is_left_out() -> None:
    separated = Network([FIRST, *separable(4, 8), *separable(8, 8), *CLASSES])
    assert made(changes.fewer_blocks, separated) == {
        "without block 2": [FIRST, *separable(4, 8)],
        "without block 3": [FIRST, *separable(4, 8)],
    }  # not without block 1: there is nothing to see in the one channel of the image before mixing


def test_widths_move_across_the_last_pooling() -> None:
    assert made(changes.shifted_widths, PLAIN) == {
        "late layers wider": [Conv(3, padding=1), Conv(5, padding=1), MaxPool(2), Conv(10), Conv(10)],
        "early layers wider": [Conv(5, padding=1), Conv(8, padding=1), MaxPool(2), Conv(6), Conv(6)],
    }


def test_plain_convolutions_become_separable_but_the_first() -> None:
    assert made(changes.separable, PLAIN) == {
        "separable convolutions": [FIRST, *separable(4, 6, 1), MaxPool(2), *separable(6, 8), *separable(8, 8)],
    }
    assert made(changes.separable, Network([FIRST, *separable(4, 8), *CLASSES])) == {}


def test_all_poolings_change_their_kind() -> None:
    def pooled(pool: Layer) -> Network:
        return Network([FIRST, pool, SECOND, pool, *CLASSES])

    def kinds(pool: Layer) -> dict[str, Layer]:
        return {candidate.name: candidate.value.layers[1] for candidate in changes.pooling_kinds(pooled(pool))}

    assert {candidate.value for candidate in changes.pooling_kinds(pooled(MaxPool(2)))} == {pooled(AvgPool(2)), pooled(BlurPool())}
    assert kinds(BlurPool()) == {"max pooling": MaxPool(2), "average pooling": AvgPool(2)}
    assert kinds(AvgPool(3, 2, 1)) == {"max pooling": MaxPool(3, 2, 1), "blur pooling": BlurPool()}


def test_the_pooling_that_ends_in_one_place_keeps_its_kind() -> None:
    assert made(changes.pooling_kinds, Network([FIRST, Conv(10, 1), AvgPool(28), Flatten()])) == {}


def test_poolings_move_by_one_block() -> None:
    assert made(changes.moved_pools, PLAIN) == {
        "pooling 1 earlier": [FIRST, MaxPool(2), SECOND, THIRD, FOURTH],
        "pooling 1 later": [FIRST, SECOND, THIRD, MaxPool(2), FOURTH],
    }
    assert made(changes.moved_pools, Network([FIRST, MaxPool(2), *CLASSES])) == {}


def test_a_sum_around_a_convolution_that_keeps_its_channels() -> None:
    inner = Conv(8, padding=1, activation=None)
    assert made(changes.residuals, PLAIN) == {"residual 4": [FIRST, SECOND, MaxPool(2), THIRD, inner, Residual(1)]}
    depthwise = Conv(8, padding=1, groups=8, norm=None, activation=None)
    assert made(changes.residuals, Network([THIRD, *separable(8, 8), *CLASSES])) == {
        "residual 2": [THIRD, depthwise, Conv(8, 1, activation=None), Residual(2)]
    }


def test_squeeze_and_excitation_in_the_late_stages() -> None:
    squeeze: list[Layer] = [GlobalAvgPool(), Linear(2, activation="relu"), Linear(8), Excite(3)]
    layers = [FIRST, SECOND, MaxPool(2), THIRD, FOURTH, *squeeze]
    assert made(changes.excitations, PLAIN) == {"squeeze-and-excitation in stage 2": layers}
    assert made(changes.excitations, Network([*layers, *CLASSES])) == {}


@pytest.mark.parametrize("change", changes.CHANGES)
def test_what_each_change_makes_of_c7_computes(change: Callable[[Network], Iterator[Candidate]]) -> None:
    assert isinstance(C7, Network)
    found = list(change(C7))
    assert found
    for candidate in found:
        module = plain.build(candidate.value, 0.0, torch.Generator()).eval()
        assert module(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
        assert refusal(candidate.value, "native") is None
