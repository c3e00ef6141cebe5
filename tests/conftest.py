"""What several test files share: one torch thread, a small real MNIST on disk, and drawn networks."""

import gzip
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from inline import Inline
from numpy.typing import NDArray

from stepladder import (
    AvgPool,
    BlurPool,
    Branch,
    Concat,
    Conv,
    Excite,
    Flatten,
    GlobalAvgPool,
    Linear,
    MaxPool,
    Multiply,
    Network,
    Residual,
    SpecError,
    data,
)
from stepladder.engine import native
from stepladder.spec import Join, Layer, Shape

if TYPE_CHECKING:
    from chromium import Open
    from playwright.sync_api import Browser

    from stepladder import Ladder
    from stepladder.job import Setup

# The same examples every time, however slow and busy the machine is.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")

FUZZ = int(os.environ.get("STEPLADDER_FUZZ", 0))
"""How many examples a fuzz target draws, other ones every time; 0 for the few that belong to the suite."""


def fuzzed(examples: int) -> settings:
    """The settings of a fuzz target with so many examples in the suite."""
    return settings(
        max_examples=FUZZ or examples, derandomize=not FUZZ, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )


@pytest.fixture(scope="module")
def in_process() -> Iterator[None]:
    """Runs train in this process."""
    with patch("stepladder.lab.lab.Workers", Inline):
        yield


IDX_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Whatever ran in this process before: numbers of threads decide how torch rounds."""
    _as_it_was()
    yield
    _as_it_was()


def _as_it_was() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(False)
    native._own_threads = None


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    """The array as an IDX file."""
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def write_idx_folder(folder: Path, arrays: Sequence[NDArray[np.uint8]], *, compressed: bool = False) -> Path:
    """The four files of a data set, under MNIST's names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(IDX_NAMES, arrays, strict=True):
        raw = idx_bytes(array)
        (folder / (f"{name}.gz" if compressed else name)).write_bytes(gzip.compress(raw, 1) if compressed else raw)
    return folder


@pytest.fixture(scope="session")
def small_mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first 2,000 training and 500 test images of MNIST."""
    mnist = data.load()
    arrays = (mnist.train_images[:2000, 0], mnist.train_labels[:2000], mnist.test_images[:500, 0], mnist.test_labels[:500])
    return write_idx_folder(tmp_path_factory.mktemp("small-mnist"), arrays)


@pytest.fixture(scope="session")
def few_mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `small_mnist`, but with 200 and 100."""
    mnist = data.load()
    arrays = (mnist.train_images[:200, 0], mnist.train_labels[:200], mnist.test_images[:100, 0], mnist.test_labels[:100])
    return write_idx_folder(tmp_path_factory.mktemp("few-mnist"), arrays)


@pytest.fixture(scope="session")
def small_network() -> Network:
    """A network that trains on `small_mnist` in a fraction of a second an epoch."""
    return Network([Conv(8, stride=2), Conv(16, stride=2), Conv(10, activation=None), GlobalAvgPool()])


@st.composite
def networks(draw: st.DrawFn, products: bool = True) -> Network:
    """Valid networks of up to five convolutions, poolings and joins, with each kind of head, on small images of any shape;
    without joins that multiply on request."""
    image = (draw(st.integers(1, 4)), draw(st.integers(3, 12)), draw(st.integers(3, 12)))
    layers, shapes = list[Layer](), list[Shape]([image])
    for _ in range(draw(st.integers(0, 5))):
        ends = [end for end in joins(shapes) if products or not isinstance(end[-1], Excite | Multiply)]
        joined = bool(ends) and draw(st.integers(0, 3)) == 3
        for layer in draw(st.sampled_from(ends) if joined else one_layer(shapes[-1][0])):
            try:
                shapes.append(shape_after(layer, shapes))
            except SpecError:
                break  # the window no longer fits
            layers.append(layer)
    head = draw(st.sampled_from(["pooled", "flat", "hidden"]))
    if head == "pooled":
        layers += [Conv(3, kernel=1, norm=None, activation=None), GlobalAvgPool()]
    elif head == "flat":
        layers += [Flatten(), Linear(3, bias=draw(st.booleans()))]
    else:
        layers += [GlobalAvgPool(), Linear(5, activation="relu"), Linear(3)]
    return Network(layers, input=image, classes=3)


