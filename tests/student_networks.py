"""Networks as those write them who learn to: the styles of public notebooks, none of them copied.

`NETWORKS` are made of what a list of layers can say, `FOREIGN` are not. `INPUT` holds the images that each takes.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from foreign_networks import Ghosts, Mirrored, Recurrent, SelfAttention, Transformed
from student_joins import Dense, Recycled, Residuals, block
from torch import Tensor, nn


class Functional(nn.Module):
    """Bare convolutions, relu and pooling by functions in forward, a 5x5 convolution at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 12, 3, padding=1)
        self.conv3, self.conv4 = nn.Conv2d(12, 14, 3), nn.Conv2d(14, 10, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), kernel_size=2, stride=2)
        x = self.conv4(F.relu(self.conv3(x)))
        return F.log_softmax(x.view(-1, 10), dim=-1)


class Transitions(nn.Module):
    """Sequential blocks of convolution, relu, norm and dropout; bare 1x1 convolutions in the transitions; one after the pooling."""

    def __init__(self) -> None:
        super().__init__()
        rate = 0.05
        self.convblock1 = nn.Sequential(
            nn.Conv2d(in_channels=1, out_channels=8, kernel_size=(3, 3), padding=0, bias=False),
            nn.ReLU(), nn.BatchNorm2d(8), nn.Dropout(rate),
        )  # fmt: skip
        self.convblock2 = nn.Sequential(
            nn.Conv2d(in_channels=8, out_channels=16, kernel_size=(3, 3), padding=0, bias=False),
            nn.ReLU(), nn.BatchNorm2d(16), nn.Dropout(rate),
        )  # fmt: skip
        self.transition, self.pool1 = nn.Sequential(nn.Conv2d(16, 6, kernel_size=(1, 1), bias=False)), nn.MaxPool2d(2, 2)
        self.convblock3 = nn.Sequential(nn.Conv2d(6, 14, (3, 3), bias=False), nn.ReLU(), nn.BatchNorm2d(14), nn.Dropout(rate))
        self.convblock4 = nn.Sequential(nn.Conv2d(14, 14, (3, 3), bias=False), nn.ReLU(), nn.BatchNorm2d(14), nn.Dropout(rate))
        self.gap = nn.Sequential(nn.AvgPool2d(kernel_size=8))
        self.convblock5 = nn.Sequential(nn.Conv2d(14, 10, (1, 1), bias=False))

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.transition(self.convblock2(self.convblock1(x))))
        x = self.convblock5(self.gap(self.convblock4(self.convblock3(x))))
        return F.log_softmax(x.view(-1, 10), dim=-1)


class Loop(nn.Module):
    """Blocks that a function makes, kept in a list and called in a loop; the average over a whole 7x7 map comes last."""

    def __init__(self, widths: tuple[int, ...] = (8, 12, 16, 20)) -> None:
        super().__init__()
        pairs = zip((1, *widths), widths, strict=False)
        self.blocks = nn.ModuleList(block(before, after, rate=0.1, padding=1) for before, after in pairs)
        self.last = nn.Conv2d(widths[-1], 10, 1)
        self.pool, self.gap = nn.MaxPool2d(2), nn.AvgPool2d(7)

    def forward(self, x: Tensor) -> Tensor:
        for number, part in enumerate(self.blocks):
            x = part(x)
            if number in (1, 2):
                x = self.pool(x)
        return F.log_softmax(self.gap(self.last(x)).view(-1, 10), dim=1)


class Undimensioned(nn.Module):
    """log_softmax without a dim, which torch warns of, after the relu of the last convolution; norms without dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 12, 3), nn.BatchNorm2d(12)
        self.conv3, self.pool = nn.Conv2d(12, 10, 12), nn.MaxPool2d(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.bn2(F.relu(self.conv2(self.bn1(F.relu(self.conv1(x)))))))
        x = F.relu(self.conv3(x))
        return F.log_softmax(x.reshape(x.size(0), -1))


class Separable(nn.Module):
    """Depthwise convolutions, some that make several channels of each, and 1x1 convolutions after them; dropout before relu."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.Dropout(0.1), nn.ReLU())
        self.second = nn.Sequential(
            nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False),
            nn.Conv2d(16, 32, 1, bias=False),
            nn.BatchNorm2d(32), nn.Dropout(0.1), nn.ReLU(), nn.MaxPool2d(2, 2),
        )  # fmt: skip
        self.third = nn.Sequential(nn.Conv2d(32, 64, 3, groups=32), nn.Conv2d(64, 24, 1), nn.ReLU(), nn.BatchNorm2d(24))
        self.output = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10))

    def forward(self, x: Tensor) -> Any:
        return self.output(self.third(self.second(self.first(x))))


