"""Small modules that tests trace."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class Model(nn.Module):
    """A module of named parts, whose forward is a function of itself and the images."""

    def __init__(self, steps: Callable[[Any, Any], Any], **parts: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.steps = steps
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Any:
        return self.steps(self, x)


def conv(channels: int, width: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the size."""
    return nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
