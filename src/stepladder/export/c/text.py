"""Pieces of C: names, numbers, arrays."""

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from textwrap import fill
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepladder.export.c.quantise import Requantise
from stepladder.inference.steps import Step

NEEDS = {
    **dict.fromkeys(("elu", "silu", "gelu", "hyperbolic_tangent", "sigmoid"), ("exponential",)),
    "float32/scale": ("exponential",),
    **dict.fromkeys(("float32/conv", "float32/depthwise", "float32/max_pool", "float32/avg_pool", "int8/max_pool"), ("window",)),
    "int8/conv": ("window", "requantised", "gather", "dot"),
    "int8/scores_conv": ("requantised", "dot"),
    **dict.fromkeys(("int8/depthwise", "int8/avg_pool"), ("window", "requantised")),
    **dict.fromkeys(("int8/image_in", "int8/add", "int8/multiply", "int8/scale", "int8/concat"), ("requantised",)),
}  # fmt: skip
"""What a kernel is written with."""

CALLED = {"tanh": "hyperbolic_tangent"}
"""Functions that C has under their name already."""


def identifier(name: str) -> str:
    """A name as one of C: what has no underscore may be a word of the language."""
    return name if "_" in name else f"net_{name}"


def kernels(type: str, used: Iterable[str]) -> str:
    """The source of the kernels used and of what they are written with, each once."""
    found: list[str] = []

    def take(name: str) -> None:
        for need in (*NEEDS.get(f"{type}/{name}", ()), *NEEDS.get(name, ())):
            take(need)
        if name not in found:
            found.append(name)

    for name in used:
        take(name)
    return "\n".join(_kernel(type, name) for name in found)


@cache
def _kernel(type: str, name: str) -> str:
    folder = files("stepladder.export.c") / "kernels"
    path = folder / "window.c" if name == "window" else folder / type / f"{name}.c"
    return path.read_text(encoding="utf-8")


def string(text: str) -> str:
    """A string of C: all but plain characters as octal numbers of three digits."""
    plain = (chr(byte) if (chr(byte).isalnum() and byte < 128) or byte in b" -_.,:" else f"\\{byte:03o}" for byte in text.encode())
    return f'"{"".join(plain)}"'


def comment(text: str) -> str:
    """Text that ends no comment."""
    return text.replace("*/", "* /").replace("/*", "/ *").replace("\\", "/")


def number(value: float) -> str:
    """A float with all its digits."""
    text = f"{np.float32(value):.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def array(type: str, name: str, numbers: NDArray[Any] | Sequence[Any]) -> str:
    """A constant array."""
    flat = np.asarray(numbers).reshape(-1)
    written = map(number, flat) if type == "float" else (str(int(each)) for each in flat)
    return f"static const {type} {name}[{len(flat)}] = {{\n{lines(', '.join(written))}\n}};\n"


def lines(text: str) -> str:
    """Text in lines of up to 128 characters."""
    return fill(text, 128, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)


def window(step: Step, name: str) -> str:
    """How a step's window slides."""
    (height, width, channels), (rows, columns, outputs), slides = step.before, step.shape, step.window
    pairs = (*slides.kernel, *slides.stride, *slides.padding, *slides.dilation)
    numbers = ", ".join(map(str, (height, width, channels, rows, columns, outputs, step.groups, *pairs)))
    return f"static const struct window {name} = {{{numbers}}};\n"


def requantise(to: Sequence[Requantise], name: str) -> str:
    """How a step's products become values."""
    each = ", ".join(f"{{{one.shift}, INT64_C({one.offset}), {one.least}, {one.most}}}" for one in to)
    return f"static const struct requantise {name}[{len(to)}] = {{{each}}};\n"
