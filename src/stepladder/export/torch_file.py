"""A program as a module of plain PyTorch, with its weights as safetensors: neither needs Stepladder."""

import importlib.util
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from stepladder.export.options import Options
from stepladder.inference.operation import IMAGE, Floats, Operation, Program, taken
from stepladder.spec import Shape, UserError
from stepladder.spec.window import Window

FUNCTIONS = {
    "relu": "F.relu({})", "leaky_relu": "F.leaky_relu({}, {parameter})", "prelu": "F.prelu({}, self.{name}_slopes)",
    "relu6": "F.relu6({})", "elu": "F.elu({}, {parameter})", "silu": "F.silu({})", "hard_swish": "F.hardswish({})",
    "gelu": "F.gelu({})", "tanh": "torch.tanh({})", "sigmoid": "torch.sigmoid({})",
}  # fmt: skip

SOURCE = '''"""{what}

Plain PyTorch, with the weights in {name}.safetensors beside it; batch norms are folded into the weights.

    import {name}
    model = {name}.load()
    labels = {name}.predict(model, images)  # uint8 (n, {input})
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = {classes!r}
MEAN = {mean!r}
STD = {std!r}
"""Of each channel, as fractions of 255."""


class {kind}(nn.Module):
    """From normalised images (n, {input}) to class scores (n, {count})."""

    def __init__(self) -> None:
        super().__init__()
{layers}

    def forward(self, x: Tensor) -> Tensor:
{forward}


def load(path: str | Path = Path(__file__).with_suffix(".safetensors")) -> {kind}:
    """The network with its weights, ready to answer."""
    model = {kind}()
    model.load_state_dict(load_file(path))
    return model.eval()


def normalised(images: Tensor) -> Tensor:
    """Levels (n, {input}), uint8, a tensor or what becomes one, as the network takes them."""
    levels = torch.as_tensor(images).float()
    mean, std = (torch.tensor(each, device=levels.device)[:, None, None] for each in (MEAN, STD))
    return (levels / 255 - mean) / std


@torch.inference_mode()
def predict(model: {kind}, images: Tensor) -> Tensor:
    """The label of each image (n, {input}), uint8, an index of CLASSES."""
    return model(normalised(images)).argmax(1)
'''


def check(program: Program, options: Options) -> None:
    """Raise UserError for what it cannot be."""
    if options.int8:
        raise UserError("an export to torch has float weights; --int8 (int8=True) is for onnx, c and html")


def write(program: Program, folder: Path, options: Options) -> list[Path]:
    """Write NAME.py and NAME.safetensors."""
    source, tensors = folder / f"{options.name}.py", folder / f"{options.name}.safetensors"
    source.write_text(module(program, options), encoding="utf-8")
    tensors.write_bytes(save(_tensors(program)))
    return [source, tensors]


def answers(folder: Path, program: Program, options: Options, images: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], str]:
    """What NAME.py answers."""
    spec = importlib.util.spec_from_file_location(options.name, folder / f"{options.name}.py")
    assert spec
    assert spec.loader
    written = importlib.util.module_from_spec(spec)
    code = (folder / f"{options.name}.py").read_text(encoding="utf-8")
    exec(compile(code, str(spec.origin), "exec"), written.__dict__)  # (Its loader would leave bytecode in the folder.)
    model = written.load()
    labels = [written.predict(model, part) for part in torch.from_numpy(np.ascontiguousarray(images)).split(1_000)]
    found: NDArray[np.uint8] = torch.cat(labels).numpy().astype(np.uint8)
    return found, f"torch {torch.__version__}"


def module(program: Program, options: Options) -> str:
    """The source of NAME.py."""
    names = _names(program)
    layers = [line for operation, name in zip(program.operations, names, strict=True) for line in _layer(operation, name)]
    forward, shapes = list[str](), dict[int, Shape]({IMAGE: program.input})
    variables = {IMAGE: "x"} | dict(enumerate(names))
    for number, operation in enumerate(program.operations):
        inputs = [
            _shaped(variables[each], shapes[each], expected)
            for each, expected in zip(operation.inputs, taken(operation), strict=True)
        ]
        forward.append(f"{names[number]} = {_function(operation, _value(operation, names[number], inputs), names[number])}")
        shapes[number] = operation.shape
    last = len(names) - 1
    forward.append(f"return {_shaped(names[last], shapes[last], (len(program.classes),))}")
    indent = "\n        "
    what = options.what.replace("\\", "\\\\").replace('"', '\\"')  # within a docstring
    return SOURCE.format(
        what=what, name=options.name, classes=list(program.classes), mean=list(program.mean), std=list(program.std),
        kind="".join(part.capitalize() for part in options.name.split("_")), input=", ".join(map(str, program.input)),
        count=len(program.classes), layers=" " * 8 + (indent.join(layers) or "pass"), forward=" " * 8 + indent.join(forward),
    )  # fmt: skip


