"""Programs on an emulated Cortex-M4: Debian's cross compiler and QEMU, with semihosting and a counter of instructions."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

COMPILER, EMULATOR = "arm-none-eabi-gcc", "qemu-system-arm"
M4 = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")

LINKING = """
ENTRY(reset)
MEMORY { FLASH (rx) : ORIGIN = 0, LENGTH = 4M  RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 4M }
SECTIONS {
    .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) } > FLASH
    .ARM.exidx : { *(.ARM.exidx*) } > FLASH
    .data : { *(.data*) } > RAM
    .bss : { *(.bss*) *(COMMON) } > RAM
}
"""

# QEMU's mps2-an386 counts SysTick at 25 MHz, and with -icount shift=0 an instruction takes a nanosecond: 40 of them a tick.
MAIN = """
#include "NAME.h"
#include "images.h"
void reset(void);
int main(void);
__attribute__((section(".vectors"), used)) static void *const vectors[] = {(void *)0x20400000, (void *)reset};

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
    volatile uint32_t *const systick = (volatile uint32_t *)0xe000e010;
    systick[1] = 0xffffff;
    systick[0] = 5;
    for (int i = 0; i < IMAGES; i++) {
        systick[2] = 0;
        const uint32_t before = systick[2];
        const int best = NAME_predict(images[i], &scores[0].score);
        hex((before - systick[2]) & 0xffffff);
        hex((uint32_t)best);
        for (int c = 0; c < NAME_CLASSES; c++)
            hex(scores[c].word);
    }
    return 0;
}
"""


class Measured(NamedTuple):
    """What a program answers there, and what it takes."""

    answers: NDArray[np.int64]
    scores: NDArray[np.uint32]
    """As bits."""
    instructions: int
    """Of the costliest image."""
    flash: int
    ram: int
    stack: int


def required() -> None:
    """Skip where the tools are not installed; fail where a check runs that must have them."""
    for tool in (COMPILER, EMULATOR):
        if not shutil.which(tool):
            if os.environ.get("CI"):
                pytest.fail(f"{tool} is not there: apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm")
            pytest.skip(f"{tool} is not installed")


def run(source: Path, name: str, images: NDArray[np.uint8], integers: bool, folder: Path, level: str = "-O2") -> Measured:
    """Compile `source`/name.c and answer images (n, ...) with it."""
    flat = images.reshape(len(images), -1)
    rows = ",\n".join("{" + ",".join(map(str, row)) + "}" for row in flat.tolist())
    (folder / "images.h").write_text(
        f"#define IMAGES {len(flat)}\nstatic const uint8_t images[IMAGES][{flat.shape[1]}] = {{{rows}}};\n"
    )
    main = MAIN.replace("NAME_CLASSES", f"{name.upper()}_CLASSES").replace("NAME", name)
    (folder / "main.c").write_text(main.replace("SCORE", "int32_t" if integers else "float"))
    (folder / "link.ld").write_text(LINKING)
    flags = [*M4, "-std=c99", level, "-ffunction-sections", "-fdata-sections", f"-I{source}"]
    _done([COMPILER, *flags, "-fstack-usage", "-c", source / f"{name}.c", "-o", "network.o"], folder)
    options = ("-nostartfiles", "-Tlink.ld", "-Wl,--gc-sections")
    _done([COMPILER, *flags, *options, "main.c", "network.o", "-o", "all.elf"], folder)
    size = _done(["arm-none-eabi-size", "network.o"], folder).splitlines()[1].split()
    console = ("-display", "none", "-chardev", "stdio,id=console", "-semihosting-config", "enable=on,chardev=console")
    machine = [EMULATOR, "-machine", "mps2-an386", *console, "-icount", "shift=0", "-kernel", "all.elf"]
    words = np.array([int(line, 16) for line in _done(machine, folder).split()], np.uint32)
    table = words.reshape(len(flat), -1)
    stacks = [int(line.split("\t")[1]) for line in (folder / "network.su").read_text().splitlines()]
    text, data, bss = map(int, size[:3])
    return Measured(
        table[:, 1].astype(int), table[:, 2:], int(table[:, 0].max()) * 40, text + data, data + bss, sum(sorted(stacks)[-3:])
    )


def _done(command: Sequence[str | Path], folder: Path) -> str:
    """What a command prints; its complaint where it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, re.sub(r"\n{2,}", "\n", done.stderr)
    return done.stdout
