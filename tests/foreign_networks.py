"""Networks that students write too, but that no list of layers says."""

from typing import Any

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class Recurrent(nn.Module):
    """Rows of the image are steps of a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.fc = nn.GRU(28, 24, batch_first=True), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Any:
        steps, _ = self.rows(x.squeeze(1))
        return self.fc(steps[:, -1])


class SelfAttention(nn.Module):
    """Every position of a small map asks all others, by a softmax over products."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 16, 4, stride=4)
        self.query, self.key, self.value = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Any:
        x = self.patches(x).flatten(2).transpose(1, 2)
        asked = F.softmax(self.query(x) @ self.key(x).transpose(1, 2) / 4.0, dim=-1)
        return self.fc((asked @ self.value(x)).mean(dim=1))


class Ghosts(nn.Module):
    """A batch norm that takes the statistics of parts of the batch, but only while it trains."""

    class Norm(nn.BatchNorm2d):
        """Each of two parts of the batch has its own statistics."""

        def forward(self, x: Tensor) -> Tensor:
            if not self.training:
                return super().forward(x)
            n, channels, rows, columns = x.shape
            weight, bias = self.weight.repeat(2), self.bias.repeat(2)
            parts = F.batch_norm(x.reshape(-1, 2 * channels, rows, columns), None, None, weight, bias, True, 0.1, self.eps)
            return parts.view(n, channels, rows, columns)

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm, self.last = nn.Conv2d(1, 8, 3, stride=2), Ghosts.Norm(8), nn.Conv2d(8, 10, 13)

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(F.relu(self.norm(self.conv1(x))))
        return F.log_softmax(x.view(-1, 10), dim=1)


class Mirrored(nn.Module):
    """Maps that go on beyond their border as in a mirror, of images that forward scales."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, stride=2, padding=1, padding_mode="reflect")
        self.conv2 = nn.Conv2d(8, 10, 14)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(F.relu(self.conv1((x - 0.5) * 2.0)))
        return F.log_softmax(x.view(-1, 10), dim=1)


class Transformed(nn.Module):
    """The image is turned and moved before it is read, as a small network in front says."""

    def __init__(self) -> None:
        super().__init__()
        self.where, self.what = nn.Linear(784, 6), nn.Linear(784, 10)

    def forward(self, x: Tensor) -> Any:
        grid = F.affine_grid(self.where(x.flatten(1)).view(-1, 2, 3), list(x.shape), align_corners=False)
        return self.what(F.grid_sample(x, grid, align_corners=False).flatten(1))
