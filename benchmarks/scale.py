"""What many recorded runs cost: processor seconds and peak memory of the commands that only read them, and the page's size.

Records are made up, without training: those of the built-in ladder's nine steps, whole and with hashes that hold (weights of random
numbers, logits, figures that scatter as real ones do), on a small set of 1,000 test images, or on MNIST's 10,000 with --mnist. Each
command is a process of its own, as a person starts it; seconds are those of the processor, user and system.

- run: `stepladder run` with nothing missing; it writes the report anew. lab.run: the same from Python, without the report
- check: first (no run of this folder was ever verified), and again
- report: first (as check, but that they were verified), and again with nothing changed

    python benchmarks/scale.py                  100, 1,000 and 10,000 runs
    python benchmarks/scale.py 1000 --mnist     with 10,000 test images
    python benchmarks/scale.py --json           as data
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LADDER = "mnist"
IMAGES = 1_000


def images(folder: Path) -> None:
    """A folder of IDX files: ten classes of noise."""
    import numpy as np

    random = np.random.default_rng(0)
    folder.mkdir()
    for part, count in (("train", 2_000), ("t10k", IMAGES)):
        levels = random.integers(0, 256, (count, 28, 28), np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for name, array in ((f"{part}-images-idx3-ubyte", levels), (f"{part}-labels-idx1-ubyte", labels)):
            head = bytes([0, 0, 8, array.ndim]) + b"".join(side.to_bytes(4, "big") for side in array.shape)
            (folder / name).write_bytes(head + array.tobytes())


def make(runs: Path, data: Path | None, count: int) -> None:
    """Write so many records (rounded down to whole seeds), as `records.write` does, but without waiting for the disk."""
    import numpy as np
    from safetensors.numpy import save

    from stepladder import ladders, records
    from stepladder.job import Setup
    from stepladder.records import Epoch, Normalisation, Record
    from stepladder.records.record import encode
    from stepladder.spec import to_data

    ladder, setup = ladders.load(LADDER), Setup(runs, data)
    dataset, random = setup.dataset(10), np.random.default_rng(0)
    labels, n = dataset.test_labels.astype(int), len(dataset.test_labels)
    hard = random.gumbel(size=n)
    past = time.time() - 3600
    for place, step in enumerate(ladder.steps):
        fingerprint, epochs = setup.fingerprint(step), step.recipe.epochs
        for seed in range(count // len(ladder.steps)):
            errors = (0.006 + 0.0005 * place + 0.05 / np.arange(1, epochs + 1) ** 2) * n + random.normal(
                scale=0.0008 * n, size=epochs
            )
            correct = (n - np.maximum(errors, 1)).astype(int).tolist()
            missed = np.argsort(-hard - random.gumbel(scale=0.8, size=n))[: n - correct[-1]]
            answers = labels.copy()
            answers[missed] = (labels[missed] + 1 + random.integers(0, 2, len(missed))) % 10
            logits = random.normal(size=(n, 10)).astype(np.float32)
            logits[np.arange(n), answers] = 9
            confusion = np.bincount(10 * labels + answers, minlength=100).reshape(10, 10)
            history = [
                Epoch(epoch, step.recipe.rate(epoch - 1), 0.5 / epoch, 0.9 + epoch / 1e3, 0.4 / epoch, right / n, right, 1.0)
                for epoch, right in enumerate(correct, start=1)
            ]
            written = {
                "weights": save({"all": random.normal(size=step.network.parameters).astype(np.float32)}),
                "logits": save({"logits": logits}),
            }
            hashes = {name: hashlib.sha256(raw).hexdigest() for name, raw in written.items()}
            record = Record(
                records.SCHEMA, ladder.name, step.id, step.title, seed, fingerprint, "finished", step.network.parameters, epochs,
                history, confusion.tolist(), hashes["weights"], {"processor": "Abacus 3000", "date": "2026-11-23T13:56:21+00:00"},
                to_data(step.network), to_data(step.recipe), dataset.digest, setup.identity(step), step.network.input,
                list(dataset.classes), Normalisation(*map(list, dataset.normalisation())), setup.source(dataset), hashes["logits"],
            )  # fmt: skip
            folder = runs / f"{step.id}-{fingerprint}" / str(seed)
            folder.mkdir(parents=True)
            for name, raw in (*((f"{name}.safetensors", raw) for name, raw in written.items()), ("run.json", encode(record))):
                (folder / name).write_bytes(raw)
                os.utime(folder / name, (past, past))


def measured(command: list[str], folder: Path) -> tuple[float, float]:
    """Processor seconds and peak memory (MB) of a command; raises where it fails otherwise than by its verdict."""
    with (folder / "told").open("wb") as told:
        process = subprocess.Popen(command, cwd=folder, stdout=told, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 1, 3) or b"Traceback" in (folder / "told").read_bytes():
        raise SystemExit(f"{' '.join(command)}:\n{(folder / 'told').read_text()}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def measure(count: int, mnist: bool) -> dict[str, Any]:
    """All figures of so many runs."""
    folder = Path(tempfile.mkdtemp(prefix="scale-"))
    try:
        made = [sys.executable, __file__, str(count), "--make", str(folder), *(["--mnist"] if mnist else [])]
        subprocess.run(made, check=True)
        time.sleep(3)  # what was written a moment ago is verified, and not remembered
        seeds = count // 9
        options = [] if mnist else ["--data", "images"]
        cli = [sys.executable, "-m", "stepladder"]
        lab = (
            f"from stepladder import Lab, ladders; Lab(data={None if mnist else 'images'!r}).run(ladders.load({LADDER!r}), {seeds})"
        )
        commands = {
            "check": [*cli, "check", LADDER, *options],
            "check again": [*cli, "check", LADDER, *options],
            "report": [*cli, "report", LADDER, *options],
            "report again": [*cli, "report", LADDER, *options],
            "run": [*cli, "run", LADDER, "--seeds", str(seeds), *options],
            "lab.run": [sys.executable, "-c", lab],
        }
        found: dict[str, Any] = {"runs": 9 * seeds, "images": 10_000 if mnist else IMAGES}
        for name, command in commands.items():
            seconds, memory = measured(command, folder)
            found[name] = {"seconds": round(seconds, 2), "MB": round(memory)}
            print(f"{found['runs']:>7,} runs  {name:<13} {seconds:7.2f} s {memory:6.0f} MB", file=sys.stderr, flush=True)
        (page,) = folder.glob("runs/*/report.html")
        found["page MB"] = round(page.stat().st_size / 1e6, 2)
        print(f"{found['runs']:>7,} runs  page {found['page MB']} MB", file=sys.stderr, flush=True)
        return found
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", nargs="*", type=int, default=[100, 1_000, 10_000], help="how many runs")
    parser.add_argument("--mnist", action="store_true", help="on MNIST: 10,000 test images")
    parser.add_argument("--json", action="store_true", help="print data")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        data = None if given.mnist else given.make / "images"
        if data:
            images(data)
        os.chdir(given.make)
        make(Path("runs"), data and Path("images"), given.counts[0])
        return
    found = [measure(count, given.mnist) for count in given.counts]
    if given.json:
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
