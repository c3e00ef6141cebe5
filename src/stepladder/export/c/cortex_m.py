"""What a program in C takes on a Cortex-M4: compiled by GNU's cross compiler, and run by QEMU, which counts instructions."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

COMPILER, EMULATOR = "arm-none-eabi-gcc", "qemu-system-arm"
M4 = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
SECONDS = 60
"""No compiler and no emulator is waited for longer."""

PERIOD = 1 << 24
"""Ticks from one interrupt of the counter to the next: it has 24 bits."""

# The machine is QEMU's mps2-an386: 4 MB of each, the last 64 kB for the stack.
LINKING = """
ENTRY(reset)
MEMORY { FLASH (rx) : ORIGIN = 0, LENGTH = 4M  RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 4032K }
SECTIONS {
    .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) } > FLASH
    .ARM.exidx : { *(.ARM.exidx*) } > FLASH
    .data : { *(.data*) } > RAM
    .bss : { *(.bss*) *(COMMON) } > RAM
}
"""

# It counts SysTick at 25 MHz, and with -icount shift=0 an instruction takes a nanosecond: 40 of them a tick.
INSTRUCTIONS = 40
MAIN = """
#include "NAME.h"
#include "images.h"
void reset(void);
void tick(void);
int main(void);
__attribute__((section(".vectors"), used))
static void *const vectors[16] = {(void *)0x20400000, (void *)reset, [15] = (void *)tick};
static volatile uint32_t *const systick = (volatile uint32_t *)0xe000e010;
static volatile uint32_t periods;

static void host(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static void hex(uint32_t word)
{
    char text[10];
    for (int i = 0; i < 8; i++)
        text[i] = "0123456789abcdef"[word >> (28 - 4 * i) & 15];
    text[8] = '\\n';
    text[9] = 0;
    host(4, text);
}

void tick(void)
{
    periods++;
}

static uint64_t ticks(void)
{
    uint32_t before, now, pending;
    do {
        before = periods;
        now = systick[2];
        pending = *(volatile uint32_t *)0xe000ed04 >> 26 & 1; /* a tick that is not yet counted */
    } while (pending || before != periods);
    return (uint64_t)before * PERIOD + (PERIOD - now) % PERIOD; /* it is 0 when the period ends */
}

void reset(void)
{
    *(volatile uint32_t *)0xe000ed88 |= 0xf << 20; /* the floating-point unit */
    __asm__ volatile("dsb\\n\\tisb");
    main();
    host(0x18, (void *)0x20026);
}

int main(void)
{
    union { SCORE score; uint32_t word; } scores[NAME_CLASSES];
    systick[1] = PERIOD - 1;
    systick[2] = 0;
    systick[0] = 7;
    for (int i = 0; i < IMAGES; i++) {
        const uint64_t before = ticks();
        const int best = NAME_predict(images[i], &scores[0].score);
        const uint64_t took = ticks() - before;
        hex((uint32_t)(took >> 32));
        hex((uint32_t)took);
        hex((uint32_t)best);
        for (int c = 0; c < NAME_CLASSES; c++)
            hex(scores[c].word);
    }
    return 0;
}
"""


class Sizes(NamedTuple):
    """Bytes: of code and constants, of static memory, and of the stack at its deepest."""

    flash: int
    ram: int
    stack: int


class Ran(NamedTuple):
    """What a program answered, and the instructions that the costliest image took."""

    answers: NDArray[np.int64]
    scores: NDArray[np.uint32]
    """As bits."""
    instructions: int


def sizes(source: Path, name: str, folder: Path, level: str = "-O2") -> Sizes:
    """What `source`/name.c takes; leaves its object file in `folder`. Raises SubprocessError where it is not compiled."""
    _done([*_compiling(source, level), "-fcallgraph-info=su", "-c", source / f"{name}.c", "-o", "network.o"], folder)
    text, data, bss = map(int, _done(["arm-none-eabi-size", "network.o"], folder).splitlines()[1].split()[:3])
    return Sizes(text + data, data + bss, deepest((folder / "network.ci").read_text(), f"{name}_predict"))


def deepest(graph: str, function: str) -> int:
    """The bytes of stack of a function and what it calls, of GNU's graph of calls."""
    own = {name: int(size) for name, size in re.findall(r'node: { title: "([^"]*)" label: "[^"]*?(\d+) bytes', graph)}
    calls = re.findall(r'sourcename: "([^"]*)" targetname: "([^"]*)"', graph)

    def of(name: str) -> int:
        return own.get(name, 0) + max((of(called) for called in {to for by, to in calls if by == name}), default=0)

    return of(function)


def run(source: Path, name: str, images: NDArray[np.uint8], integers: bool, folder: Path, level: str = "-O2") -> Ran:
    """What the program whose object file `sizes` left in `folder` makes of images (n, ...). Raises SubprocessError where it is not
    linked, or does not end."""
    flat = images.reshape(len(images), -1)
    rows = ",\n".join("{" + ",".join(map(str, row)) + "}" for row in flat.tolist())
    (folder / "images.h").write_text(
        f"#define IMAGES {len(flat)}\n#define PERIOD {PERIOD}u\n"
        f"static const uint8_t images[IMAGES][{flat.shape[1]}] = {{{rows}}};\n"
    )
    main = MAIN.replace("NAME_CLASSES", f"{name.upper()}_CLASSES").replace("NAME", name)
    (folder / "main.c").write_text(main.replace("SCORE", "int32_t" if integers else "float"))
    (folder / "link.ld").write_text(LINKING)
    options = ("-nostartfiles", "-Tlink.ld", "-Wl,--gc-sections")
    _done([*_compiling(source, level), *options, "main.c", "network.o", "-o", "all.elf"], folder)
    console = ("-display", "none", "-chardev", "stdio,id=console", "-semihosting-config", "enable=on,chardev=console")
    machine = [EMULATOR, "-machine", "mps2-an386", *console, "-icount", "shift=0", "-kernel", "all.elf"]
    words = np.array([int(line, 16) for line in _done(machine, folder).split()], np.uint32).reshape(len(flat), -1)
    ticks = words[:, 0].astype(np.int64) << 32 | words[:, 1]
    return Ran(words[:, 2].astype(np.int64), words[:, 3:], int(ticks.max()) * INSTRUCTIONS)


def compiler() -> str:
    """The compiler's version."""
    return _done([COMPILER, "-dumpfullversion"], Path()).strip()


def emulator() -> str:
    """The emulator's version."""
    found = re.search(r"version (\S+)", _done([EMULATOR, "--version"], Path()))
    return found[1] if found else "of no known version"


def _compiling(source: Path, level: str) -> list[str]:
    return [COMPILER, *M4, "-std=c99", level, "-ffunction-sections", "-fdata-sections", f"-I{source}"]


def _done(command: Sequence[str | Path], folder: Path) -> str:
    """What a command prints."""
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
