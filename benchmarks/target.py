"""Seconds from a cold start to 99.4 % on MNIST: from the start of a process to the end of the first epoch after which the
test set is answered right to that share.

Both engines train the same recipe with the same seeds, on as many threads, in turn, each run in a process of its own. That
is the whole time a person waits: starting Python, importing torch, reading the images, training, and testing after every epoch.

    python benchmarks/target.py              5 seeds, 2 threads
    python benchmarks/target.py --engines native
    python benchmarks/target.py --json       as data
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any

ACCURACY = 0.994


def climb(engine: str, seed: int, threads: int) -> None:
    """Train until the target is reached or the recipe ends, printing each epoch's test accuracy; in a process of its own."""
    import torch

    from stepladder import EMA, Affine, OneCycle, Recipe, data, state
    from stepladder.engine import plain
    from stepladder.ladders.mnist import a
    from stepladder.train import ENGINES, Images, Streams, fit

    recipe = Recipe(
        epochs=8,
        batch_size=64,
        schedule=OneCycle(peak=0.1, warmup=0.2),
        weight_decay=5e-4,
        augmentation=Affine(rotate=10),
        averaging=EMA(0.99),
    )
    ENGINES[engine].use_threads(threads)
    found = data.load()
    train, train_labels, test, test_labels = (
        torch.from_numpy(array) for array in (found.train_images, found.train_labels, found.test_images, found.test_labels)
    )
    images = Images(ENGINES[engine], train, train_labels.long(), test, test_labels.long(), *found.normalisation())
    dropout = torch.Generator()
    model = ENGINES[engine].build(a, recipe.dropout, dropout)
    plain.initialise(model, seed)
    for epoch in fit(state.begin(model, recipe), recipe, images, Streams(seed, dropout)):
        print(epoch.test_accuracy, flush=True)
        if epoch.test_accuracy >= ACCURACY:
            return


def measure(engine: str, seed: int, threads: int) -> dict[str, Any]:
    """One run: its epochs' accuracies, and the seconds until the target was reached (None: it was not)."""
    began = time.perf_counter()
    command = [sys.executable, __file__, "--climb", engine, "--seed", str(seed), "--threads", str(threads)]
    accuracies, seconds = [], None
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            accuracies.append(float(line))
            if accuracies[-1] >= ACCURACY:
                seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} exited with {process.returncode}")
    return {"engine": engine, "seed": seed, "threads": threads, "seconds": seconds, "accuracies": accuracies}


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--engines", default="native,torch", help="engines, separated by commas")
    options.add_argument("--seeds", type=int, default=5, help="how many seeds")
    options.add_argument("--threads", type=int, default=2, help="threads of a run")
    options.add_argument("--json", action="store_true", help="print data")
    options.add_argument("--climb", help=argparse.SUPPRESS)
    options.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.climb:
        climb(chosen.climb, chosen.seed, chosen.threads)
        return
    engines = chosen.engines.split(",")
    runs = [measure(engine, seed, chosen.threads) for seed in range(chosen.seeds) for engine in engines]
    if chosen.json:
        print(json.dumps(runs, indent=1))
        return
    print(f"| engine | seeds at {ACCURACY:.1%} | seconds from a cold start, mean ± sd | epochs |\n|---|---|---|---|")
    for engine in engines:
        own = [run for run in runs if run["engine"] == engine]
        times = [run["seconds"] for run in own if run["seconds"]]
        epochs = ", ".join(str(len(run["accuracies"])) for run in own)
        spread = f"{statistics.mean(times):.1f} ± {statistics.stdev(times):.1f}" if len(times) > 1 else f"{times}"
        print(f"| {engine} | {len(times)} of {len(own)} | {spread} | {epochs} |")


if __name__ == "__main__":
    main()
