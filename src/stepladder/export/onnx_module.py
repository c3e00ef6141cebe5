"""A module that is not layers as an ONNX file, by torch's own exporter: levels (uint8) in, class scores out, normalisation
inside."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stepladder.export.onnx_file import scored
from stepladder.export.options import Options
from stepladder.export.targets import Target
from stepladder.spec import UserError

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""What writes and checks such a file: the extra `onnx-modules`."""


class Trained(NamedTuple):
    """A trained module that is no program: the `reason` says what kept it from being layers. In eval mode it makes class scores
    of images (n, channels, height, width), normalised as those of a program are."""

    name: str
    module: nn.Module
    reason: str
    input: tuple[int, int, int]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


class FromLevels(nn.Module):
    """A module behind the normalisation of its images."""

    mean: Tensor
    std: Tensor

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        self.module = trained.module
        for name, each in (("mean", trained.mean), ("std", trained.std)):
            self.register_buffer(name, torch.tensor(each)[:, None, None])

    def forward(self, images: Tensor) -> Any:
        """Scores (n, classes) of levels (n, channels, height, width)."""
        return self.module((images.float() / 255 - self.mean) / self.std)


def check(trained: Trained, options: Options) -> None:
    """Raise UserError for 8 bits, and where a package is missing."""
    if options.int8:
        raise UserError(
            f"an ONNX file of 8 bits is written from layers, network {trained.name} is none: {trained.reason}; "
            "without int8 (--int8) it is written as it is"
        )
    if missing := [package for package in PACKAGES if find_spec(package) is None]:
        raise UserError(
            f"network {trained.name} is not layers: torch's exporter writes it as ONNX, which lacks {', '.join(missing)}: "
            "pip install 'stepladder[onnx-modules]'"
        )


def write(trained: Trained, folder: Path, options: Options) -> list[Path]:
    """Write NAME.onnx."""
    import onnx

    path = folder / f"{options.name}.onnx"
    path.write_bytes(model(trained, options).SerializeToString())
    onnx.checker.check_model(str(path), full_check=True)
    _check_sizes(path, trained)
    return [path]


def answers(folder: Path, trained: Trained, options: Options, images: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], str]:
    """What NAME.onnx answers, by onnxruntime."""
    scores, by = scored(folder / f"{options.name}.onnx", images)
    return scores.argmax(1).astype(np.uint8), by


def model(trained: Trained, options: Options) -> Any:
    """The ONNX model of a module: images (n, channels, height, width) to scores (n, classes)."""
    from onnx import helper

    images = torch.zeros(3, *trained.input, dtype=torch.uint8)
    with _silent():
        try:
            program = torch.onnx.export(
                FromLevels(trained).eval(),
                (images,),
                dynamo=True,
                verbose=False,
                external_data=False,
                input_names=["images"],
                output_names=["scores"],
                dynamic_shapes=({0: torch.export.Dim("n")},),
            )
        except Exception as error:  # of whatever torch makes of the user's own code
            raise UserError(f"torch's exporter does not write network {trained.name} as ONNX: {_told(error)}") from None
    assert program
    written = program.model_proto
    _clear(written)
    written.graph.name, written.graph.doc_string = options.name, options.what
    helper.set_model_props(written, {"classes": json.dumps(trained.classes)})
    return written


def _check_sizes(path: Path, trained: Trained) -> None:
    """Raise UserError unless the file computes what the module does for any number of images: torch may write the one it saw."""
    levels = np.random.default_rng(0).integers(0, 256, (5, *trained.input), np.uint8)
    for count in (5, 2, 1):
        try:
            with torch.inference_mode():
                expected = FromLevels(trained).eval()(torch.from_numpy(levels[:count])).numpy()
            found, _ = scored(path, levels[:count])
            if found.shape == expected.shape and np.allclose(found, expected, rtol=1e-3, atol=1e-3):
                continue
            apart = "other shapes" if found.shape != expected.shape else f"apart by {np.abs(found - expected).max():.2g}"
        except Exception as error:  # of the user's own code, or of what runs the file
            apart = _told(error)
        raise UserError(
            f"network {trained.name} as ONNX does not compute what it is for {count} images ({apart}): torch's exporter may have "
            "written what it computes for another number of them, expected a forward that takes any"
        )


def _clear(message: Any) -> None:
    """Drop what torch tells of the source from a message and all within it: names and lines of this machine's files."""
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type:
            for each in value if isinstance(value, list) or hasattr(value, "add") else [value]:
                _clear(each)


def _told(error: BaseException) -> str:
    """The first line of what went wrong first."""
    while error.__cause__:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


@contextmanager
def _silent() -> Iterator[None]:
    """In which nothing is printed, logged or warned of: torch tells of what it does within, which no user can act on."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            yield
    finally:
        logging.disable(before)


TARGET = Target(check, write, answers)
