"""What an export can be written as, and what writes each: one module a target."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from stepladder.export.options import Options
from stepladder.inference.operation import Program
from stepladder.spec import UserError

NAMES = ("onnx", "c", "torch", "html")
"""What `target` knows."""


What = TypeVar("What")
"""What is written: a Program, or a Trained module."""


class Target(NamedTuple, Generic[What]):
    """`check` raises UserError for what it cannot be written as, before anything is written, or lacks to do so. `write` writes into
    an empty folder, and returns the files. `answers` runs what was written there: the label (n,) of each image, and what ran it.
    `figures` are what it takes, by name, where images are what it may be measured on, and a sentence on which were measured by
    what.
    """

    check: Callable[[What, Options], None]
    write: Callable[[What, Path, Options], Sequence[Path]]
    answers: Callable[[Path, What, Options, NDArray[np.uint8]], tuple[NDArray[np.uint8], str]]
    figures: Callable[[Path, What, Options, NDArray[np.uint8]], tuple[dict[str, int], str]] = lambda *_: ({}, "")


def target(to: str) -> Target[Program]:
    """What writes exports of a kind; raises UserError for one that is not known."""
    match to:
        case "onnx":
            from stepladder.export import onnx_file

            return Target(onnx_file.check, onnx_file.write, onnx_file.answers)
        case "c":
            from stepladder.export.c import device, write

            return Target(write.check, write.write, write.answers, device.takes)
        case "torch":
            from stepladder.export import torch_file

            return Target(torch_file.check, torch_file.write, torch_file.answers)
        case "html":
            from stepladder.export.html import file

            return Target(file.check, file.write, file.answers)
    raise UserError(f"an export to {to!r} is not known, expected one of {', '.join(NAMES)}")
