"""What it takes to read images of each format, at the size its users have, and to train on more of them than memory should hold.

Each format is made in a temporary folder and read by processes of their own, just after it was written: no disk is waited for.
Seconds are the processor's in `stepladder.data.read`, which uses one, so that other work on the machine does not count; memory
is the most that a process had, above that after the import. Medians. Linux only.

    python benchmarks/readers.py            all formats, three times each
    python benchmarks/readers.py --only CSV --rounds 1
    python benchmarks/readers.py --mapped   200,000 colour images of 64 x 64, kept, then read by two processes at the same time
    python benchmarks/readers.py --json     as data
"""

import argparse
import gzip
import io
import json
import pickle
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from colour import NAMES, SIDE, drawn
from numpy.typing import NDArray
from PIL import Image

from stepladder import data
from stepladder.environment import cores, processor

Array = NDArray[np.uint8]
LARGE = (200_000, 3, 64, 64)
BATCH = 128


def grey(count: int) -> tuple[Array, Array]:
    """So many of MNIST's training images (n, height, width), from the first again after the last, and their labels."""
    found = data.load()
    chosen = np.arange(count) % len(found.train_labels)
    return found.train_images[chosen, 0], found.train_labels[chosen]


def colour(count: int, different: int = 10_000) -> tuple[Array, Array]:
    """So many drawn images (n, 3, 32, 32), of which some thousands differ, and their labels."""
    records = drawn(min(count, different), np.random.RandomState(0))
    chosen = np.arange(count) % len(records)
    return records[chosen, 1:].reshape(-1, 3, SIDE, SIDE), records[chosen, 0]


def pictures(count: int, kind: str) -> list[tuple[bytes, int]]:
    """Files of drawn images of 64 x 64, and their labels."""
    images, labels = colour(count, count)
    files = []
    for image, label in zip(images, labels.tolist(), strict=True):
        file = io.BytesIO()
        Image.fromarray(np.moveaxis(image, 0, -1)).resize((64, 64), Image.Resampling.BICUBIC).save(file, kind)
        files.append((file.getvalue(), label))
    return files


def embedded(folder: Path) -> Path:
    """MNIST, four packed IDX files."""
    return data.EMBEDDED


def emnist(folder: Path) -> Path:
    """As many images as EMNIST's balanced set has, in packed IDX files of its names."""
    for part, count in (("train", 112_800), ("test", 18_800)):
        images, labels = grey(count)[0], (np.arange(count) % 47).astype(np.uint8)
        for role, kind, array in (("images", 3, images), ("labels", 1, labels)):
            header = bytes([0, 0, 8, kind]) + np.array(array.shape, ">u4").tobytes()
            path = folder / f"emnist-balanced-{part}-{role}-idx{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(header + array.tobytes(), 6))
    return folder


def kaggle(folder: Path) -> Path:
    """train.csv of Kaggle's digit recogniser: a header, and 42,000 lines of a label and 784 pixels."""
    images, labels = grey(42_000)
    header = ",".join(["label", *(f"pixel{number}" for number in range(784))])
    np.savetxt(folder / "train.csv", np.column_stack([labels, images.reshape(-1, 784)]), "%d", ",", header=header, comments="")
    return folder / "train.csv"


def keras(folder: Path) -> Path:
    """An archive like Keras' mnist.npz."""
    (images, labels), (test_images, test_labels) = grey(60_000), grey(10_000)
    np.savez_compressed(folder / "mnist.npz", x_train=images, y_train=labels, x_test=test_images, y_test=test_labels)
    return folder / "mnist.npz"


def medmnist(folder: Path) -> Path:
    """An archive of as many colour images of 28 x 28 as MedMNIST's PathMNIST has."""
    arrays = {}
    for part, count in (("train", 89_996), ("val", 10_004), ("test", 7_180)):
        images, labels = colour(count)
        arrays |= {f"{part}_images": np.moveaxis(images[:, :, 2:-2, 2:-2], 1, -1), f"{part}_labels": labels[:, None]}
    np.savez_compressed(folder / "pathmnist.npz", allow_pickle=False, **arrays)
    return folder / "pathmnist.npz"


def cifar_binary(folder: Path) -> Path:
    """CIFAR-10's six binary files."""
    for name, images, labels in _cifar():
        (folder / f"{name}.bin").write_bytes(np.column_stack([labels, images]).tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(NAMES))
    return folder


