"""Training speed of the native engine against PyTorch eager, as ratios taken in one run.

Both engines do the whole loop of a step (`stepladder.train.fit`: rotation, dropout, loss, optimizer) on the same images, in
turn, A B A B, and medians are reported. Shares are of the multiply-adds a second that this machine reaches in registers,
measured in the same run, over forward, gradient and weight gradient of every convolution (none for the first layer's input).

    python benchmarks/epoch.py            A and B of the built-in ladder, 1 and 2 threads
    python benchmarks/epoch.py --quick    the same on fewer images, within a minute
    python benchmarks/epoch.py --layers   also where the native engine's time goes
    python benchmarks/epoch.py --json     as data
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from typing import Any

import torch

from stepladder import data, ladders, state
from stepladder.anatomy import Row, anatomy
from stepladder.engine import native, plain
from stepladder.environment import cores, processor
from stepladder.steps import Step
from stepladder.train import ENGINES, Images, Streams, fit, infer

EPOCH = 60_000


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


def seconds(step: Step, engine: str, threads: int, count: int) -> tuple[float, float, torch.nn.Module]:
    """Seconds of training for one epoch of 60,000 and of an evaluation of 10,000, measured over `count` and a sixth of them."""
    ENGINES[engine].use_threads(threads)
    source = images(engine, count, count // 6)
    model, streams = model_for(step, engine)
    recipe = replace(step.recipe, epochs=1)
    infer(model, source.test[:100], source)  # threads and buffers are there from now on
    began = time.perf_counter()
    infer(model, source.test, source)
    evaluation = time.perf_counter() - began
    (epoch,) = fit(state.begin(model, recipe), recipe, source, streams)
    return (epoch.seconds - evaluation) * EPOCH / count, evaluation * 10_000 / len(source.test), model


def training_macs(rows: list[Row], step: Step) -> int:
    """Multiply-adds of one image: forward, weight gradient, and the gradient of what entered (not for the first layer)."""
    return sum(row.macs * (2 if row.input == step.network.input else 3) for row in rows)


def compare(step: Step, threads: int, count: int, rounds: int) -> dict[str, Any]:
    """Both engines in turn on one network; medians."""
    peak = max(native.extension().peak(native.isa(), threads) for _ in range(3))
    found: dict[str, list[tuple[float, float]]] = {"native": [], "torch": []}
    for _ in range(rounds):
        for engine, times in found.items():
            train, evaluation, _ = seconds(step, engine, threads, count)
            times.append((train, evaluation))
    train = {engine: statistics.median(time for time, _ in times) for engine, times in found.items()}
    evaluation = {engine: statistics.median(time for _, time in times) for engine, times in found.items()}
    gflop = 2e-9 * training_macs(anatomy(step.network), step) * EPOCH
    return {
        "network": step.id,
        "parameters": step.network.parameters,
        "threads": threads,
        "images": count,
        "rounds": rounds,
        "native_seconds": train["native"],
        "torch_seconds": train["torch"],
        "ratio": train["torch"] / train["native"],
        "peak_gflops": peak,
        "peak_share": gflop / train["native"] / peak,
        "native_evaluation_seconds": evaluation["native"],
        "torch_evaluation_seconds": evaluation["torch"],
        "evaluation_ratio": evaluation["torch"] / evaluation["native"],
    }


def layers(step: Step, count: int) -> list[dict[str, Any]]:
    """Where the native engine's time goes, on one thread: milliseconds a batch for each layer, forward and backward."""
    _, _, model = seconds(step, "native", 1, count)
    batches = -(-count // step.recipe.batch_size)
    rows = [row for row in anatomy(step.network) if row.operation != "flatten"]
    taken = model.run.engine.take_seconds()  # type: ignore[union-attr, operator]
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
    return seconds(step, "native", 1, count)[0]


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
    options.add_argument("--json", action="store_true", help="print data")
    chosen = options.parse_args()
    count = chosen.images or (3_840 if chosen.quick else EPOCH)
    rounds = chosen.rounds or (3 if chosen.quick else 5)
    ladder = ladders.load(chosen.ladder)
    steps = [ladder.step(name) for name in chosen.steps.split(",")]
    threads = [int(number) for number in chosen.threads.split(",")]
    found = [compare(step, number, count, rounds) for step in steps for number in threads]
    if chosen.json:
        print(json.dumps(found, indent=1))
        return
    print(f"{processor()}, {cores()} cores, {native.isa()}, torch {torch.__version__}; {rounds} rounds of {count:,} images each\n")
    print("| network | threads | native, s an epoch | PyTorch eager | ratio | share of FMA peak | evaluation ratio |")
    print("|---|---|---|---|---|---|---|")
    for row in found:
        network, share = f"{row['network']} ({row['parameters']:,})", f"{row['peak_share']:.0%} of {row['peak_gflops']:.0f} GFLOP/s"
        times = f"{row['native_seconds']:.2f} | {row['torch_seconds']:.1f} | {row['ratio']:.1f}x"
        print(f"| {network} | {row['threads']} | {times} | {share} | {row['evaluation_ratio']:.1f}x |")
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
