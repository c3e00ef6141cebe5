"""What tests of training share: figures to compare, images for the loop, and a model that keeps its batches."""

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from stepladder import Network, Recipe, Step, data, state
from stepladder.engine import plain
from stepladder.records import Record
from stepladder.state import State
from stepladder.train import Images


def figures(record: Record) -> list[dict[str, float]]:
    """The history without what no two runs share."""
    return [asdict(epoch) | {"seconds": 0} for epoch in record.history]


def network_of(step: Step) -> Network:
    """The layers of a step that has some."""
    assert isinstance(step.network, Network)
    return step.network


class Watched(nn.Module):
    """Keeps the training batches that pass through it."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.batches.append(x.clone())
        return x


def loop_images(small_mnist: Path) -> Images:
    """250 training and 60 test images for the plain engine."""
    mnist = data.load(small_mnist)
    mean, std = mnist.normalisation()
    return Images(
        engine=plain,
        train=torch.from_numpy(mnist.train_images[:250]),
        train_labels=torch.from_numpy(mnist.train_labels[:250]).long(),
        test=torch.from_numpy(mnist.test_images[:60]),
        test_labels=torch.from_numpy(mnist.test_labels[:60]).long(),
        mean=mean,
        std=std,
    )


def state_of(network: Network, recipe: Recipe) -> State:
    """The state in which a plain model of the network begins, with seed 0."""
    model = plain.build(network, recipe.dropout, torch.Generator())
    plain.initialise(model, seed=0)
    return state.begin(model, recipe)
