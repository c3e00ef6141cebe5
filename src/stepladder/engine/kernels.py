"""A network as the kernels of the native engine (native/), and what that engine cannot do: all without torch.

A layer kind that is not met here is refused: it is never taken for another.
"""

from math import prod
from typing import NamedTuple

from stepladder.spec import Join, Layer, Network, Shape, UserError
from stepladder.spec.layers import (
    AvgPool,
    BlurPool,
    Conv,
    Excite,
    Flatten,
    GlobalAvgPool,
    Linear,
    MaxPool,
    Residual,
)

Sizes = tuple[int, int, int]


class Kernel(NamedTuple):
    """One layer of the native engine: the operation, its input and output (channels, height, width), its window (kernel,
    stride, padding); the module that holds its `weights` (by kind, as in engine/plain.py), whether it has a `norm`; the share
    of its output that is dropped; and of a join the number of the kernel whose input is joined."""

    operation: str
    input: Sizes
    output: Sizes
    window: Sizes = (0, 0, 0)
    depthwise: bool = False
    bias: bool = False
    norm: bool = False
    relu: bool = False
    dropout: float = 0.0
    source: int = 0
    weights: str | None = None


def lower(network: Network, dropout: float = 0.0) -> list[Kernel]:
    """The kernels of a network; raises UserError for a layer that the native engine cannot do."""
    found: list[Kernel] = []
    shapes = network.shapes()
    entered = []  # for each layer of the network, the kernel that takes the same input
    for number, (layer, before, after) in enumerate(zip(network.layers, shapes, shapes[1:], strict=False)):
        entered.append(len(found))
        if known := _limits(layer, before):
            raise UserError(f'layer {number + 1}, {layer}: the native engine knows {known}; engine="torch" can train it')
        kernel = _kernel(layer, before, after)
        if kernel and isinstance(layer, Join):
            kernel = kernel._replace(source=entered[number - layer.layers])
        if kernel:
            found.append(kernel._replace(dropout=dropout if network.drops_after(number) else 0.0))
    if not found:  # nothing but Flatten: an average over one pixel, which does nothing
        found.append(Kernel("average_pool", _sizes(shapes[-1]), _sizes(shapes[-1]), (1, 1, 0)))
    return found


def _limits(layer: Layer, before: Shape) -> str:
    """What the native engine knows where it does not know the layer; empty where it does."""
    match layer:
        case Conv():
            return _conv_limits(layer, before[0])
        case BlurPool():
            return "" if layer.stride <= 2 else "strides of 1 and 2"
        case MaxPool() | AvgPool():
            padded = isinstance(layer, MaxPool) and layer.padding > 0
            return "pooling whose windows do not overlap and are not padded" if layer.step != layer.kernel or padded else ""
        case Linear() | Residual():
            return "" if layer.activation in ("relu", None) else "ReLU and no activation"
        case GlobalAvgPool() | Excite() | Flatten():
            return ""
    return "other kinds of layers"


def _conv_limits(layer: Conv, in_channels: int) -> str:
    if layer.kernel % 2 == 0:
        return "odd kernels"
    if layer.stride > 2:
        return "strides of 1 and 2"
    if layer.padding > layer.kernel // 2:
        return f"padding up to half the kernel ({layer.kernel // 2})"
    if layer.groups > 1 and not layer.groups == in_channels == layer.channels:
        return f"1 group, or as many as input and output channels (depthwise; {in_channels} come in)"
    if layer.norm not in ("batch", None) or layer.activation not in ("relu", None):
        return "batch norm and no norm, ReLU and no activation"
    return ""


def _kernel(layer: Layer, before: Shape, after: Shape) -> Kernel | None:
    """A layer's kernel, without its dropout and source; None where nothing is done."""
    into, out = _sizes(before), _sizes(after)
    match layer:
        case Conv():
            return Kernel(
                "convolution", into, out, (layer.kernel, layer.stride, layer.padding), 1 < layer.groups == before[0],
                layer.bias, layer.norm == "batch", layer.activation == "relu", weights="conv",
            )  # fmt: skip
        case BlurPool():
            return Kernel("fixed_convolution", into, out, (layer.kernel, layer.stride, layer.padding), True, weights="blur")
        case Linear():
            flat, relu = (prod(before), 1, 1), layer.activation == "relu"
            return Kernel("convolution", flat, out, (1, 1, 0), bias=layer.bias, relu=relu, weights="linear")
        case MaxPool() | AvgPool():
            return Kernel("max_pool" if isinstance(layer, MaxPool) else "average_pool", into, out, (layer.kernel, layer.kernel, 0))
        case GlobalAvgPool():
            return Kernel("average_pool", into, out)  # one window: all
        case Residual():
            return Kernel("add", into, out, relu=layer.activation == "relu")
        case Excite():
            return Kernel("scale", into, out)
        case Flatten():
            return None  # the memory of an image is flat already


def _sizes(shape: Shape) -> Sizes:
    channels, height, width = (*shape, 1, 1)[:3]
    return channels, height, width
