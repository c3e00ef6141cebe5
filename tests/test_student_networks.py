"""The students' networks run, train and, but for one, can be traced: tests that read them rely on it."""

import warnings

import pytest
import torch
from foreign_networks import Ghosts, Transformed
from student_networks import FOREIGN, INPUT, NETWORKS, Undimensioned
from torch import Tensor, nn

from stepladder.tracing import TraceError, trace


def output(model: nn.Module, images: Tensor) -> Tensor:
    with warnings.catch_warnings():
        if isinstance(model, Undimensioned):
            warnings.simplefilter("ignore")  # of the dim that its log_softmax does not name
        made: Tensor = model(images)
    return made


@pytest.mark.parametrize("network", [*NETWORKS, *FOREIGN])
def test_trains_on_images_of_its_size_for_ten_classes(network: type[nn.Module]) -> None:
    model = network()
    made = output(model, torch.rand(4, *INPUT[network]))
    made.sum().backward()
    assert made.shape == (4, 10)


@pytest.mark.parametrize("network", [network for network in [*NETWORKS, *FOREIGN] if network is not Transformed])
def test_its_table_counts_each_parameter_once(network: type[nn.Module]) -> None:
    model = network()
    rows = trace(model, INPUT[network])
    assert sum(row.parameters for row in rows) == sum(parameter.numel() for parameter in model.parameters())


def test_sampling_at_learnt_places_cannot_be_traced() -> None:
    with pytest.raises(TraceError, match="affine_grid in the model"):
        trace(Transformed(), INPUT[Transformed])


def test_ghosts_take_other_statistics_while_they_train() -> None:
    model = Ghosts()
    seen = model.conv1(torch.rand(4, 1, 28, 28))
    plain = nn.functional.batch_norm(seen, None, None, training=True)
    assert not torch.allclose(model.norm(seen), plain, atol=0.01)