def cifar_python(folder: Path) -> Path:
    """CIFAR-10's six Python batches, pickled as Python 2 did it."""
    for name, images, labels in _cifar():
        _pickle(folder / name, {b"data": images, b"labels": labels.tolist()})
    _pickle(folder / "batches.meta", {b"label_names": [name.encode() for name in NAMES]})
    return folder


def _pickle(path: Path, batch: dict[bytes, Any]) -> None:
    with path.open("wb") as file:
        pickler = pickle._Pickler(file, 2)
        text = {bytes: lambda self, value: self.write(b"T" + len(value).to_bytes(4, "little") + value)}  # BINSTRING
        pickler.dispatch = pickler.dispatch | text
        pickler.dump(batch)


def _cifar() -> list[tuple[str, Array, Array]]:
    images, labels = colour(60_000)
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    return list(zip(names, np.split(images.reshape(-1, 3 * SIDE * SIDE), 6), np.split(labels, 6), strict=True))


def svhn(folder: Path) -> Path:
    """As many images as SVHN's two packed MATLAB files have."""
    from scipy.io import savemat

    for part, count in (("train", 73_257), ("test", 26_032)):
        images, labels = colour(count)
        arrays = {"X": images.transpose(2, 3, 1, 0), "y": np.where(labels == 0, 10, labels)[:, None]}
        savemat(folder / f"{part}_32x32.mat", arrays, do_compression=True)
    return folder


def png(folder: Path) -> Path:
    """A folder of 4,000 colour PNGs of 64 x 64, in one folder a class."""
    for number, (file, label) in enumerate(pictures(4_000, "png")):
        path = folder / NAMES[label] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(file)
    return folder


def parquet(folder: Path) -> Path:
    """A parquet file of 4,000 colour JPEGs of 64 x 64, as on Hugging Face."""
    import pyarrow
    import pyarrow.parquet

    files = pictures(4_000, "jpeg")
    table = {"image": [{"bytes": file, "path": None} for file, _ in files], "label": [label for _, label in files]}
    pyarrow.parquet.write_table(pyarrow.table(table), folder / "train-00000-of-00001.parquet")
    return folder


FORMATS: dict[str, Callable[[Path], Path]] = {
    "IDX, packed (the embedded MNIST)": embedded,
    "IDX, packed (EMNIST balanced)": emnist,
    "CSV (Kaggle's digit recogniser)": kaggle,
    "npz (Keras' MNIST)": keras,
    "npz (MedMNIST, colour)": medmnist,
    "CIFAR-10, binary": cifar_binary,
    "CIFAR-10, Python batches": cifar_python,
    "SVHN, MATLAB": svhn,
    "folder of PNGs": png,
    "parquet of JPEGs": parquet,
}
"""Each format, as the table calls it, and what makes it in a folder and tells the path to read."""


def memory(name: str) -> float:
    """MB of this process by a line of its status: VmHWM is the most it had, RssAnon what is its own now. (What getrusage calls
    the most may be the process' that started it.)"""
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024 / 1e6


def read(path: Path) -> dict[str, Any]:
    """One reading, in this process."""
    before, began = memory("VmHWM"), time.process_time()
    found = data.read(path)
    seconds = time.process_time() - began
    parts = [part.images for part in (found.train, found.validation, found.test) if part]
    shape, count = found.train.images.shape[1:], sum(map(len, parts))
    megabytes = sum(part.nbytes for part in parts) / 1e6
    return {"images": count, "shape": shape, "megabytes": megabytes, "seconds": seconds, "peak": memory("VmHWM") - before}


def measure(name: str, rounds: int) -> dict[str, Any]:
    """A format read so many times, each by a process of its own; medians."""
    with TemporaryDirectory() as folder:
        path = FORMATS[name](Path(folder))
        found = [json.loads(_called("--read", str(path))) for _ in range(rounds)]
    medians = {figure: statistics.median(each[figure] for each in found) for figure in ("seconds", "peak")}
    return {"format": name, **found[0], **medians, "rounds": rounds}


