"""What a program in C takes: known from its shapes, and measured for a Cortex-M4 where the tools are there."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepladder.export.c import cortex_m, integers
from stepladder.export.c.quantise import quantise
from stepladder.export.c.text import identifier
from stepladder.export.c.write import COMPILERS, compiled, folders
from stepladder.export.options import Options
from stepladder.inference.figures import figures
from stepladder.inference.operation import Program
from stepladder.inference.reference import run
from stepladder.spec import UserError

IMAGES, MULTIPLY_ADDS = 20, 40_000_000
"""At most so many images are run there, fewer where they would take more multiply-adds in all: about a second."""

PACKAGES = {
    cortex_m.COMPILER: "Debian's gcc-arm-none-eabi and libnewlib-arm-none-eabi",
    cortex_m.EMULATOR: "Debian's qemu-system-arm",
}


def takes(folder: Path, program: Program, options: Options, images: NDArray[np.uint8]) -> tuple[dict[str, int], str]:
    """The figures of what was written to `folder`, and a sentence on which of them were measured by what. Raises UserError where
    an image is answered otherwise there than here."""
    found = figures(program, options.int8)
    measured, told = _measured(
        folder, program, options, images[: max(1, min(IMAGES, MULTIPLY_ADDS // max(1, found.multiply_adds)))]
    )
    return found._asdict() | measured, told


def _measured(folder: Path, program: Program, options: Options, images: NDArray[np.uint8]) -> tuple[dict[str, int], str]:
    if not shutil.which(cortex_m.COMPILER):
        return {}, f"Flash, RAM, stack and instructions are not measured: that takes {_tool(*PACKAGES)}."
    name = identifier(options.name)
    source = (folder / folders(options.layout, name)[0]).resolve()
    with tempfile.TemporaryDirectory() as made:
        try:
            sizes = cortex_m.sizes(source, name, Path(made))
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            return {}, f"Flash, RAM, stack and instructions are not measured: {_reason(error)}."
        known = {f"{what}_bytes": size for what, size in sizes._asdict().items()}
        told = f"Flash, RAM and stack are those of a Cortex-M4, by {cortex_m.COMPILER} {cortex_m.compiler()} -O2"
        if not shutil.which(cortex_m.EMULATOR):
            return known, f"{told}; instructions are not measured: that takes {_tool(cortex_m.EMULATOR)}."
        try:
            ran = cortex_m.run(source, name, images, options.int8, Path(made))
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            return known, f"{told}; instructions are not measured: {_reason(error)}."
    _check(ran, *_here(folder, program, options, images), options.int8)
    count = f"{len(images)} images" if len(images) > 1 else "one image"
    return known | {"instructions": ran.instructions}, (
        f"{told}; instructions are those of the costliest of {count}, counted by QEMU {cortex_m.emulator()}, "
        f"where all have the scores that they have here{'' if options.int8 else ', up to rounding'}."
    )


def _here(folder: Path, program: Program, options: Options, images: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """The answers and scores of this machine."""
    if compiler := next(filter(shutil.which, COMPILERS), None):
        return compiled(folder, program, options, images, compiler, "-O1")
    scores = integers.run(quantise(program, options.training), images) if options.int8 else run(program, images)
    return scores.argmax(1).astype(np.uint8), scores


def _check(ran: cortex_m.Ran, answers: NDArray[np.uint8], scores: NDArray[Any], int8: bool) -> None:
    """Raise UserError where there are other scores there than here: floats may be rounded otherwise by another compiler."""
    there = ran.scores.view(scores.dtype)
    near = 0.0 if int8 else 1e-4 * max(1.0, float(np.abs(scores).max()))
    alike = np.isclose(there, scores, rtol=0, atol=near).all(1) & (not int8 or ran.answers == answers)
    differs = np.flatnonzero(~alike)
    if len(differs):
        first = int(differs[0])
        raise UserError(
            f"on an emulated Cortex-M4 {len(differs)} of {len(scores)} images have other scores than here, as image {first}: "
            f"{there[first].tolist()}, here {scores[first].tolist()}; nothing was written"
        )


def _tool(*tools: str) -> str:
    return " and ".join(f"{tool} ({PACKAGES[tool]})" for tool in tools)


def _reason(error: Exception) -> str:
    """Why a tool gave nothing, in a line."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"{error.cmd[0]} took more than {error.timeout:.0f} seconds"
    if isinstance(error, subprocess.CalledProcessError):
        lines = [line for line in error.stderr.splitlines() if "error" in line.lower()] or error.stderr.splitlines() or [""]
        return f"{error.cmd[0]} stops with {error.returncode} ({lines[0].strip()})"
    return f"{type(error).__name__}: {error}"
