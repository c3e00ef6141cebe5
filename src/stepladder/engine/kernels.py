"""A network as the kernels of the native engine (native/), and what that engine cannot do: all without torch.

A layer kind that is not met here is refused: it is never taken for another.
"""

from math import prod
from typing import NamedTuple

from stepladder.spec import Join, Layer, Network, Shape, UserError
from stepladder.spec.layers import (
    ELU,
    GELU,
    AvgPool,
    BatchNorm,
    BlurPool,
    Branch,
    Concat,
    Conv,
    Dropout,
    Dropout2d,
    Excite,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    HardSwish,
    LayerNorm,
    LeakyReLU,
    Linear,
    MaxPool,
    Multiply,
    PReLU,
    ReLU,
    ReLU6,
    Residual,
    Sigmoid,
    SiLU,
    Tanh,
)

Sizes = tuple[int, int, int]

Afterwards = BatchNorm | ReLU | Dropout | Dropout2d
"""Layers that are done to the output of the kernel before them."""

JOINS = ("add", "branch", "concatenate", "multiply", "scale")
"""Operations of two inputs."""


class Kernel(NamedTuple):
    """One layer of the native engine: the operation, its input and output (channels, height, width), its window (kernel,
    stride, padding, dilation) and groups of channels (of a convolution, of a norm of groups); the module that holds its
    `weights` (by kind, as in engine/plain.py), whether it has a `norm`; the share of its output that is dropped; and of a join
    the number of the kernel whose input is joined.

    Then, of a norm, epsilon and momentum; of dropout, whether whole channels are dropped; the parameter of a function; how
    many slopes a function, or scales a norm of groups, trains."""

    operation: str
    input: Sizes
    output: Sizes
    window: tuple[int, int, int, int] = (0, 0, 0, 1)
    groups: int = 1
    bias: bool = False
    norm: bool = False
    relu: bool = False
    dropout: float = 0.0
    source: int = 0
    weights: str | None = None
    epsilon: float = 1e-5
    momentum: float = 0.1
    drops_channels: bool = False
    parameter: float = 0.0
    scales: int = 0


def lower(network: Network, dropout: float = 0.0) -> list[Kernel]:
    """The kernels of a network; raises UserError for a layer that the native engine cannot do."""
    found: list[Kernel] = []
    shapes = network.shapes()
    sources = {number - layer.layers for number, layer in enumerate(network.layers) if isinstance(layer, Join)}
    entered: list[int] = []  # for each layer of the network, the kernel that takes the same input
    for number, (layer, before, after) in enumerate(zip(network.layers, shapes, shapes[1:], strict=False)):
        if known := _limits(layer):
            raise UserError(f'layer {number + 1}, {layer}: the native engine knows {known}; engine="torch" can train it')
        joined = number in sources or len(found) in {entered[source] for source in sources if source < number}
        follows = bool(found) and found[-1].output == _sizes(before) and not joined
        if isinstance(layer, Afterwards):
            # Done to the output of the kernel before, where that is what it does next: norm, ReLU, dropout, in this order.
            if not (follows and _takes(found[-1], layer)):
                found.append(_nothing(before))
            found[-1] = _with(found[-1], layer)
            entered.append(len(found) - 1)
        else:
            entered.append(len(found))
            if kernel := _kernel(layer, before, after):
                source = entered[number - layer.layers] if isinstance(layer, Join) else 0
                found.append(kernel._replace(source=source))
        if dropout and network.drops_after(number):
            if found[-1].dropout:
                found.append(_nothing(after))
            found[-1] = found[-1]._replace(dropout=dropout)
    return found or [_nothing(shapes[-1])]  # nothing but Flatten


def _nothing(shape: Shape) -> Kernel:
    """An average over one pixel, which does nothing."""
    return Kernel("average_pool", _sizes(shape), _sizes(shape), (1, 1, 0, 1))


def _takes(kernel: Kernel, layer: Afterwards) -> bool:
    """Whether a kernel can do this to its output, beside what it does already. (Joins have no norm, and one of groups
    has an epsilon of its own.)"""
    match layer:
        case BatchNorm():
            joins_or_groups = kernel.operation in (*JOINS, "group_norm")
            return not (kernel.norm or kernel.relu or kernel.dropout or joins_or_groups)
        case ReLU():
            return not kernel.dropout
        case Dropout() | Dropout2d():
            return not kernel.dropout


