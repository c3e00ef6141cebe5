"""The files of a program in C: header, source, example and what it is tried with; and the answers of what was written."""

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepladder.export.c import float32, int8, integers
from stepladder.export.c.quantise import quantise
from stepladder.export.c.source import Source, body, header
from stepladder.export.c.text import array, comment, identifier
from stepladder.export.options import Options
from stepladder.inference.operation import Program
from stepladder.inference.reference import run
from stepladder.inference.steps import check_integers, steps, unfused
from stepladder.spec import UserError

COMPILERS = ("cc", "gcc", "clang")

LAYOUTS = ("plain", "arduino")

VECTORS = 10
"""So many training images are written beside the source, with their scores."""

Images = NDArray[np.uint8]


def check(program: Program, options: Options) -> None:
    """Raise UserError for what cannot be written."""
    if options.layout not in LAYOUTS:
        raise UserError(f"layout is {options.layout!r}, expected one of {', '.join(LAYOUTS)}")
    found = steps(unfused(program), raw=options.int8)
    if options.int8:
        check_integers(found)


def write(program: Program, folder: Path, options: Options) -> list[Path]:
    """Write a program: in float32, or in integers as calibrated on training images; with an example that answers a few of them and
    compares. Raises UserError for numbers that no integers hold."""
    name, examples = identifier(options.name), options.training[:VECTORS]
    scores: NDArray[Any]
    if options.int8:
        whole = quantise(program, options.training)
        source, scores = int8.source(program, whole), integers.run(whole, examples)
    else:
        source, scores = float32.source(program), run(program, examples)
    code, example = folders(options.layout, name)
    files = {
        f"{code}{name}.h": header(name, options.what, program, source),
        f"{code}{name}.c": body(name, options.what, program, source),
        f"{example}test_vectors.h": _vectors(name, source, examples, scores),
    }
    if options.layout == "arduino":
        files |= {"library.properties": _library(name, options.what), f"{example}{name}.ino": _sketch(name, source)}
    else:
        files["example_main.c"] = _main(name, source)
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return [folder / path for path in files]


def folders(layout: str, name: str) -> tuple[str, str]:
    """Where the source is, and where its example."""
    return ("src/", f"examples/{name}/") if layout == "arduino" else ("", "")


def answers(folder: Path, program: Program, options: Options, images: Images) -> tuple[NDArray[np.uint8], str]:
    """What was written answers, and what computed that: this machine's C compiler or, where there is none, the same in numpy."""
    if compiler := next(filter(shutil.which, COMPILERS), None):
        return compiled(folder, program, options, images, compiler)[0], f"the C source, built with {compiler}"
    scores = integers.run(quantise(program, options.training), images) if options.int8 else run(program, images)
    return scores.argmax(1).astype(np.uint8), "the same in numpy, as no C compiler was found"


def compiled(
    folder: Path, program: Program, options: Options, images: Images, compiler: str, level: str = "-O3"
) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """The answers and the scores of what was written."""
    name = identifier(options.name)
    source = folder / folders(options.layout, name)[0] / f"{name}.c"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as build:
        library = Path(build) / "network.so"
        command = [compiler, "-std=c99", level, "-shared", "-fPIC", str(source), "-o", str(library)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError(f"{compiler} does not compile {source.name}:\n{done.stderr}")
        predict = ctypes.CDLL(str(library))[f"{name}_predict"]
    scores = np.zeros((len(images), len(program.classes)), "int32" if options.int8 else "float32")
    pairs = zip(np.ascontiguousarray(images), scores, strict=True)
    best = [predict(ctypes.c_void_p(image.ctypes.data), ctypes.c_void_p(row.ctypes.data)) for image, row in pairs]
    return np.array(best, np.uint8), scores


def _vectors(name: str, source: Source, images: Images, scores: NDArray[Any]) -> str:
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
