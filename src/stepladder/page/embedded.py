"""A trained network as what a page's script computes it from."""

from base64 import b64decode, b64encode
from typing import Any

import numpy as np

from stepladder.inference.operation import Floats, Operation, Program
from stepladder.spec import Shape
from stepladder.spec.window import Window


def written(program: Program, *, int8: bool) -> dict[str, Any]:
    """A program as JSON-ready data. With `int8` weights are whole numbers of eight bits, with a scale for each channel."""
    return {
        "operations": [_operation(operation, int8) for operation in program.operations],
        "input": program.input,
        "classes": program.classes,
        "mean": [float(each) for each in program.mean],
        "std": [float(each) for each in program.std],
    }


def read(data: dict[str, Any]) -> Program:
    """The program of what `written` made, as the page computes it."""
    operations = tuple(_read_operation(operation) for operation in data["operations"])
    return Program(operations, data["input"], tuple(data["classes"]), tuple(data["mean"]), tuple(data["std"]))


def _operation(operation: Operation, int8: bool) -> dict[str, Any]:
    small = int8 and operation.kind in ("conv", "linear")
    return operation._asdict() | {
        "weight": _written(operation.weight, small),
        "bias": _written(operation.bias, False),
        "window": operation.window
        and [operation.window.kernel, operation.window.stride, operation.window.padding, operation.window.dilation],
    }


def _read_operation(data: dict[str, Any]) -> Operation:
    kernel, stride, padding, dilation = (tuple(each) for each in data["window"] or [()] * 4)
    before, shape = tuple(data["before"]), tuple(data["shape"])
    window = Window(kernel, stride, padding, dilation) if kernel else None
    weight, bias = _read(data["weight"]), _read(data["bias"])
    read = data | {"inputs": tuple(data["inputs"]), "before": before, "shape": shape, "window": window}
    return Operation(**read | {"weight": weight, "bias": bias})


def _written(array: Floats | None, small: bool) -> dict[str, Any] | None:
    """An array as base64 of little-endian float32, or of int8 with a float32 scale for each first index."""
    if array is None:
        return None
    shape: Shape = array.shape
    if not small:
        return {"shape": shape, "data": b64encode(array.astype("<f4").tobytes()).decode()}
    most = np.abs(array.reshape(len(array), -1)).max(1)
    scale = np.where(most > 0, most / 127, 1).astype(np.float32)
    whole = np.rint(array.reshape(len(array), -1) / scale[:, None]).astype(np.int8)
    return {"shape": shape, "data": b64encode(whole.tobytes()).decode(), "scale": _written(scale, False)}


def _read(data: dict[str, Any] | None) -> Floats | None:
    if data is None:
        return None
    raw = b64decode(data["data"])
    scale = _read(data.get("scale"))
    if scale is None:
        return np.frombuffer(raw, "<f4").astype(np.float32).reshape(data["shape"])
    found = np.frombuffer(raw, np.int8).reshape(len(scale), -1) * scale[:, None]
    return found.astype(np.float32).reshape(data["shape"])
