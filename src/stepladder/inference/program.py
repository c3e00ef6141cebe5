"""A network as a program for inference, torch-free values: read from its layers, and from its weights or without them."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from stepladder.inference.folding import folded
from stepladder.inference.operation import IMAGE, Array, Floats, Operation, Program
from stepladder.inference.reference import run
from stepladder.spec import Join, Layer, Network, Shape, UserError
from stepladder.spec.layers import (
    ELU,
    GELU,
    Activation,
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

__all__ = ["IMAGE", "Floats", "Operation", "Program", "planned", "program", "run", "tensors"]

EPSILON = 1e-5
"""What torch adds to the variance where a convolution has its own norm."""

RUNNING = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
"""The tensors of a batch norm, in torch's order."""

FUNCTIONS: dict[type, str] = {
    ReLU: "relu", LeakyReLU: "leaky_relu", PReLU: "prelu", ReLU6: "relu6", ELU: "elu", SiLU: "silu", HardSwish: "hard_swish",
    GELU: "gelu", Tanh: "tanh", Sigmoid: "sigmoid",
}  # fmt: skip


def program(
    network: Network, state: Mapping[str, Array], classes: Sequence[str], mean: Sequence[float], std: Sequence[float]
) -> Program:
    """The program of a network and its tensors, by their names in its plain module (engine/plain.py).

    Batch norms are folded where they can be; branches and dropout are gone. Raises UserError for a layer that no operation is
    known for.
    """
    found, end = _read(network, {name: np.ascontiguousarray(array) for name, array in state.items()})
    return Program(folded(found, end), network.input, tuple(classes), tuple(mean), tuple(std))


def planned(network: Network) -> Program:
    """The program of a network that is not trained: its weights have their shapes, and no values."""
    zero, shapes, names = np.float32(0), network.shapes(), iter(_names(network.layers))
    state: dict[str, Array] = {}
    for layer, before, after in zip(network.layers, shapes, shapes[1:], strict=False):
        if isinstance(layer, Branch):
            continue
        for name in next(names):
            state[name] = np.broadcast_to(zero, _weight(layer, before) if name.endswith(".weight") else after[:1])
        for name in next(names) if _has_norm(layer) else ():
            state[name] = np.broadcast_to(zero, after[:1])
    found, end = _read(network, state)
    classes, levels = tuple(map(str, range(network.classes))), network.input[0]
    return Program(folded(found, end, values=False), network.input, classes, (0.0,) * levels, (1.0,) * levels)


def _weight(layer: Layer, before: Shape) -> Shape:
    """The shape of a layer's own weight."""
    match layer:
        case Conv():
            return layer.channels, before[0] // layer.groups, layer.kernel, layer.kernel
        case Linear():
            return layer.features, before[0]
        case PReLU():
            return before[:1] if layer.per_channel else (1,)
        case LayerNorm():
            return before
    return before[:1]


def _read(network: Network, state: Mapping[str, Array]) -> tuple[list[Operation], int]:
    """The operations of a network, and which of them makes the scores."""
    operations, entered = list[Operation](), [IMAGE]  # what entered each layer
    shapes, names = network.shapes(), iter(_names(network.layers))
    for number, layer in enumerate(network.layers):
        source = (entered[number - layer.layers],) if isinstance(layer, Join) else ()
        if isinstance(layer, Branch):
            entered.append(*source)
            continue
        own = {name.partition(".")[2]: np.asarray(state[name]) for name in next(names)}
        norm = {name.partition(".")[2]: np.asarray(state[name]) for name in (next(names) if _has_norm(layer) else ())}
        last = entered[-1]
        for operation in _operations(layer, shapes[number], shapes[number + 1], own, norm):
            operations.append(operation._replace(inputs=(*source, last)))
            source, last = (), len(operations) - 1
        entered.append(last)
    if entered[-1] == IMAGE:
        ones = np.ones(network.classes, np.float32)
        entered.append(len(operations))
        operations.append(Operation("affine", (IMAGE,), (network.classes,), (network.classes,), ones, 0 * ones))
    return operations, entered[-1]


def tensors(network: Network) -> list[str]:
    """The names in the state dict of a network's plain module, in its order."""
    return [name for names in _names(network.layers) for name in names]


