"""Layers as values: frozen, validated when made, of the standard library alone.

A layer kind is a frozen dataclass in a file of this package, a member of `Layer` (of `Join`, if it has a second input), with

- its fields, checked in `__post_init__`;
- `output(shape)`, its shape after (a join's: `join(shape, source)`), SpecError where it does not fit;
- `parameters(shape)` and `macs(before, after)`, its trained numbers and multiplications, and
  `operation` and `window(shape)`, its name and sliding window: the row of every table is made of them.

Beside it a kind takes its public name (`stepladder/__init__.py`), its torch module (`engine/plain.py`), and what the native
engine makes of it (`engine/kernels.py`, which refuses what it has not met). All else goes by these: networks, receptive
fields, tables, pages, records and their reading back. A kind that chooses its channels or must agree with others about them is
also told to `climb/widths.py`, or no climb changes its width.
"""

from stepladder.spec.layers.activations import ELU, GELU, HardSwish, LeakyReLU, PReLU, ReLU, ReLU6, Sigmoid, SiLU, Tanh
from stepladder.spec.layers.convolution import Conv, Linear
from stepladder.spec.layers.dropout import Dropout, Dropout2d
from stepladder.spec.layers.joins import Branch, Concat, Excite, Multiply, Residual
from stepladder.spec.layers.norms import BatchNorm, GroupNorm, LayerNorm
from stepladder.spec.layers.pooling import AvgPool, BlurPool, Flatten, GlobalAvgPool, MaxPool
from stepladder.spec.layers.shape import Shape, written

__all__ = [
    "ELU", "GELU", "Activation", "AvgPool", "BatchNorm", "BlurPool", "Branch", "Concat", "Conv", "Convolution", "Dropout",
    "Dropout2d", "Excite", "Flatten", "Following", "GlobalAvgPool", "GroupNorm", "HardSwish", "Join", "Layer", "LayerNorm",
    "LeakyReLU", "Linear", "MaxPool", "Multiply", "Norm", "PReLU", "Pointwise", "Pooling", "ReLU", "ReLU6", "Residual", "Shape",
    "SiLU", "Sigmoid", "Tanh", "activated", "forks", "normed", "written",
]  # fmt: skip

Join = Residual | Branch | Concat | Multiply | Excite
"""Layers that have a second input: what entered an earlier layer."""

Convolution = Conv
"""Layers that may have a norm, and that dropout follows where they are activated."""

Pooling = MaxPool | AvgPool | BlurPool
"""Layers that belong to the convolution they follow: its dropout comes after them."""

Activation = ReLU | LeakyReLU | PReLU | ReLU6 | ELU | SiLU | HardSwish | GELU | Tanh | Sigmoid
"""Layers that make a convolution's output an activation."""

Norm = BatchNorm | GroupNorm | LayerNorm
"""Layers after which every number depends on the one in its place and on the mean and variance of others."""

Pointwise = Norm | Activation | Dropout | Dropout2d
"""Layers after which every number depends on the one in its place alone (and a norm on its statistics)."""

Following = Norm | Activation
"""Layers that belong to the convolution or pooling they follow, likewise."""

Layer = Conv | MaxPool | AvgPool | BlurPool | GlobalAvgPool | Flatten | Linear | Pointwise | Join


def normed(layer: Layer) -> bool:
    """Whether a layer has a batch norm, or is one."""
    return isinstance(layer, BatchNorm) or (isinstance(layer, Conv) and layer.norm == "batch")


def activated(layer: Layer) -> bool:
    """Whether a layer makes a convolution's output an activation."""
    return isinstance(layer, Activation) or (isinstance(layer, Conv) and layer.activation is not None)


def forks(layer: Layer) -> bool:
    """Whether a layer goes on from its second input alone."""
    return isinstance(layer, Branch)