def _with(kernel: Kernel, layer: Afterwards) -> Kernel:
    match layer:
        case BatchNorm():
            return kernel._replace(norm=True, epsilon=layer.epsilon, momentum=layer.momentum)
        case ReLU():
            return kernel._replace(relu=True)
        case Dropout():
            return kernel._replace(dropout=layer.share)
        case Dropout2d():
            return kernel._replace(dropout=layer.share, drops_channels=layer.share > 0)


def _limits(layer: Layer) -> str:
    """What the native engine knows where it does not know the layer; empty where it does."""
    match layer:
        case Conv():
            known = layer.norm in ("batch", None) and layer.activation in ("relu", None)
            return "" if known else "batch norm and no norm, ReLU and no activation"
        case Linear() | Residual():
            return "" if layer.activation in ("relu", None) else "ReLU and no activation"
        case MaxPool() | AvgPool() | BlurPool() | GlobalAvgPool() | Flatten():
            return ""
        case Branch() | Concat() | Multiply() | Excite():
            return ""
        case BatchNorm() | GroupNorm() | LayerNorm() | Dropout() | Dropout2d():
            return ""
        case ReLU() | LeakyReLU() | PReLU() | ReLU6() | ELU() | SiLU() | HardSwish() | GELU() | Tanh() | Sigmoid():
            return ""
    return "other kinds of layers"


def _kernel(layer: Layer, before: Shape, after: Shape) -> Kernel | None:
    """A layer's kernel, without its dropout and source; None where nothing is done."""
    into, out = _sizes(before), _sizes(after)
    match layer:
        case Conv():
            return Kernel(
                "convolution", into, out, (layer.kernel, layer.stride, layer.padding, layer.dilation), layer.groups, layer.bias,
                layer.norm == "batch", layer.activation == "relu", weights="conv",
            )  # fmt: skip
        case BlurPool():
            window = (layer.kernel, layer.stride, layer.padding, 1)
            return Kernel("fixed_convolution", into, out, window, before[0], weights="blur")
        case Linear():
            flat, relu = (prod(before), 1, 1), layer.activation == "relu"
            return Kernel("convolution", flat, out, (1, 1, 0, 1), bias=layer.bias, relu=relu, weights="linear")
        case MaxPool() | AvgPool():
            window = (layer.kernel, layer.step, layer.padding, 1)
            return Kernel("max_pool" if isinstance(layer, MaxPool) else "average_pool", into, out, window)
        case GlobalAvgPool():
            return Kernel("average_pool", into, out)  # one window: all
        case Residual():
            return Kernel("add", into, out, relu=layer.activation == "relu")
        case Branch():
            return Kernel("branch", into, out)
        case Concat():
            return Kernel("concatenate", into, out)
        case Multiply():
            return Kernel("multiply", into, out)
        case Excite():
            return Kernel("scale", into, out)
        case GroupNorm():
            return Kernel(
                "group_norm", into, out, (1, 1, 0, 1), weights="norm", epsilon=layer.epsilon, groups=layer.groups, scales=before[0]
            )
        case LayerNorm():
            return Kernel("group_norm", into, out, (1, 1, 0, 1), weights="norm", epsilon=layer.epsilon, scales=prod(before))
        case Flatten() | BatchNorm() | ReLU() | Dropout() | Dropout2d():
            return None  # the memory of an image is flat already; the others are done to an output (see `lower`)
        case _:
            return _function(layer, before)


def _function(layer: Layer, before: Shape) -> Kernel | None:
    """The kernel of an activation that is no ReLU."""
    kernel = Kernel("", _sizes(before), _sizes(before), (1, 1, 0, 1))
    match layer:
        case LeakyReLU():
            return kernel._replace(operation="leaky_relu", parameter=layer.slope)
        case PReLU():
            return kernel._replace(operation="prelu", weights="prelu", scales=before[0] if layer.per_channel else 1)
        case ReLU6():
            return kernel._replace(operation="relu6")
        case ELU():
            return kernel._replace(operation="elu", parameter=layer.alpha)
        case SiLU():
            return kernel._replace(operation="silu")
        case HardSwish():
            return kernel._replace(operation="hard_swish")
        case GELU():
            return kernel._replace(operation="gelu")
        case Tanh():
            return kernel._replace(operation="tanh")
        case Sigmoid():
            return kernel._replace(operation="sigmoid")
    return None


def _sizes(shape: Shape) -> Sizes:
    channels, height, width = (*shape, 1, 1)[:3]
    return channels, height, width
