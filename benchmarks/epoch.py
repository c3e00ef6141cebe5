"""Training speed of the native engine against PyTorch eager, as ratios taken in one run.

Both engines do the whole loop of a step (`stepladder.train.fit`: rotation, dropout, loss, optimizer) on the same images, in
turn, A B A B, and medians are reported: of processor time where there is one thread, for a machine that is shared, else of time
that passed. Each engine evaluates in the batches that it is fastest with.

Shares are of what this machine reaches, measured between the rounds: of its multiply-adds in registers, over forward, gradient
and weight gradient of every convolution (none for the first layer's input), and of the time that a copy in memory takes for what
must go there and back (`traffic`). They are the engine's, without augmentation, loss, optimizer and averaging.

    python benchmarks/epoch.py                                       A and B of the built-in ladder, 1 and 2 threads
    python benchmarks/epoch.py --ladder mnist-smallest --steps S2,S4,F1
    python benchmarks/epoch.py --quick                               on fewer images, within a minute
    python benchmarks/epoch.py --layers                              also where the native engine's time goes
    python benchmarks/epoch.py --busy 1                              beside a process that does nothing but hold a core
    python benchmarks/epoch.py --json                                as data
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from math import prod
from multiprocessing import get_context
from typing import Any, NamedTuple

import torch

from stepladder import data, ladders, state
from stepladder.anatomy import Row, anatomy
from stepladder.engine import native, plain
from stepladder.engine.kernels import lower
from stepladder.environment import cores, processor
from stepladder.steps import Step
from stepladder.train import ENGINES, Images, Streams, fit, infer

EPOCH = 60_000
BATCHES = (100, 250, 1_000)  # of an evaluation; the last is that of `stepladder.train`


@cache
def images(engine: str, count: int, tests: int) -> Images:
    """The first `count` training and `tests` test images, for an engine."""
    found = data.load()
    arrays = (found.train_images[:count], found.train_labels[:count], found.test_images[:tests], found.test_labels[:tests])
    train, train_labels, test, test_labels = map(torch.from_numpy, arrays)
    return Images(ENGINES[engine], train, train_labels.long(), test, test_labels.long(), *found.normalisation())


def model_for(step: Step, engine: str) -> tuple[torch.nn.Module, Streams]:
    """A fresh model of a step, on as many threads as torch has now."""
    dropout = torch.Generator()
    model = ENGINES[engine].build(step.network, step.recipe.dropout, dropout)
    plain.initialise(model, 0)
    return model, Streams(0, dropout)


def clock(threads: int) -> float:
    """Seconds of this thread where it does all the work, else of the wall."""
    return time.thread_time() if threads == 1 else time.perf_counter()


class Times(NamedTuple):
    """Seconds of training for one epoch of 60,000, of the engine in it, and of an evaluation of 10,000."""

    train: float
    engine: float
    evaluation: float


def seconds(step: Step, engine: str, threads: int, count: int) -> tuple[Times, list[tuple[float, float]]]:
    """Measured over `count` images and a sixth of them; with those that each layer of the native engine took, both ways."""
    ENGINES[engine].use_threads(threads)
    source = images(engine, count, count // 6)
    model, streams = model_for(step, engine)
    recipe = replace(step.recipe, epochs=1)
    infer(model, source.test[:100], source)  # threads and buffers are there from now on
    evaluations = []
    for batch in BATCHES:
        began = clock(threads)
        infer(model, source.test, source, batch)
        evaluations.append(clock(threads) - began)
    epochs = fit(state.begin(model, recipe), recipe, source, streams)
    began, watched = time.perf_counter(), clock(threads)
    next(epochs)
    taken = clock(threads) - watched
    share = taken / (time.perf_counter() - began)  # of the time that passed, which is what the engine counts
    train = taken - evaluations[-1]
    layers = model.run.engine.take_seconds() if engine == "native" else []  # type: ignore[union-attr, operator]
    within = sum(map(sum, layers)) * share / threads
    return Times(train * EPOCH / count, within * EPOCH / count, min(evaluations) * 10_000 / len(source.test)), layers


def traffic(step: Step) -> float:
    """Bytes that an image's training moves between the cores and the memory that holds a batch, at least.

    What a layer with a norm gives is written, read by the next layer, in backward by that and by its own norm, and its gradient is
    written and read. What one without a norm gives is written and read again in backward: all else is done in the cache.
    """
    passes = [(6 if kernel.norm else 2) * prod(kernel.output) for kernel in lower(step.network, step.recipe.dropout)]
    return 4.0 * (2 * prod(step.network.input) + sum(passes))


def copied() -> float:
    """Bytes a second that one thread's copying of 16 MB reads and writes."""
    source, target = torch.zeros(2**22), torch.zeros(2**22)
    times = []
    for _ in range(9):
        began = time.thread_time()
        target.copy_(source)
        times.append(time.thread_time() - began)
    return 2 * 4 * source.numel() / statistics.median(times)


def training_macs(rows: list[Row], step: Step) -> int:
    """Multiply-adds of one image: forward, weight gradient, and the gradient of what entered (not for the first layer)."""
    return sum(row.macs * (2 if row.input == step.network.input else 3) for row in rows)


