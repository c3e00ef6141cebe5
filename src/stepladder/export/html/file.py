"""A page as an export: written to a folder, and run from there, by node where it is installed."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from stepladder.export.html.page import NETWORK, check_alike, page, programs
from stepladder.export.html.placing import placing
from stepladder.export.options import Options, Reader
from stepladder.inference.operation import Program
from stepladder.inference.reference import run
from stepladder.spec import UserError

DRIVER = """
const { readFileSync, writeFileSync } = require("node:fs");
const text = readFileSync(process.argv[2], "utf8").split('id="data">')[1].split("</script>")[0];
const [network] = JSON.parse(text).networks;
for (const each of network.operations) [each.weight, each.bias] = [numbers(each.weight), numbers(each.bias)];
const [images, each] = [readFileSync(process.argv[3]), size(network.input)];
const labels = new Uint8Array(images.length / each);
for (let n = 0; n < labels.length; n++) {
  const scores = values(network, images.subarray(n * each, (n + 1) * each)).at(-1);
  labels[n] = scores.indexOf(Math.max(...scores));
}
writeFileSync(process.argv[4], labels);
"""
"""Answers images with the first network of a page: of node, behind the page's own network.js."""


def check(program: Program, options: Options) -> None:
    """Raise UserError where the networks cannot be on one page."""
    check_alike(_readers(program, options))


def write(program: Program, folder: Path, options: Options) -> Sequence[Path]:
    """Write the page."""
    path, lies = folder / f"{options.name}.html", placing(options.training)
    readers = _readers(program, options)
    names = ", ".join(reader.name for reader in readers)
    title = f"{names}: {'draw' if lies else 'show'} one, and see what it is read as"
    path.write_text(page(title, readers, lies, int8=options.int8), "utf-8")
    return [path]


def answers(folder: Path, program: Program, options: Options, images: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], str]:
    """The labels that the page's first network gives to images, and what ran it: the page's own script in node, or, where that is
    not installed, the reference in numpy on the numbers that the page holds."""
    path = folder / f"{options.name}.html"
    if node := shutil.which("node"):
        return _by_node(node, path, images), "the page's script in node"
    first, *_ = programs(path.read_text("utf-8"))
    return run(first, images).argmax(1).astype(np.uint8), "numpy on the page's numbers, as no node was found"


def _readers(program: Program, options: Options) -> tuple[Reader, ...]:
    return options.readers or (Reader(options.name, "", program, {"Network": options.what}),)


def _by_node(node: str, path: Path, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    script = NETWORK.read_text(encoding="utf-8")
    assert script in path.read_text("utf-8")
    with TemporaryDirectory() as made:
        names = [str(Path(made) / name) for name in ("driver.js", "images", "labels")]
        Path(names[0]).write_text(f'"use strict";\n{script}{DRIVER}', "utf-8")
        Path(names[1]).write_bytes(images.tobytes())
        done = subprocess.run([node, names[0], str(path), *names[1:]], capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"{path.name} could not be run by {node}: {done.stderr.strip()[-300:]}")
        return np.fromfile(names[2], np.uint8)
