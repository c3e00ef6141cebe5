"""Networks as students write them whose layers are joined: by sums and concatenations, or by being called again."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


def block(before: int, after: int, rate: float = 0.0, **options: int) -> nn.Sequential:
    """Convolution, norm, relu and, at a rate, dropout."""
    parts = [nn.Conv2d(before, after, 3, bias=False, **options), nn.BatchNorm2d(after), nn.ReLU()]  # type: ignore[arg-type]
    return nn.Sequential(*parts, *([nn.Dropout(rate)] if rate else []))


class Residuals(nn.Module):
    """Blocks of convolution, pooling, norm and relu, around which some go straight on and one through a projection."""

    def __init__(self) -> None:
        super().__init__()
        self.prep = block(3, 16, padding=1)
        self.layer1 = self.pooled(16, 24)
        self.res1 = nn.Sequential(block(24, 24, padding=1), block(24, 24, padding=1))
        self.main = nn.Sequential(block(24, 32, stride=2, padding=1), nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32))
        self.shortcut = nn.Sequential(nn.Conv2d(24, 32, 1, stride=2, bias=False), nn.BatchNorm2d(32))
        self.pool, self.fc = nn.MaxPool2d(4, 4), nn.Linear(128, 10)

    @staticmethod
    def pooled(before: int, after: int) -> nn.Sequential:
        conv = nn.Conv2d(before, after, 3, padding=1, bias=False)
        return nn.Sequential(conv, nn.MaxPool2d(2, 2), nn.BatchNorm2d(after), nn.ReLU())

    def forward(self, x: Tensor) -> Any:
        x = self.layer1(self.prep(x))
        x = x + self.res1(x)
        out = self.main(x)
        out += self.shortcut(x)
        x = self.pool(F.relu(out))
        return self.fc(x.view(x.size(0), -1))


class Dense(nn.Module):
    """Concatenations of what came before, and a sum of three."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = block(1, 6, padding=1), block(6, 6, padding=1), block(12, 12, padding=1)
        self.conv4, self.conv5 = block(12, 12, padding=1), block(12, 12, padding=1)
        self.pool, self.last = nn.MaxPool2d(2, 2), nn.Conv2d(12, 10, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv1(x)
        x = self.pool(torch.cat([first, self.conv2(first)], dim=1))
        third = self.conv3(x)
        fourth = self.conv4(x + third)
        x = self.last(self.pool(self.conv5(x + third + fourth)))
        return F.log_softmax(F.avg_pool2d(x, x.shape[2:]).view(-1, 10), dim=1)


class Recycled(nn.Module):
    """One block with one set of weights, called three times on growing sums."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.again = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.ReLU(), nn.BatchNorm2d(8))
        self.fc = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Any:
        x = self.first(x)
        second = self.again(x)
        third = self.again(x + second)
        return self.fc(self.again(x + second + third).mean([2, 3]))
