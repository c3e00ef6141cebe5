"""Trains on more images than memory should hold twice: 200,000 colour images of 64 x 64, two runs at the same time.

The workers map the images that the first process decoded and kept beside the runs. Printed is the most memory that each process had
of its own, and the most that it mapped of files. Linux only.

    python benchmarks/large.py
    python benchmarks/large.py --images 20000
"""

import argparse
import re
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import readers

import stepladder as sl
from stepladder import Budget, Conv, GlobalAvgPool, Ladder, MaxPool, Network, Recipe, Step
from stepladder.environment import cores, processor

NETWORK = Network([Conv(8, stride=2), MaxPool(2), Conv(10, kernel=1, activation=None), GlobalAvgPool()], input=readers.LARGE[1:])
LADDER = Ladder("large", Budget(parameters=1_000, epochs=1, accuracy=0.5, hold=1), [Step("Plain", NETWORK, Recipe(epochs=1))])


def workers() -> list[Path]:
    """The process folders of this process' workers, which Python's tracker of shared memory is not."""
    own = Path("/proc/self/task")
    found = [child for task in own.iterdir() for child in (task / "children").read_text().split()]
    return [Path("/proc", child) for child in found if "resource_tracker" not in Path("/proc", child, "cmdline").read_text()]


def watched(stop: threading.Event) -> dict[str, dict[str, float]]:
    """The most MB that each worker had of its own and of files, by its process number, looked at until told to stop."""
    most: dict[str, dict[str, float]] = {}
    while not stop.wait(0.2):
        try:
            for folder in workers():
                status = (folder / "status").read_text()
                now = {name: int(size) * 1024 / 1e6 for name, size in re.findall(r"(RssAnon|RssFile):\s+(\d+)", status)}
                before = most.setdefault(folder.name, now)
                most[folder.name] = {name: max(size, before[name]) for name, size in now.items()}
        except FileNotFoundError:  # it has just ended
            continue
    return most


def main() -> None:
    """Print what was seen."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, default=readers.LARGE[0], help="how many images to train on")
    count = options.parse_args().images
    readers.LARGE = (count, *readers.LARGE[1:])
    stop, seen = threading.Event(), list[dict[str, dict[str, float]]]()
    with TemporaryDirectory() as folder:
        (arrays := Path(folder, "arrays")).mkdir()
        readers.write_large(arrays)
        watcher = threading.Thread(target=lambda: seen.append(watched(stop)))
        watcher.start()
        result = sl.Lab(Path(folder, "runs"), data=arrays, workers=2).run(LADDER, seeds=2, progress=False)
        stop.set()
        watcher.join()
        seconds = [result["plain"].run(seed).history[0].seconds for seed in range(2)]
    print(f"{processor()}, {cores()} cores, {time.strftime('%Y-%m-%d')}; {count:,} images, {np.prod(readers.LARGE) / 1e9:.2f} GB")
    print(f"an epoch in {' and '.join(f'{each:.0f}' for each in seconds)} s, two runs at the same time")
    for number, most in seen[0].items():
        print(f"worker {number}: {most['RssAnon']:,.0f} MB of its own, {most['RssFile']:,.0f} MB mapped")


if __name__ == "__main__":
    main()
