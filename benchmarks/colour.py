"""Draws a colour data set of CIFAR-10's shape and format: ten figures, in colours that tell nothing, on colours that tell nothing.

    python benchmarks/colour.py FOLDER [--train 50000] [--test 10000]

Writes data_batch_1.bin to data_batch_5.bin, test_batch.bin and batches.meta.txt. The same numbers give the same bytes.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIDE = 32
NAMES = ("disc", "ring", "square", "frame", "diamond", "cross", "saltire", "bars", "columns", "chequer")


def inside(label: int, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which pixels belong to the figure; x and y are measured from its middle, 1 is its radius."""
    near, far = np.minimum(abs(x), abs(y)), np.maximum(abs(x), abs(y))
    return (
        x**2 + y**2 < 1,
        (x**2 + y**2 < 1) & (x**2 + y**2 > 0.3),
        far < 0.85,
        (far < 0.9) & (far > 0.5),
        near + far < 1.1,
        (near < 0.25) & (far < 1),
        (abs(abs(x) - abs(y)) < 0.3) & (far < 0.85),
        (far < 0.9) & (np.floor(y * 2.5) % 2 == 0),
        (far < 0.9) & (np.floor(x * 2.5) % 2 == 0),
        (far < 0.9) & ((np.floor(x * 2.2) + np.floor(y * 2.2)) % 2 == 0),
    )[label]


def drawn(count: int, random: np.random.RandomState) -> NDArray[np.uint8]:
    """Records of CIFAR-10's binary format: (count, 1 + 3 * 32 * 32), the label first."""
    records = np.empty((count, 1 + 3 * SIDE * SIDE), np.uint8)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for record in records:
        label = random.randint(len(NAMES))
        middle, radius, turn = random.uniform(11, 20, 2), random.uniform(6, 11), random.uniform(-0.25, 0.25)
        x, y = (columns - middle[0]) / radius, (rows - middle[1]) / radius
        x, y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
        colours = random.uniform(0, 255, (2, 3))
        while abs(colours[0] - colours[1]).max() < 60:
            colours = random.uniform(0, 255, (2, 3))
        picture = np.where(inside(label, x, y), colours[0][:, None, None], colours[1][:, None, None])
        record[0] = label
        record[1:] = np.clip(picture + random.normal(0, 25, picture.shape), 0, 255).ravel()
    return records


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=50_000)
    parser.add_argument("--test", type=int, default=10_000)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    random = np.random.RandomState(2009)  # the year of CIFAR-10
    for number, batch in enumerate(np.array_split(drawn(given.train, random), 5), start=1):
        (given.folder / f"data_batch_{number}.bin").write_bytes(batch.tobytes())
    (given.folder / "test_batch.bin").write_bytes(drawn(given.test, random).tobytes())
    (given.folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n")


if __name__ == "__main__":
    main()
