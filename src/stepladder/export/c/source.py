"""What a program's source consists of, and its text."""

from typing import NamedTuple

from stepladder.export.c.text import comment, kernels, string
from stepladder.inference.figures import Figures
from stepladder.inference.operation import Program


class Source(NamedTuple):
    """The parts of a source, and what it takes."""

    type: str
    """float32 or int8: the folder of its kernels."""
    value: str
    """The type of C of its values, and of its scores."""
    score: str
    constants: list[str]
    kernels: list[str]
    calls: list[str]
    places: int
    """How many values the arena holds."""
    figures: Figures
    scale: float | None
    """What a score of 1 stands for, of integers."""


def header(name: str, about: str, program: Program, source: Source) -> str:
    """NAME.h."""
    big, (channels, height, width), takes = name.upper(), program.input, source.figures
    scale = (
        ""
        if source.scale is None
        else f"#define {big}_SCALE {source.scale:.9g} /* times a score is near what the network in floats answers */\n"
    )
    return f"""\
/* {comment(about)}

   C99 without a library. Of {channels} x {height} x {width} levels, {takes.multiply_adds:,} multiply-adds;
   {takes.weight_bytes:,} bytes of weights, {takes.arena_bytes:,} bytes of memory, which one call at a time may use. */
#ifndef {big}_H
#define {big}_H

#include <stdint.h>

#define {big}_CHANNELS {channels}
#define {big}_HEIGHT {height}
#define {big}_WIDTH {width}
#define {big}_CLASSES {len(program.classes)}
#define {big}_ARENA {takes.arena_bytes} /* bytes */
{scale}
#ifdef __cplusplus
extern "C" {{
#endif

extern const char* const {name}_classes[{big}_CLASSES];

/* The class of an image, a number from 0, and its scores, of which the class has the largest. The levels go from 0 to 255, row by
   row, a channel after the other. */
int {name}_predict(const uint8_t* image, {source.score}* scores);

#ifdef __cplusplus
}}
#endif

#endif
"""


def body(name: str, about: str, program: Program, source: Source) -> str:
    """NAME.c."""
    big = name.upper()
    names = ",\n".join(f"    {string(name)}" for name in program.classes)
    calls = "\n".join(f"    {call}" for call in source.calls)
    return f"""\
/* {comment(about)} */
#include "{name}.h"

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF /* the same sums from every compiler */
#endif

const char* const {name}_classes[{big}_CLASSES] = {{
{names}
}};

{kernels(source.type, [*source.kernels, "largest"])}
{"".join(source.constants)}
/* The values, each in the place of one that is no longer needed; the most that are held at a time fill it. */
static {source.value} arena[{source.places}];
typedef char {name}_arena_is_as_said[sizeof arena == {big}_ARENA ? 1 : -1];

int {name}_predict(const uint8_t* image, {source.score}* scores) {{
{calls}
    return largest(scores, {big}_CLASSES);
}}
"""
