"""Programs as C99: compiled, run and compared with what they were written from."""

import os
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import pytest
import torch
from conftest import fuzzed, networks
from hypothesis import given
from native_twin import WINDOWS
from numpy.typing import NDArray
from test_export_program import exported, trained

from stepladder import (
    ELU,
    GELU,
    AvgPool,
    BatchNorm,
    BlurPool,
    Branch,
    Concat,
    Conv,
    Excite,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    HardSwish,
    LayerNorm,
    LeakyReLU,
    Linear,
    MaxPool,
    Multiply,
    Network,
    PReLU,
    ReLU6,
    Residual,
    Sigmoid,
    SiLU,
    Tanh,
    UserError,
)  # fmt: skip
from stepladder.export.c import cortex_m, device, integers
from stepladder.export.c.quantise import quantise
from stepladder.export.c.text import identifier, number, string
from stepladder.export.c.write import answers, check, compiled, write
from stepladder.export.options import Options
from stepladder.inference import arena, steps
from stepladder.inference.figures import figures
from stepladder.inference.program import Program, run
from stepladder.ladders import mnist, mnist_8k

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror")

PLAIN = Network([Conv(8), MaxPool(), Conv(5, padding=1), BlurPool(), Conv(10, activation=None), GlobalAvgPool()], (1, 22, 21))
JOINS = Network(
    [
        *(Conv(6, padding=1), Conv(6, padding=1, activation=None), Residual(1), Conv(4, padding=1), Concat(1), Branch(2)),
        *(Conv(10, 1, activation=None), Residual(2), Conv(10, padding=1, groups=2), Multiply(1), GlobalAvgPool(), Linear(10)),
        *(Excite(3), MaxPool(3, 2, padding=1), Flatten(), BatchNorm(), Residual(1), Linear(9), BatchNorm(), Multiply(1)),
        *(Concat(1), Linear(7)),
    ],
    (3, 12, 9),
    classes=7,
)
FUNCTIONS = Network(
    [
        *(Conv(4, activation=None), LeakyReLU(0.1), Conv(4, 1, activation=None), PReLU(), Conv(4, 1, activation=None), ReLU6()),
        *(Conv(4, 1, activation=None), ELU(0.7), Conv(4, 1, activation=None), SiLU(), Conv(4, 1, activation=None), HardSwish()),
        *(Conv(4, 1, activation=None), GELU(), BatchNorm(), AvgPool(3, 2, padding=1), Tanh(), Flatten(), Sigmoid(), Linear(3)),
    ],
    (2, 9, 8),
    classes=3,
)
NORMS = Network([Conv(6), GroupNorm(3), PReLU(per_channel=True), LayerNorm(), Flatten(), GroupNorm(4), Linear(2)], (1, 8, 8), 2)


def small(network: Network) -> Program:
    """With random weights that keep numbers of one size, so that none of its channels is dead and no answer is always the same."""
    module = trained(network)
    generator = torch.Generator().manual_seed(1)
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var"):
            tensor.fill_(1)
        elif tensor.is_floating_point():
            bound = (6 / tensor[0].numel()) ** 0.5 if tensor.dim() > 1 and name.startswith(("conv", "linear")) else 0.2
            tensor.copy_((2 * torch.rand(tensor.shape, generator=generator) - 1) * bound)
            if "norm" in name and name.endswith("weight"):
                tensor.add_(1)
    return exported(network, module)