def _names(program: Program) -> list[str]:
    """A name for each operation: its kind and number among those of its kind."""
    count, names = dict[str, int](), list[str]()
    for operation in program.operations:
        kind = operation.function if operation.kind == "function" and operation.function else operation.kind
        count[kind] = count.get(kind, 0) + 1
        names.append(f"{kind}{'_' if kind[-1].isdecimal() else ''}{count[kind]}")
    return names


def _layer(operation: Operation, name: str) -> list[str]:
    """The lines of the constructor for an operation with weights, or a window."""
    before, after = operation.before, operation.shape
    match operation.kind:
        case "conv":
            groups = f", groups={operation.groups}" if operation.groups > 1 else ""
            return [f"self.{name} = nn.Conv2d({before[0]}, {after[0]}, {_window(operation.window)}{groups})"]
        case "linear":
            return [f"self.{name} = nn.Linear({before[0]}, {after[0]})"]
        case "max_pool" | "avg_pool":
            kind = "MaxPool2d" if operation.kind == "max_pool" else "AvgPool2d"
            return [f"self.{name} = nn.{kind}({_window(operation.window, pools=True)})"]
    return [f"self.{found} = nn.Parameter(torch.empty{_shape(array)})" for found, array in _own(operation, name).items()]


def _shape(array: Floats) -> str:
    return repr(tuple(array.shape))


def _window(window: Window | None, pools: bool = False) -> str:
    """The arguments of a module that slides; of a pooling the usual stride is the kernel's size."""
    assert window
    usual = {"stride": window.kernel if pools else (1, 1), "padding": (0, 0), "dilation": (1, 1)}
    others = [f"{name}={_pair(getattr(window, name))}" for name, side in usual.items() if getattr(window, name) != side]
    return ", ".join([_pair(window.kernel), *others])


def _pair(sides: tuple[int, int]) -> str:
    return str(sides[0]) if sides[0] == sides[1] else str(sides)


def _own(operation: Operation, name: str) -> dict[str, Floats]:
    """The arrays that an operation has as parameters of the module itself, as they are spread over its input."""
    if operation.kind == "function":
        return {} if operation.weight is None else {f"{name}_slopes": operation.weight}
    found = {}
    for kind, array in (("weight", operation.weight), ("bias", operation.bias)):
        if array is not None:
            each = array.shape != operation.before
            found[f"{name}_{kind}"] = array.reshape(-1, *[1] * (len(operation.before) - 1)) if each else array
    return found


def _tensors(program: Program) -> dict[str, Floats]:
    """The state dict."""
    found = dict[str, Floats]()
    for operation, name in zip(program.operations, _names(program), strict=True):
        if operation.kind in ("conv", "linear"):
            assert operation.weight is not None
            assert operation.bias is not None
            found |= {f"{name}.weight": operation.weight, f"{name}.bias": operation.bias}
        else:
            found |= _own(operation, name)
    return found


def _shaped(value: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> str:
    if shape == expected:
        return value
    return f"{value}.flatten(1)" if len(expected) == 1 else f"{value}.reshape(-1, {', '.join(map(str, expected))})"


def _value(operation: Operation, name: str, inputs: list[str]) -> str:
    """An operation as an expression."""
    source, x = inputs[0], inputs[-1]
    match operation.kind:
        case "conv" | "linear" | "max_pool" | "avg_pool":
            return f"self.{name}({x})"
        case "mean":
            return f"{x}.mean((2, 3))"
        case "add":
            return f"{source} + {x}"
        case "multiply" | "scale":
            gate = f"{x}.sigmoid()" if operation.kind == "scale" else x
            one = operation.before != operation.shape  # a number a channel
            return f"{source} * {gate}{f'.reshape(-1, {operation.shape[0]}, 1, 1)' if one else ''}"
        case "concat":
            return f"torch.cat([{source}, {x}], 1)"
        case "affine":
            return f"{x} * self.{name}_weight + self.{name}_bias"
        case "group_norm":
            normed = f"F.group_norm({x}, {operation.groups}, eps={operation.parameter!r})"
            return f"{normed} * self.{name}_weight + self.{name}_bias"
        case "function":
            return x
    raise UserError(f"an operation {operation.kind!r} cannot be written for torch")


def _function(operation: Operation, value: str, name: str) -> str:
    if operation.function is None:
        return value
    if operation.function not in FUNCTIONS:
        raise UserError(f"the function {operation.function!r} cannot be written for torch")
    return FUNCTIONS[operation.function].format(value, parameter=repr(operation.parameter), name=name)
