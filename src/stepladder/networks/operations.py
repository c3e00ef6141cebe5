"""What one call of a function of torch is in the layer language, if anything."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from stepladder.spec import Shape
from stepladder.spec.layers import (
    ELU,
    GELU,
    AvgPool,
    BatchNorm,
    Conv,
    Dropout,
    Dropout2d,
    GlobalAvgPool,
    GroupNorm,
    HardSwish,
    LayerNorm,
    LeakyReLU,
    Linear,
    MaxPool,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Tanh,
    written,
)


class Refused(Exception):
    """Why a module, or a call of it, cannot be written in the layer language."""


OneInput = (
    Conv | Linear | MaxPool | AvgPool | GlobalAvgPool | BatchNorm | GroupNorm | LayerNorm | Dropout | Dropout2d
    | ReLU | ReLU6 | LeakyReLU | PReLU | ELU | SiLU | HardSwish | GELU | Tanh | Sigmoid
)  # fmt: skip
Tensors = Sequence[Tensor | None]
Made = tuple[OneInput | None, Tensors]
"""A layer, None where nothing is done, and its tensors in the order of a state dict."""

ARGUMENTS: dict[str, tuple[str, ...]] = {  # in their order
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "linear": ("input", "weight", "bias"),
    "batch_norm": ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
    "instance_norm": ("input", "running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum", "eps"),
    "group_norm": ("input", "num_groups", "weight", "bias", "eps"),
    "layer_norm": ("input", "normalized_shape", "weight", "bias", "eps"),
    "max_pool2d": ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "avg_pool2d": ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
    **dict.fromkeys(("adaptive_avg_pool2d", "adaptive_max_pool2d"), ("input", "output_size")),
    **dict.fromkeys(("dropout", "dropout2d", "feature_dropout"), ("input", "p", "training")),
    "leaky_relu": ("input", "negative_slope"),
    "prelu": ("input", "weight"),
    "elu": ("input", "alpha"),
    "hardtanh": ("input", "min_val", "max_val"),
    **dict.fromkeys(("clamp", "clamp_min"), ("input", "min", "max")),
    "gelu": ("input", "approximate"),
}

PLAIN: dict[str, OneInput] = {
    "relu": ReLU(), "relu6": ReLU6(), "silu": SiLU(), "hardswish": HardSwish(), "tanh": Tanh(), "sigmoid": Sigmoid(),
}  # fmt: skip
"""Functions without arguments that count."""


def operation(name: str, given: dict[str, Any], before: Shape, after: Shape) -> Made:
    """The layer that a call is which has one input, of the shape `before`; raises Refused where there is none.

    `given` are its arguments by name; `training` among them is a pair, that of evaluation and that of training.
    """
    if name in PLAIN:
        return PLAIN[name], ()
    match name:
        case "conv2d":
            return _convolution(given, before)
        case "linear":
            weight, bias = _weight(given), given.get("bias")
            return Linear(weight.shape[0], bias is not None), (weight, *_present(bias))
        case "batch_norm":
            return _batch_norm(given)
        case "group_norm" | "layer_norm" | "instance_norm":
            return _image_norm(name, given, before)
        case "max_pool2d" | "avg_pool2d":
            return _pooling(name, given, before, after)
        case "adaptive_avg_pool2d" | "adaptive_max_pool2d":
            return _adaptive(name, before, after)
        case "dropout" | "dropout2d" | "feature_dropout":
            return _dropout(name, given, before)
        case _:
            return _activation(name, given, before)


def _convolution(given: dict[str, Any], before: Shape) -> Made:
    weight, bias = _weight(given), given.get("bias")
    kernel, stride = _square("kernel", weight.shape[2:]), _square("stride", given.get("stride", 1))
    dilation, padding = _square("dilation", given.get("dilation", 1)), given.get("padding", 0)
    if padding == "valid":
        padding = 0
    elif padding == "same":
        if dilation * (kernel - 1) % 2:
            raise Refused("it pads one side more than the other")
        padding = dilation * (kernel - 1) // 2
    conv = Conv(
        weight.shape[0], kernel, stride, _square("padding", padding), given.get("groups", 1), bias is not None, None, None, dilation
    )
    return conv, (weight, *_present(bias))


def _batch_norm(given: dict[str, Any]) -> Made:
    weight, bias, mean, variance = (given.get(name) for name in ("weight", "bias", "running_mean", "running_var"))
    if given["training"] != (False, True) or mean is None:
        raise Refused("it takes the batch's statistics in evaluation, or running ones in training")
    if weight is None or bias is None:
        raise Refused("it has no scale and shift, those of the layer language have")
    return BatchNorm(given.get("eps", 1e-5), given.get("momentum", 0.1)), (weight, bias, mean, variance)


def _image_norm(name: str, given: dict[str, Any], before: Shape) -> Made:
    weight, bias = given.get("weight"), given.get("bias")
    if weight is None or bias is None:
        raise Refused("it has no scale and shift, those of the layer language have")
    if name == "instance_norm":
        if given.get("running_mean") is not None:
            raise Refused("it keeps running statistics")
        return GroupNorm(before[0], given.get("eps", 1e-5)), (weight, bias)
    if name == "group_norm":
        return GroupNorm(given["num_groups"], given.get("eps", 1e-5)), (weight, bias)
    if (sizes := tuple(given["normalized_shape"])) != before:
        raise Refused(f"it norms over {written(sizes)} of {written(before)}, the layer language over all of an image")
    return LayerNorm(given.get("eps", 1e-5)), (weight, bias)


def _pooling(name: str, given: dict[str, Any], before: Shape, after: Shape) -> Made:
    if name == "avg_pool2d" and _pair(given["kernel_size"]) == before[1:] and after[1:] == (1, 1):
        return _whole(before), ()
    kernel = _square("kernel", given["kernel_size"])
    stride, padding = _square("stride", given.get("stride") or kernel), _square("padding", given.get("padding", 0))
    if _square("dilation", given.get("dilation", 1)) != 1:
        raise Refused("its windows are dilated")
    if name == "avg_pool2d" and (given.get("divisor_override") or (padding and not given.get("count_include_pad", True))):
        raise Refused("its means are not those of whole windows, zeros of the border included")
    kept = None if stride == kernel else stride
    layer: MaxPool | AvgPool = (MaxPool if name == "max_pool2d" else AvgPool)(kernel, kept, padding)
    if layer.output(before) != after:
        raise Refused("it rounds the number of windows up (ceil_mode)")
    return (None if kernel == stride == 1 and not padding else layer), ()


def _adaptive(name: str, before: Shape, after: Shape) -> Made:
    if before == after:
        return None, ()
    if name == "adaptive_avg_pool2d" and after[1:] == (1, 1):
        return _whole(before), ()
    sides = {(before[axis], after[axis]) for axis in (1, 2)}
    if len(sides) > 1 or before[1] % after[1]:
        raise Refused(f"it pools {written(before[1:])} to {written(after[1:])}, whose windows are not all alike squares")
    return (AvgPool if name == "adaptive_avg_pool2d" else MaxPool)(before[1] // after[1]), ()


def _whole(before: Shape) -> OneInput:
    """The mean of each channel; of a square map so that it stays one, of 1 x 1."""
    return AvgPool(before[1]) if before[1] == before[2] else GlobalAvgPool()


def _dropout(name: str, given: dict[str, Any], before: Shape) -> Made:
    share, training = given.get("p", 0.5), given["training"]
    if not share or training == (False, False):
        return None, ()
    if training != (False, True):
        raise Refused("it drops activations in evaluation as well")
    return (Dropout if name == "dropout" or len(before) == 1 else Dropout2d)(share), ()


def _activation(name: str, given: dict[str, Any], before: Shape) -> Made:
    low, high = given.get("min_val", -1.0), given.get("max_val", 1.0)
    match name:
        case "hardtanh" if (low, high) == (0, 6):
            return ReLU6(), ()
        case "clamp" if (given.get("min"), given.get("max")) == (0, 6):
            return ReLU6(), ()
        case "clamp" | "clamp_min" if given.get("max") is None and given.get("min") == 0:
            return ReLU(), ()
        case "leaky_relu":
            return LeakyReLU(given.get("negative_slope", 0.01)), ()
        case "elu":
            return ELU(given.get("alpha", 1.0)), ()
        case "gelu" if given.get("approximate", "none") == "none":
            return GELU(), ()
        case "prelu":
            weight = _weight(given)
            return PReLU(per_channel=weight.numel() > 1), (weight,)
    raise Refused("it has no equal in the layer language")


def _weight(given: dict[str, Any]) -> Tensor:
    """The weight, which is a tensor of the module's own; what was computed is none."""
    weight = given.get("weight")
    if not isinstance(weight, Tensor):
        raise Refused("its weight is computed, the layer language has trained ones")
    return weight


def _present(tensor: Any) -> Tensors:
    return () if tensor is None else (tensor,)


def _pair(value: Any) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, tuple | list) else (value,)
    return values * 2 if len(values) == 1 else values


def _square(what: str, value: Any) -> int:
    """One number for both axes."""
    height, width = _pair(value)
    if height != width:
        raise Refused(f"its {what} is {height} x {width}, those of the layer language are square")
    return int(height)
