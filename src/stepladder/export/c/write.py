"""The files of a program in C: header, source, example and what it is tried with; and the answers of what was written."""

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepladder.export.c import float32, int8, integers
from stepladder.export.c.quantise import IntegerProgram, quantise
from stepladder.export.c.source import Source, body, header
from stepladder.export.c.text import array, comment, identifier
from stepladder.export.operation import Program
from stepladder.export.reference import run
from stepladder.spec import UserError

COMPILERS = ("cc", "gcc", "clang")

Images = NDArray[np.uint8]
Numbers = NDArray[np.int32] | NDArray[np.float32]
"""Scores, of integers or floats."""


class Written(NamedTuple):
    """What was written, and what is known of it."""

    name: str
    """Of its functions: mnist_a4."""
    files: tuple[str, ...]
    source: Path
    program: Program
    integers: IntegerProgram | None
    arena: int
    """Bytes of memory, of the most values that are held at a time."""
    weights: int
    """Bytes of weights and what goes with them."""
    macs: int
    """Multiplications by a weight, for one image."""

    @property
    def figures(self) -> dict[str, int]:
        """For the model card."""
        return {"arena_bytes": self.arena, "weight_bytes": self.weights, "multiply_adds": self.macs}


def write(
    program: Program,
    folder: Path,
    name: str,
    about: str,
    examples: Images,
    calibration: Images | None = None,
    *,
    arduino: bool = False,
) -> Written:
    """Write a program to a folder: in float32, or in integers as calibrated on images (n, channels, height, width); with an
    example that answers a few images and compares. `about` says what it is.

    Raises UserError, before anything is written, for what cannot be written in C or in integers.
    """
    name = identifier(name)
    whole = None if calibration is None else quantise(program, calibration)
    source = float32.source(program) if whole is None else int8.source(whole)
    scores = run(program, examples) if whole is None else integers.run(whole, examples)
    code, example = ("src/", f"examples/{name}/") if arduino else ("", "")
    files = {
        f"{code}{name}.h": header(name, about, program, source),
        f"{code}{name}.c": body(name, about, program, source),
        f"{example}test_vectors.h": _vectors(name, source, examples, scores),
    }
    if arduino:
        files["library.properties"] = _library(name, about)
        files[f"{example}{name}.ino"] = _sketch(name, source)
    else:
        files["example_main.c"] = _main(name, source)
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return Written(name, tuple(files), folder / code, program, whole, source.arena, source.weights, source.macs)


def answers(written: Written, images: Images) -> tuple[NDArray[np.int64], NDArray[np.float32], str]:
    """The answers and scores of what was written, on the scale of the network's, and what computed them: this machine's C compiler
    or, where it has none, the same in numpy."""
    compiler = next(filter(shutil.which, COMPILERS), None)
    if compiler is None:
        found = run(written.program, images) if written.integers is None else integers.run(written.integers, images)
        return found.argmax(1), _scores(written, found), "numpy: no C compiler was found"
    with tempfile.TemporaryDirectory() as folder:
        best, found = _compiled(written, images, compiler, Path(folder))
    return best, _scores(written, found), f"the C source, compiled by {compiler}"


def _scores(written: Written, found: Numbers) -> NDArray[np.float32]:
    return np.asarray(found if written.integers is None else found * written.integers.scale, np.float32)


def _compiled(written: Written, images: Images, compiler: str, folder: Path) -> tuple[NDArray[np.int64], Numbers]:
    """The answers and scores of the compiled source."""
    library, name = folder / "network.so", written.name
    command = [compiler, "-std=c99", "-O3", "-shared", "-fPIC", str(written.source / f"{name}.c"), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{compiler} does not compile {name}.c:\n{done.stderr}")
    loaded = ctypes.CDLL(str(library))
    predict = loaded[f"{name}_predict"]
    scores: NDArray[Any] = np.zeros((len(images), len(written.program.classes)), "float32" if written.integers is None else "int32")
    images = np.ascontiguousarray(images)
    pairs = zip(images, scores, strict=True)
    best = [predict(ctypes.c_void_p(image.ctypes.data), ctypes.c_void_p(row.ctypes.data)) for image, row in pairs]
    return np.array(best, np.int64), scores


def _vectors(name: str, source: Source, images: Images, scores: Numbers) -> str:
    """test_vectors.h."""
    return "\n".join(
        [
            f"/* Test images, and the scores that {name}_predict gives them. */",
            f"#define VECTORS {len(images)}",
            array("uint8_t", "images", images),
            array(source.score, "expected", scores),
        ]
    )


def _alike(source: Source) -> str:
    """Whether score and expected are equal, in C; floats up to what another order of sums may change."""
    if source.scale is not None:
        return "scores[c] == expected[i * CLASSES + c]"
    return "scores[c] - expected[i * CLASSES + c] < 1e-3f && expected[i * CLASSES + c] - scores[c] < 1e-3f"


def _counted(name: str, source: Source) -> str:
    """A function of C that counts the images with the expected scores."""
    big = name.upper()
    return f"""\
enum {{ CLASSES = {big}_CLASSES, PIXELS = {big}_CHANNELS * {big}_HEIGHT * {big}_WIDTH }};

static int as_expected(void) {{
    int right = 0;
    for (int i = 0; i < VECTORS; i++) {{
        {source.score} scores[CLASSES];
        {name}_predict(images + i * PIXELS, scores);
        int alike = 1;
        for (int c = 0; c < CLASSES; c++) alike = alike && {_alike(source)};
        right += alike;
    }}
    return right;
}}
"""


def _main(name: str, source: Source) -> str:
    """example_main.c."""
    return f"""\
/* cc -std=c99 -O2 example_main.c {name}.c -o example && ./example */
#include <stdio.h>

#include "{name}.h"
#include "test_vectors.h"

{_counted(name, source)}
int main(void) {{
    const int right = as_expected();
    printf("%d of %d images have the expected scores\\n", right, VECTORS);
    return right == VECTORS ? 0 : 1;
}}
"""


def _sketch(name: str, source: Source) -> str:
    """The example of an Arduino library."""
    return f"""\
#include <{name}.h>

#include "test_vectors.h"

{_counted(name, source)}
void setup() {{
    Serial.begin(115200);
}}

void loop() {{
    const unsigned long start = micros();
    const int right = as_expected();
    const unsigned long took = (micros() - start) / VECTORS;
    Serial.print(right);
    Serial.print(" of ");
    Serial.print(VECTORS);
    Serial.print(" images have the expected scores, ");
    Serial.print(took);
    Serial.println(" microseconds an image");
    delay(2000);
}}
"""


def _library(name: str, about: str) -> str:
    """library.properties."""
    sentence = " ".join(comment(about).split())
    fields = {
        "name": name,
        "version": "1.0.0",
        "author": "Stepladder",
        "maintainer": "Stepladder",
        "sentence": sentence,
        "paragraph": f"{name}_predict answers an image of raw levels with its class.",
        "category": "Data Processing",
        "url": "",
        "architectures": "*",
        "includes": f"{name}.h",
    }
    return "".join(f"{field}={value}\n" for field, value in fields.items())
