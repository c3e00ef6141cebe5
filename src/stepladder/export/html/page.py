"""The page as text, and the programs read from it again."""

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from stepladder.export.html.placing import Placing
from stepladder.export.options import Reader
from stepladder.inference.operation import Floats, Operation, Program
from stepladder.page.html import TEMPLATES
from stepladder.spec import Shape, UserError
from stepladder.spec.window import Window

HERE = Path(__file__).parent
SCRIPTS = ("network.js", "prepare.js", "page.js")
DATA = '<script type="application/json" id="data">'


def page(title: str, readers: Sequence[Reader], placing: Placing | None, *, int8: bool = False) -> str:
    """The page on which `readers` answer what is drawn, put as `placing` says, or pictures alone where that is None. With `int8`
    weights are whole numbers of eight bits, with a scale for each channel.

    Raises UserError where the networks do not take the same images or know the same classes.
    """
    check_alike(readers)
    data = {"networks": [_reader(reader, int8) for reader in readers], "placing": placing and placing._asdict()}
    script = '"use strict";\n' + "\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    style = (TEMPLATES / "palette.css").read_text(encoding="utf-8") + (HERE / "style.css").read_text(encoding="utf-8")
    return Template((HERE / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        digest=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=style,
        script=script,
        data=json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    )


def programs(text: str) -> list[Program]:
    """The programs of a page, as it computes them."""
    data = json.loads(text.partition(DATA)[2].partition("</script>")[0])
    return [
        Program(
            tuple(_read_operation(operation) for operation in network["operations"]),
            network["input"], tuple(network["classes"]), tuple(network["mean"]), tuple(network["std"]),
        )
        for network in data["networks"]
    ]  # fmt: skip


def check_alike(readers: Sequence[Reader]) -> None:
    """Raise UserError where networks cannot be on one page."""
    if not readers:
        raise UserError("a page has no network, expected at least one")
    first = readers[0]
    for reader in readers:
        for field in ("input", "classes"):
            own, expected = getattr(reader.program, field), getattr(first.program, field)
            if own != expected:
                raise UserError(f"steps on one page differ in {field}: {first.name} has {expected}, {reader.name} has {own}")


def _reader(reader: Reader, int8: bool) -> dict[str, Any]:
    program = reader.program
    return {
        "name": reader.name,
        "title": reader.title,
        "facts": dict(reader.facts),
        "operations": [_operation(operation, int8) for operation in program.operations],
        "input": program.input,
        "classes": program.classes,
        "mean": [float(each) for each in program.mean],
        "std": [float(each) for each in program.std],
    }


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