def joins(shapes: Sequence[Shape]) -> list[list[Layer]]:
    """Layers that end in a join, or after a branch, and can follow those between `shapes`."""
    channels, *sides = shapes[-1]
    maps = [back for back in range(1, len(shapes)) if len(shapes[-1 - back]) == 3]
    beside = [back for back in maps if list(shapes[-1 - back][1:]) == sides]
    same = [back for back in beside if shapes[-1 - back] == shapes[-1]]
    projection = Conv(channels, 1, norm=None, activation=None)
    squeezed: list[Layer] = [GlobalAvgPool(), Linear(2, activation="relu"), Linear(channels)]
    found: list[list[Layer]] = [[Residual(back, activation)] for back in same for activation in ("relu", None)]
    found += [[Concat(back)] for back in beside]
    found += [[Branch(back), projection, Residual(2)] for back in beside]
    found += [[Branch(back), Conv(2, 1), Concat(2)] for back in beside]
    found += [[Branch(back), Conv(2, 1, norm=None)] for back in maps]  # a dead end, unless a later join reaches it
    found += [[Multiply(back)] for back in same]
    return [*found, [*squeezed, Excite(3)], [*squeezed, Multiply(3)]]


def shape_after(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    """Of a layer that follows those between `shapes`; raises SpecError where it does not fit."""
    if not isinstance(layer, Join):
        return layer.output(shapes[-1])
    if layer.layers >= len(shapes):
        raise SpecError("it reaches back too far")
    return layer.join(shapes[-1], shapes[-1 - layer.layers])


def one_layer(channels: int) -> st.SearchStrategy[list[Layer]]:
    return (_convolutions(channels) | _poolings()).map(lambda layer: [layer])


def _convolutions(channels: int) -> st.SearchStrategy[Layer]:
    groups = st.sampled_from([divisor for divisor in range(1, channels + 1) if channels % divisor == 0])

    @st.composite
    def conv(draw: st.DrawFn) -> Layer:
        divisor = draw(groups)
        return Conv(
            divisor * draw(st.integers(1, 3)),
            kernel=draw(st.integers(1, 4)),
            stride=draw(st.integers(1, 2)),
            padding=draw(st.integers(0, 2)),
            groups=divisor,
            bias=draw(st.booleans()),
            norm=draw(st.sampled_from(["batch", None])),
            activation=draw(st.sampled_from(["relu", None])),
            dilation=draw(st.sampled_from([1, 1, 2, 3])),
        )

    return conv()


def _poolings() -> st.SearchStrategy[Layer]:
    sizes, strides = st.integers(2, 3), st.none() | st.integers(1, 3)
    poolings = st.builds(MaxPool, sizes, strides, st.integers(0, 1)) | st.builds(AvgPool, sizes, strides, st.integers(0, 1))
    return poolings | st.builds(BlurPool, st.sampled_from([3, 5]), st.integers(1, 3))


# The report in a browser. What these need is imported by those who ask.


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    from chromium import chromium

    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory, small_mnist: Path) -> "Callable[[Callable[[Setup], Ladder]], Path]":
    """Writes the report of the runs that a function records, and gives its folder."""
    from recorded import built

    from stepladder import report
    from stepladder.job import Setup

    def draw(record: "Callable[[Setup], Ladder]") -> Path:
        setup, made = Setup(tmp_path_factory.mktemp("runs"), small_mnist), tmp_path_factory.mktemp("report")
        ladder = record(setup)
        report.write(built(ladder, setup), ladder, setup, made)
        return made

    return draw


@pytest.fixture(scope="module")
def small_folder(drawn: "Callable[[Callable[[Setup], Ladder]], Path]") -> Path:
    """The report of a ladder with a dead step, one that diverged once, one run once and one not run."""
    from recorded import record_small

    return drawn(record_small)


@pytest.fixture
def open_page(browser: "Browser", folder: Path) -> "Iterator[Open]":
    """Opens the report of a test file's `folder`."""
    from chromium import opener

    with opener(browser, folder) as opened:
        yield opened