def levels(program: Program, images: int = 12) -> NDArray[np.uint8]:
    """Of squares of one level, and some noise."""
    channels, height, width = program.input
    generator = np.random.default_rng(1)
    squares = generator.integers(0, 236, (images, channels, -(-height // 4), -(-width // 4)), np.uint8).repeat(4, 2).repeat(4, 3)
    return np.asarray(squares[:, :, :height, :width] + generator.integers(0, 20, (images, *program.input), np.uint8))


class Made(NamedTuple):
    """What was written, with the same images calibrated on and beside it."""

    folder: Path
    program: Program
    options: Options

    def answers(self, images: NDArray[np.uint8]) -> tuple[list[int], NDArray[np.float32] | NDArray[np.int32]]:
        best, scores = compiled(*self, images, "cc")
        return best.tolist(), scores


def written(program: Program, folder: Path, int8: bool, name: str = "net_1", layout: str = "plain") -> Made:
    folder.mkdir(exist_ok=True)
    options = Options(name, "A test.", int8, levels(program, 20), layout)
    check(program, options)
    write(program, folder, options)
    return Made(folder, program, options)


def required(tool: str) -> None:
    if not shutil.which(tool):
        if os.environ.get("CI"):
            pytest.fail(f"{tool} is not installed")
        pytest.skip(f"{tool} is not installed")


def sanitised(folder: Path, tmp_path: Path, name: str = "net_1") -> str:
    """What the example beside it prints, built to stop at undefined behaviour and at reads and writes outside arrays."""
    required("gcc")
    flags = (*STRICT, "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    subprocess.run(["gcc", *flags, "example_main.c", f"{name}.c", "-o", tmp_path / "example"], cwd=folder, check=True)
    return subprocess.run([tmp_path / "example"], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("network", [PLAIN, JOINS, FUNCTIONS, NORMS, WINDOWS])
def test_the_source_in_floats_computes_the_program(network: Network, tmp_path: Path) -> None:
    program = small(network)
    made = written(program, tmp_path, int8=False)
    best, scores = made.answers(images := levels(program))
    expected = run(program, images)
    assert np.ptp(expected, axis=0).min() > 0.01 * np.ptp(expected)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    assert best == scores.argmax(1).tolist()
    assert sanitised(tmp_path, tmp_path) == "10 of 10 images have the expected scores\n"


@pytest.mark.parametrize("network", [PLAIN, JOINS, FUNCTIONS, WINDOWS])
def test_the_source_in_integers_computes_what_numpy_does_bit_for_bit_and_nearly_the_program(
    network: Network, tmp_path: Path
) -> None:
    program = small(network)
    made = written(program, tmp_path, int8=True)
    best, scores = made.answers(images := levels(program))
    whole = quantise(program, made.options.training)
    np.testing.assert_array_equal(scores, integers.run(whole, images))
    assert best == scores.argmax(1).tolist()
    expected = run(program, images)
    assert np.abs(scores * whole.scale - expected).max() < 0.1 * np.ptp(expected, axis=0).max()
    assert sanitised(tmp_path, tmp_path) == "10 of 10 images have the expected scores\n"


def test_sums_are_exact_where_every_number_is_an_integer(tmp_path: Path) -> None:
    network = Network([Flatten(), Linear(2)], (1, 2, 2), 2)
    program = exported(network, trained(network))
    weight = np.array([[127, 0, 0, -127], [1, 1, 1, 1]], np.float32)
    alone = program.operations[0]._replace(weight=weight, bias=np.array([0, 3], np.float32))
    program = program._replace(operations=(alone,), mean=(0.0,), std=(1 / 255,))
    images = np.array([[[[255, 0], [0, 0]]], [[[1, 2], [3, 4]]], [[[0, 0], [0, 200]]]], np.uint8)
    options = Options("known_1", "A test.", True, images)
    write(program, tmp_path, options)
    best, scores = compiled(tmp_path, program, options, images, "cc")
    found = scores * quantise(program, images).scale
    np.testing.assert_allclose(found, [[127 * 255, 258], [-381, 13], [-25400, 203]], atol=0.1)
    assert best.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("compiler", "flags"),
    [
        ("gcc", ()),
        ("clang", ()),
        ("arm-none-eabi-gcc", ("-mcpu=cortex-m0plus", "-mthumb")),
        ("arm-none-eabi-gcc", ("-mcpu=cortex-m4", "-mthumb")),
        ("riscv64-unknown-elf-gcc", ("-march=rv32imac", "-mabi=ilp32", "-ffreestanding", "-nostdlib")),
    ],
)
def test_no_compiler_has_a_warning(compiler: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    required(compiler)
    for place, network in enumerate((JOINS, FUNCTIONS, NORMS)):
        for int8 in (False, True)[: 1 + (network is not NORMS)]:
            made = written(small(network), tmp_path / f"{place} {int8}", int8)
            subprocess.run([compiler, *STRICT, *flags, "-Os", "-c", "net_1.c", "-o", os.devnull], cwd=made.folder, check=True)


@pytest.mark.parametrize("int8", [False, True])
def test_a_hundred_images_have_the_same_bits_on_an_emulated_micro_controller(int8: bool, tmp_path: Path) -> None:
    required(cortex_m.COMPILER)
    required(cortex_m.EMULATOR)
    program = small(mnist_8k.network([8] * 5, BlurPool(), early=5))  # F1
    made = written(program, tmp_path, int8)
    images = levels(program, 100)
    sizes = cortex_m.sizes(tmp_path, "net_1", tmp_path)
    measured = cortex_m.run(tmp_path, "net_1", images, int8, tmp_path)
    best, scores = made.answers(images)
    assert measured.answers.tolist() == best
    np.testing.assert_array_equal(measured.scores.view(scores.dtype), scores)
    assert len(np.unique(scores, axis=0)) == 100
    takes = figures(program, int8)
    assert takes.multiply_adds < measured.instructions < 20 * takes.multiply_adds
    assert takes.weight_bytes < sizes.flash < takes.weight_bytes + 5000
    assert takes.arena_bytes <= sizes.ram < takes.arena_bytes + 8
    assert 50 < sizes.stack < 300
    with patch.object(cortex_m, "PERIOD", 1_000):  # the counter's interrupts, of some instructions each
        often = cortex_m.run(tmp_path, "net_1", images, int8, tmp_path)
    assert often.instructions == pytest.approx(measured.instructions, rel=1e-3)


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("layout", ["plain", "arduino"])
def test_what_a_program_takes_is_measured_where_the_tools_are_there(int8: bool, layout: str, tmp_path: Path) -> None:
    required(cortex_m.COMPILER)
    required(cortex_m.EMULATOR)
    made = written(small(PLAIN), tmp_path, int8, layout=layout)
    found, told = device.takes(*made, levels(made.program, 30))
    known = figures(made.program, int8)._asdict()
    assert found.items() >= known.items()
    assert set(found) - set(known) == {"flash_bytes", "ram_bytes", "stack_bytes", "instructions"}
    assert found["ram_bytes"] >= found["arena_bytes"]
    assert found["instructions"] > found["multiply_adds"]
    told_of = r"by arm-none-eabi-gcc \d+\.\d+.* -O2; instructions are those of the costliest of 20 images, counted by QEMU \d+\."
    assert re.search(told_of, told)
    assert (tmp_path / "example_main.c").exists() == (layout == "plain")
    with patch.object(device, "MULTIPLY_ADDS", 1):
        fewer, told = device.takes(*made, levels(made.program, 30))
    assert "the costliest of one image," in told
    assert fewer["instructions"] <= found["instructions"]


def test_what_is_not_measured_is_said_with_what_it_takes(tmp_path: Path) -> None:
    made = written(small(PLAIN), tmp_path, int8=True)
    images, known = levels(made.program), figures(made.program, int8=True)._asdict()
    with patch.object(shutil, "which", lambda tool: None):
        found, told = device.takes(*made, images)
    assert found == known
    assert told == (
        "Flash, RAM, stack and instructions are not measured: that takes arm-none-eabi-gcc (Debian's gcc-arm-none-eabi and "
        "libnewlib-arm-none-eabi) and qemu-system-arm (Debian's qemu-system-arm)."
    )
    required(cortex_m.COMPILER)
    with patch.object(shutil, "which", lambda tool: None if tool == cortex_m.EMULATOR else tool):
        found, told = device.takes(*made, images)
    assert set(found) - set(known) == {"flash_bytes", "ram_bytes", "stack_bytes"}
    assert told.endswith("-O2; instructions are not measured: that takes qemu-system-arm (Debian's qemu-system-arm).")
    (tmp_path / "net_1.c").write_text("int none")
    found, told = device.takes(*made, images)
    assert found == known
    assert re.search(r"not measured: arm-none-eabi-gcc stops with 1 \(.*error: .*\)\.$", told)


@pytest.mark.parametrize("int8", [False, True])
def test_an_emulated_micro_controller_that_answers_otherwise_is_an_error(int8: bool, tmp_path: Path) -> None:
    required(cortex_m.COMPILER)
    required(cortex_m.EMULATOR)
    made = written(small(PLAIN), tmp_path, int8)
    images = levels(made.program)
    wrong = images.copy()
    wrong[3] = 255 - wrong[3]
    given = cortex_m.run
    with (
        patch.object(cortex_m, "run", lambda source, name, images, *rest: given(source, name, wrong, *rest)),
        pytest.raises(UserError, match="on an emulated Cortex-M4 1 of 12 images have other scores than here, as image 3: "),
    ):
        device.takes(*made, images)


def test_the_stack_is_that_of_the_deepest_calls() -> None:
    sizes = {"net_predict": 8, "conv": 100, "dot": 20, "norm": 110}
    nodes = [f'node: {{ title: "{name}" label: "{name}\\nnet.c:1:2\\n{size} bytes (static)" }}' for name, size in sizes.items()]
    pairs = [("net_predict", "conv"), ("net_predict", "norm"), ("conv", "dot"), ("norm", "memset"), ("conv", "dot")]
    edges = [f'edge: {{ sourcename: "{by}" targetname: "{to}" label: "net.c:3:4" }}' for by, to in pairs]
    assert cortex_m.deepest("\n".join([*nodes, *edges]), "net_predict") == 128


def test_the_arena_is_what_is_held_at_the_fullest_moment() -> None:
    program = exported(mnist.a, trained(mnist.a))
    found = steps.steps(steps.unfused(program), raw=True)
    first_two = 14 * 26 * 26 + 7 * 24 * 24
    assert arena.arena(found).size == arena.peak(found) == first_two + 9 * 14  # and what a window of the second sees
    assert arena.arena(steps.steps(steps.unfused(program), raw=False)).size == first_two + 9 * 14


@fuzzed(25)
@given(networks())
def test_what_is_held_at_the_same_time_lies_apart(network: Network) -> None:
    program = exported(network, trained(network))
    found = steps.steps(steps.unfused(program), raw=True)
    plan = arena.arena(found, kept=True)
    last = {value: place for place, step in enumerate(found) for value in step.inputs} | {len(found) - 1: len(found)}
    for place, step in enumerate(found):
        held = [value for value in range(place + 1) if last[value] > place]  # when the step is done
        spans = [(plan.values[value], plan.values[value] + found[value].size) for value in held]
        if step.patch:
            used = [value for value in step.inputs if value >= 0]
            patch = (plan.patches[place], plan.patches[place] + step.patch)
            spans = [*{*spans, *((plan.values[value], plan.values[value] + found[value].size) for value in used)}, patch]
        assert all(end <= start or stop <= begin for (begin, end), (start, stop) in combinations(spans, 2))
        assert max((end for _, end in spans), default=0) <= plan.size


@pytest.mark.parametrize(
    ("layer", "why"),
    [(GroupNorm(2), "GroupNorm and LayerNorm cannot be written in int8"), (PReLU(per_channel=True), "one slope for all")],
)
def test_what_integers_cannot_express_is_refused_before_anything_is_written(
    layer: GroupNorm | PReLU, why: str, tmp_path: Path
) -> None:
    program = small(Network([Conv(4, activation=None), layer, GlobalAvgPool(), Linear(2)], (1, 8, 8), 2))
    with pytest.raises(UserError, match=why):
        written(program, tmp_path, int8=True)
    assert list(tmp_path.iterdir()) == []


def test_a_weight_that_fills_a_sum_is_refused() -> None:
    program = small(Network([Flatten(), Linear(2)], (1, 300, 300), 2))
    program = program._replace(operations=(program.operations[0]._replace(weight=np.ones((2, 90_000), np.float32)),))
    with pytest.raises(UserError, match="too many inputs for int8"):
        quantise(program, levels(program, 2))


def test_an_arduino_library_holds_an_example(tmp_path: Path) -> None:
    program = small(PLAIN)
    made = written(program, tmp_path, int8=True, name="mnist_a4", layout="arduino")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")) == [
        *("examples/mnist_a4/mnist_a4.ino", "examples/mnist_a4/test_vectors.h", "library.properties"),
        *("src/mnist_a4.c", "src/mnist_a4.h"),
    ]
    assert "includes=mnist_a4.h" in (tmp_path / "library.properties").read_text()
    assert len(made.answers(levels(program))[0]) == 12


def test_a_layout_that_is_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="layout is 'flat', expected one of plain, arduino"):
        written(small(PLAIN), tmp_path, int8=False, layout="flat")


@pytest.mark.parametrize("int8", [False, True])
def test_without_a_compiler_numpy_answers_and_that_is_said(int8: bool, tmp_path: Path) -> None:
    program = small(PLAIN)
    made = written(program, tmp_path, int8)
    images = levels(program)
    found, by = answers(*made, images)
    assert by == "the C source, built with cc"
    with patch.object(shutil, "which", lambda tool: None):
        without, by = answers(*made, images)
    assert by == "the same in numpy, as no C compiler was found"
    assert without.tolist() == found.tolist() == made.answers(images)[0]


def test_names_are_names_of_c() -> None:
    assert [identifier(name) for name in ("mnist_a4", "int")] == ["mnist_a4", "net_int"]
    assert string('a"b\\?é') == '"a\\042b\\134\\077\\303\\251"'
    assert [number(value) for value in (1, 0.1, -3e-9, 1e20)] == ["1.0f", "0.100000001f", "-3.00000003e-09f", "1.00000002e+20f"]


def test_hostile_texts_compile(tmp_path: Path) -> None:
    program = small(PLAIN)._replace(classes=tuple(f'{number} "\\?/*{"é" * 3}*/ ??/' for number in range(10)))
    write(program, tmp_path, Options("net_x", "ends here */ or /* begins \\", False, levels(program, 1)))
    assert sanitised(tmp_path, tmp_path, "net_x").startswith("1 of 1")