def compare(step: Step, threads: int, count: int, rounds: int) -> dict[str, Any]:
    """Both engines in turn on one network; medians."""
    found: dict[str, list[Times]] = {"native": [], "torch": []}
    peaks, copies = [], []
    for _ in range(rounds):
        for engine, times in found.items():
            times.append(seconds(step, engine, threads, count)[0])
            began, watched = time.perf_counter(), clock(threads)
            measured = native.extension().peak(native.isa(), threads)
            peaks.append(measured * (time.perf_counter() - began) / (clock(threads) - watched))
            copies.append(threads * copied())
    own, other = (Times(*map(statistics.median, zip(*times, strict=True))) for times in found.values())
    peak, copying = statistics.median(peaks), statistics.median(copies)
    gflop = 2e-9 * training_macs(anatomy(step.network), step) * EPOCH
    return {
        "network": step.id,
        "parameters": step.network.parameters,
        "threads": threads,
        "images": count,
        "rounds": rounds,
        "native_seconds": own.train,
        "engine_seconds": own.engine,
        "torch_seconds": other.train,
        "ratio": other.train / own.train,
        "peak_gflops": peak,
        "peak_share": gflop / own.train / peak,
        "engine_peak_share": gflop / own.engine / peak,
        "memory_share": traffic(step) * EPOCH / copying / own.engine,
        "native_evaluation_seconds": own.evaluation,
        "torch_evaluation_seconds": other.evaluation,
        "evaluation_ratio": other.evaluation / own.evaluation,
    }


def layers(step: Step, count: int) -> list[dict[str, Any]]:
    """Where the native engine's time goes, on one thread: milliseconds a batch for each layer, forward and backward."""
    _, taken = seconds(step, "native", 1, count)
    batches = -(-count // step.recipe.batch_size)
    rows = [row for row in anatomy(step.network) if row.operation != "flatten"]
    return [
        {
            "layer": row.operation,
            "output": row.output,
            "forward_ms": 1e3 * forward / batches,
            "backward_ms": 1e3 * backward / batches,
        }
        for row, (forward, backward) in zip(rows, taken, strict=False)
    ]


def _work(step: Step, count: int) -> float:
    return seconds(step, "native", 1, count)[0].train


def processes(step: Step, count: int, rounds: int) -> float:
    """Throughput of two processes of one thread each, against one."""
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        list(pool.map(_work, [step] * 2, [count // 4] * 2))  # both are up
        ratios = []
        for _ in range(rounds):
            alone = pool.submit(_work, step, count).result()
            both = [job.result() for job in [pool.submit(_work, step, count) for _ in range(2)]]
            ratios.append(sum(alone / time for time in both))
    return statistics.median(ratios)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that hold a core each, as far as they get it."""
    held = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in held:
            process.kill()
            process.wait()


MEMORY = """
import re, torch
from pathlib import Path
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
before = peak()
from tempfile import TemporaryDirectory
from stepladder import ladders
from stepladder.job import Job, Setup
from stepladder.train import train
with TemporaryDirectory() as runs:
    train(Job("mnist", ladders.load("mnist").with_epochs(1).step("A4"), 0, Setup(Path(runs))))
print(peak() - before)
"""


def memory() -> float:
    """MB that a training process needs at most above `import torch`, over one epoch of A on all images. Linux only."""
    return float(subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--ladder", default="mnist", help="a built-in ladder or a Python file")
    options.add_argument("--steps", default="A4,B4", help="step ids, separated by commas")
    options.add_argument("--threads", default="1,2", help="numbers of threads, separated by commas")
    options.add_argument("--images", type=int, help="images an epoch is measured on (default 60,000; --quick 3,840)")
    options.add_argument("--rounds", type=int, help="how often the engines take turns (default 5; --quick 3)")
    options.add_argument("--quick", action="store_true", help="within a minute")
    options.add_argument("--layers", action="store_true", help="where the native engine's time goes")
    options.add_argument("--busy", type=int, default=0, help="processes that hold a core meanwhile")
    options.add_argument("--json", action="store_true", help="print data")
    chosen = options.parse_args()
    count = chosen.images or (3_840 if chosen.quick else EPOCH)
    rounds = chosen.rounds or (3 if chosen.quick else 5)
    ladder = ladders.load(chosen.ladder)
    steps = [ladder.step(name) for name in chosen.steps.split(",")]
    threads = [int(number) for number in chosen.threads.split(",")]
    with busy(chosen.busy):
        found = [compare(step, number, count, rounds) for step in steps for number in threads]
    if chosen.json:
        print(json.dumps(found, indent=1))
        return
    beside = f", beside {chosen.busy} that hold a core each" if chosen.busy else ""
    machine = f"{processor()}, {cores()} cores{beside}, {native.isa()}, torch {torch.__version__}"
    print(f"{machine}; {rounds} rounds of {count:,} images each\n")
    print("| network | threads | native, s an epoch | PyTorch eager | ratio | engine | of FMA peak | of memory bound | tests |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in found:
        times = f"{row['native_seconds']:.2f} | {row['torch_seconds']:.1f} | {row['ratio']:.1f}x | {row['engine_seconds']:.2f}"
        shares = f"{row['engine_peak_share']:.0%} of {row['peak_gflops']:.0f} GFLOP/s | {row['memory_share']:.0%}"
        name = f"{row['network']} ({row['parameters']:,}) | {row['threads']}"
        print(f"| {name} | {times} | {shares} | {row['evaluation_ratio']:.1f}x |")
    if not chosen.quick:
        print(f"\nTwo processes of one thread against one: {processes(steps[0], count, rounds):.2f}x the work")
        if sys.platform == "linux":
            print(f"Memory of a training process above `import torch`: {memory():.0f} MB")
    for step in steps if chosen.layers else []:
        print(f"\n{step.id}, ms a batch on one thread:")
        for part in layers(step, count):
            shape = " x ".join(map(str, part["output"]))
            print(f"  {part['layer']:<22} {shape:>12}  forward {part['forward_ms']:6.3f}  backward {part['backward_ms']:6.3f}")


if __name__ == "__main__":
    main()
