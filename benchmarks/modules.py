"""Students' networks (tests/student_networks.py): which engine trains each, and an epoch's time beside PyTorch eager's.

    .venv/bin/python benchmarks/modules.py [ROUNDS]

An epoch is 60,000 images in batches of 128, forward, backward and SGD, worked out from 12 batches a round; native and eager take
turns in one process, on as many threads each; medians over the rounds. Eager trains the module by its own forward.
"""

import statistics
import sys
import time
import warnings
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from student_networks import FOREIGN, INPUT, NETWORKS

from stepladder import networks
from stepladder.engine import native, plain
from stepladder.environment import cores, processor
from stepladder.networks.building import build
from stepladder.networks.reading import built

BATCH, BATCHES, EPOCH = 128, 12, 60_000


def seconds(module: nn.Module, image: tuple[int, int, int]) -> float:
    """Of an epoch."""
    x, labels = torch.randn(BATCH, *image), torch.randint(10, (BATCH,))
    optimizer = torch.optim.SGD([it for it in module.parameters() if it.requires_grad], 0.01, 0.9)
    began = time.perf_counter()
    for _ in range(BATCHES):
        optimizer.zero_grad()
        functional.cross_entropy(module(x), labels).backward()
        optimizer.step()
    return (time.perf_counter() - began) / (BATCH * BATCHES) * EPOCH


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    rounds, threads = int(sys.argv[1]) if len(sys.argv) > 1 else 5, cores()
    native.use_threads(threads)
    torch.set_num_threads(threads)
    print(f"{processor()}, {threads} threads, {native.isa()}, torch {torch.__version__}; medians of {rounds} rounds\n")
    print("| network | images | parameters | engine | s an epoch | eager | times faster |\n|---|---|---|---|---|---|---|")
    for kind in (*NETWORKS, *FOREIGN):
        image = INPUT[kind]
        module = networks.read(kind, image)
        engine, _ = networks.trainer(module, "native")
        generator = torch.Generator()
        trained = build(module, native if engine == "native" else plain, 0.0, generator, 0)
        eager = built(kind, 0).train()
        times: dict[str, list[float]] = {"own": [], "eager": []}
        for _ in range(rounds + 1):
            times["own"].append(seconds(trained, image))
            times["eager"].append(seconds(eager, image))
        own, other = (statistics.median(found[1:]) for found in times.values())
        size = " x ".join(map(str, image))
        print(
            f"| {kind.__name__} | {size} | {module.parameters:,} | {engine} | {own:.1f} | {other:.1f} | {other / own:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