def write_large(folder: Path) -> None:
    """Arrays of LARGE training images and a thousand test images, of noise, a few at a time."""
    random = np.random.default_rng(0)
    for part, count in (("train", LARGE[0]), ("test", 1_000)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        np.save(folder / f"y_{part}.npy", labels)
        images = np.lib.format.open_memmap(folder / f"x_{part}.npy", "w+", np.uint8, (count, *LARGE[1:]))
        for first in range(0, count, 1_000):
            images[first : first + 1_000] = random.integers(0, 256, (min(count - first, 1_000), *LARGE[1:]), np.uint8)


def keep(folder: Path) -> dict[str, float]:
    """Decode the large arrays to where they are mapped, in this process."""
    began = time.process_time()
    data.keep(folder / "arrays", data.AS_IS, folder / "kept")
    return {"seconds": time.process_time() - began, "peak": memory("VmHWM")}


def go_through(folder: Path, seed: int) -> dict[str, float]:
    """One epoch over the kept images in shuffled batches, each turned to floats, in this process."""
    dataset = data.load(folder / "arrays", data.AS_IS, folder / "kept")
    order = np.random.default_rng(seed).permutation(len(dataset.train_labels))
    began, own, total = time.process_time(), 0.0, 0.0
    for first in range(0, len(order), BATCH):
        total += float(dataset.train_images[order[first : first + BATCH]].astype(np.float32).mean())
        own = max(own, memory("RssAnon"))
    return {"seconds": time.process_time() - began, "own": own, "mapped": memory("RssFile"), "mean": total}


def mapped() -> dict[str, Any]:
    """The large images kept by one process, then gone through by two at the same time."""
    with TemporaryDirectory() as folder:
        (arrays := Path(folder, "arrays")).mkdir()
        write_large(arrays)
        kept = json.loads(_called("--keep", folder))
        commands = [[sys.executable, __file__, "--go-through", folder, "--seed", str(seed)] for seed in range(2)]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
        told = [process.communicate()[0] for process in both]
    if any(process.returncode for process in both):
        raise SystemExit("a process failed")
    return {"keep": kept, "processes": [json.loads(each) for each in told]}


def _called(*arguments: str) -> str:
    return subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout


def _text(found: Any, rounds: int) -> str:
    """The table of the formats, or the lines of the large images, with the machine and the date."""
    machine = f"{processor()}, {cores()} cores, numpy {np.__version__}, Pillow {Image.__version__}, {time.strftime('%Y-%m-%d')}"
    if isinstance(found, list):
        lines = [f"{machine}; medians of {rounds}", "", "| format | images | as levels, MB | processor, s | peak memory, MB |"]
        lines.append("|---|---|---|---|---|")
        for row in found:
            images = f"{row['images']:,} of {' x '.join(map(str, row['shape']))}"
            lines.append(f"| {row['format']} | {images} | {row['megabytes']:.0f} | {row['seconds']:.2f} | {row['peak']:.0f} |")
        return "\n".join(lines)
    kept, (one, other) = found["keep"], found["processes"]
    images = f"{LARGE[0]:,} of {' x '.join(map(str, LARGE[1:]))} ({np.prod(LARGE) / 1e9:.2f} GB)"
    return (
        f"{machine}; {images}\n\nkept once: {kept['seconds']:.1f} s of the processor, at most {kept['peak']:,.0f} MB\n"
        f"an epoch in shuffled batches of {BATCH}, two processes: {one['seconds']:.1f} and {other['seconds']:.1f} s of it;\n"
        f"memory of their own: {one['own']:.0f} and {other['own']:.0f} MB (mapped, which they share: {one['mapped']:,.0f} MB)"
    )


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", default="", help="formats whose names have this in them")
    options.add_argument("--rounds", type=int, default=3, help="how often each is read")
    options.add_argument("--mapped", action="store_true", help="200,000 images, kept and shared")
    options.add_argument("--json", action="store_true", help="print data")
    options.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--keep", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--go-through", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.read:
        print(json.dumps(read(chosen.read)))
    elif chosen.keep:
        print(json.dumps(keep(chosen.keep)))
    elif chosen.go_through:
        print(json.dumps(go_through(chosen.go_through, chosen.seed)))
    else:
        found = mapped() if chosen.mapped else [measure(name, chosen.rounds) for name in FORMATS if chosen.only in name]
        print(json.dumps(found, indent=1) if chosen.json else _text(found, chosen.rounds))


if __name__ == "__main__":
    main()