def _has_norm(layer: Layer) -> bool:
    return isinstance(layer, Conv) and layer.norm == "batch"


def _names(layers: Sequence[Layer]) -> Iterator[list[str]]:
    """The names of each layer's own tensors, then of its norm's where it has one; nothing for a branch."""
    count = dict.fromkeys(("conv", "norm", "linear", "prelu"), 0)

    def named(kind: str, *of: str) -> list[str]:
        count[kind] += 1
        return [f"{kind}{count[kind]}.{name}" for name in of]

    for layer in layers:
        match layer:
            case Conv():
                yield named("conv", "weight", *["bias"] * layer.bias)
                if layer.norm:
                    yield named("norm", *RUNNING)
            case Linear():
                yield named("linear", "weight", *["bias"] * layer.bias)
            case BatchNorm():
                yield named("norm", *RUNNING)
            case GroupNorm() | LayerNorm():
                yield named("norm", "weight", "bias")
            case PReLU():
                yield named("prelu", "weight")
            case Branch():
                pass
            case _:
                yield []


def _operations(
    layer: Layer, before: Shape, after: Shape, own: Mapping[str, Array], norm: Mapping[str, Array]
) -> Iterator[Operation]:
    """What a layer is made of, in order; each takes the one before it, the first what the layer takes."""
    if getattr(layer, "norm", None) not in ("batch", None) or getattr(layer, "activation", None) not in ("relu", None):
        raise UserError(f"{layer}: its norm or activation cannot be exported")
    window = layer.window(before)
    match layer:
        case Conv() | Linear():
            kind = "conv" if isinstance(layer, Conv) else "linear"
            bias = own["bias"] if layer.bias else np.zeros(after[0])
            yield _operation(kind, before, after, own["weight"], bias, window=window, groups=getattr(layer, "groups", 1))
        case BlurPool():
            weight = np.broadcast_to(np.outer(layer.weights, layer.weights), (before[0], 1, layer.kernel, layer.kernel))
            yield _operation(
                "conv", before, after, np.ascontiguousarray(weight), np.zeros(before[0]), window=window, groups=before[0]
            )
        case MaxPool() | AvgPool():
            yield _operation("max_pool" if isinstance(layer, MaxPool) else "avg_pool", before, after, window=window)
        case GlobalAvgPool():
            yield _operation("mean", before, after)
        case BatchNorm():
            yield _affine(after, own, layer.epsilon)
        case GroupNorm() | LayerNorm():
            groups = layer.groups if isinstance(layer, GroupNorm) else 1
            yield _operation("group_norm", before, after, own["weight"], own["bias"], groups=groups, parameter=layer.epsilon)
        case Residual() | Multiply() | Excite() | Concat():
            kinds = {Residual: "add", Multiply: "multiply", Excite: "scale", Concat: "concat"}
            yield _operation(kinds[type(layer)], before, after)
        case Flatten() | Dropout() | Dropout2d():
            pass
        case _ if isinstance(layer, Activation):
            parameter = getattr(layer, "slope", getattr(layer, "alpha", 0.0))
            yield _operation("function", before, after, own.get("weight"), function=FUNCTIONS[type(layer)], parameter=parameter)
        case _:
            raise UserError(f"{layer}: it cannot be exported")
    if norm:
        yield _affine(after, norm, EPSILON)
    if getattr(layer, "activation", None) == "relu":
        yield _operation("function", after, after, function="relu")


def _affine(shape: Shape, of: Mapping[str, Array], epsilon: float) -> Operation:
    """A batch norm with its running statistics."""
    weight, bias, mean, variance = (of[name].astype(np.float64) for name in RUNNING[:4])
    scale = weight / np.sqrt(variance + epsilon)
    return _operation("affine", shape, shape, scale, bias - mean * scale)


def _operation(
    kind: str, before: Shape, after: Shape, weight: Array | None = None, bias: Array | None = None, **more: object
) -> Operation:
    """One without inputs yet, its arrays float32."""
    weight, bias = (None if array is None else np.asarray(array, np.float32) for array in (weight, bias))
    return Operation(kind, (), before, after, weight, bias, **more)  # type: ignore[arg-type]