class Dilated(nn.Module):
    """No pooling: convolutions of stride 2, dilated ones, 1x1 ones that are padded; the mean of rows and columns."""

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Sequential(block(3, 12, padding=1), block(12, 16, padding=1), nn.Conv2d(16, 16, 3, stride=2, padding=1))
        self.c2 = nn.Sequential(block(16, 20, padding=2, dilation=2), nn.Conv2d(20, 12, 1, padding=1), block(12, 20, dilation=4))
        self.c3 = nn.Sequential(block(20, 20, stride=2), nn.Conv2d(20, 10, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(self.c3(self.c2(self.c1(x))).mean(dim=(2, 3)), dim=1)


class Channels(nn.Module):
    """Dropout of whole channels after the norm, at rates that differ from layer to layer; the largest value of each last map."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 10, 3), nn.ReLU(), nn.BatchNorm2d(10), nn.Dropout2d(0.02),
            nn.Conv2d(10, 14, 3), nn.ReLU(), nn.BatchNorm2d(14), nn.Dropout2d(0.05), nn.MaxPool2d(2, 2),
            nn.Conv2d(14, 16, 3), nn.ReLU(inplace=True), nn.BatchNorm2d(16), nn.Dropout2d(0.1), nn.MaxPool2d(2, 2),
            nn.Conv2d(16, 10, 1), nn.AdaptiveMaxPool2d((1, 1)),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(torch.flatten(self.body(x), 1), dim=1)


class GroupNormed(nn.Module):
    """The norm that an argument names: of batches, of groups of channels, or of all of them, which courses call a layer norm."""

    def __init__(self, norm: str = "GN") -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.ReLU(), self.norm(norm, 8), nn.Dropout(0.05))
        self.conv2 = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1, bias=False), self.norm(norm, 16), nn.ReLU(), nn.Dropout(0.05))
        self.pool = nn.MaxPool2d(2, 2)
        self.conv3 = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.ReLU(), self.norm(norm, 16))
        self.head = nn.Sequential(nn.AvgPool2d(kernel_size=16), nn.Conv2d(16, 10, 1, bias=False))

    @staticmethod
    def norm(kind: str, channels: int) -> nn.Module:
        if kind == "BN":
            return nn.BatchNorm2d(channels)
        return nn.GroupNorm(4 if kind == "GN" else 1, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.conv2(self.conv1(x)))
        return F.log_softmax(self.head(x + self.conv3(x)).view(-1, 10), dim=-1)


class LayerNormed(GroupNormed):
    """The same with one group."""

    def __init__(self) -> None:
        super().__init__("LN")


class MapNormed(nn.Module):
    """Norms over channels, rows and columns, with weights for each value of a map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 6, 3, bias=False), nn.LayerNorm([6, 26, 26])
        self.conv2, self.norm2 = nn.Conv2d(6, 8, 3, bias=False), nn.LayerNorm([8, 11, 11])
        self.drop, self.last = nn.Dropout(0.03), nn.Conv2d(8, 10, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.drop(F.relu(self.norm1(self.conv1(x)))), 2)
        x = F.relu(self.norm2(self.conv2(x)))
        x = F.adaptive_avg_pool2d(self.last(x), 1).squeeze(3).squeeze(2)
        return F.log_softmax(x, dim=1)


class Leftovers(nn.Module):
    """Pools that do not divide their maps, that are padded or overlap, and an average that leaves out a row and a column."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 4), nn.Conv2d(8, 12, 3, padding="same")
        self.conv3, self.conv4 = nn.Conv2d(12, 16, 2), nn.Conv2d(16, 10, 1)
        self.pool1, self.pool2 = nn.MaxPool2d(2, 2), nn.MaxPool2d(3, stride=2, padding=1)
        self.gap = nn.AvgPool2d(kernel_size=4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool2(F.relu(self.conv2(self.pool1(F.relu(self.conv1(x))))))
        x = self.gap(self.conv4(F.relu(self.conv3(x))))
        return F.log_softmax(x.view(-1, 10), dim=1)


class LeNet(nn.Module):
    """The LeNet of textbooks: 5x5 convolutions, average pooling, tanh, three linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, kernel_size=5, padding=2), nn.Tanh(), nn.AvgPool2d(2, 2),
            nn.Conv2d(6, 16, kernel_size=5), nn.Tanh(), nn.AvgPool2d(kernel_size=2, stride=2),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10))

    def forward(self, x: Tensor) -> Any:
        return self.classifier(self.features(x).view(-1, 16 * 5 * 5))


class Example(nn.Module):
    """The shape of torch's own example: convolutions, linear layers, dropout at several rates, also by a function."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 12, 3, 1), nn.Conv2d(12, 16, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.fc1, self.norm, self.fc2 = nn.Linear(2304, 24), nn.BatchNorm1d(24), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        x = torch.flatten(self.dropout1(F.max_pool2d(x, 2)), 1)
        x = F.dropout(F.relu(self.norm(self.fc1(x))), training=self.training)
        return F.log_softmax(self.fc2(x), dim=1)


class Unused(nn.Module):
    """Layers that forward does not use, left over from an earlier attempt."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = block(1, 8), block(8, 12, stride=2)
        self.conv9, self.fc = block(12, 32), nn.Linear(32, 10)
        self.last = nn.Conv2d(12, 10, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(self.conv2(self.conv1(x)))
        return F.log_softmax(F.adaptive_avg_pool2d(x, (1, 1)).view(x.shape[0], -1), dim=1)


NETWORKS: list[type[nn.Module]] = [
    Functional, Transitions, Loop, Undimensioned, Separable, Dilated, Channels, GroupNormed, LayerNormed, MapNormed, Leftovers,
    Residuals, LeNet, Example, Dense, Unused, Recycled,
]  # fmt: skip
FOREIGN: list[type[nn.Module]] = [Ghosts, Mirrored, Recurrent, SelfAttention, Transformed]
INPUT: dict[type[nn.Module], tuple[int, int, int]] = dict.fromkeys([*NETWORKS, *FOREIGN], (1, 28, 28)) | dict.fromkeys(
    [Separable, Dilated, GroupNormed, LayerNormed, Residuals], (3, 32, 32)
)
