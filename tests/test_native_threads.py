"""The native engine on many threads, in many processes and on every instruction set."""

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from native_twin import WINDOWS, Outcome, assert_agrees, batches, example, networks, outcome, prepare, threads, twin
from training import network_of

from stepladder import Affine, Conv, Flatten, GlobalAvgPool, Linear, MaxPool, Network, Recipe, Step, ladders, records
from stepladder.engine import native
from stepladder.engine.native import Native
from stepladder.job import Job, Setup
from stepladder.streams import stream
from stepladder.train import train

DENSE = network_of(ladders.load("mnist").step("A1"))
MIXED = Network(
    [
        *(Conv(5, 5, padding=2, bias=True, norm=None), MaxPool(2), Conv(5, 3, 2, groups=5, padding=1), Conv(9, 1)),
        *(MaxPool(3), Flatten(), Linear(7, activation="relu"), Linear(10)),
    ],
    input=(2, 23, 18),
)
POOLED = Network(
    [MaxPool(2), Conv(6, 7, padding=3, activation=None), Conv(10, 3, stride=2, bias=True), GlobalAvgPool()], (1, 9, 31)
)
NETWORKS = {"dense": DENSE, "mixed": MIXED, "pooled": POOLED, "windows": WINDOWS}


def steps(network: Network, images: int, module: Native | None = None) -> list[Outcome]:
    """Of two training passes and one with running statistics, with the logits of an evaluation after each.

    They start from the same state, whatever the module did before.
    """
    module = module or Native(network, 0.1, torch.Generator())
    module.load_state_dict(Native(network, 0.1, torch.Generator()).state_dict())
    prepare(module, 0)
    module.run.generator.manual_seed(0)
    found = []
    for number in range(3):
        x = torch.randn(images, *network.input, generator=stream(number, "x"))
        cotangent = torch.randn(images, network.classes, generator=stream(number, "cotangent"))
        module.zero_grad()
        found.append(outcome(module, x, cotangent, training=number < 2))
        with torch.no_grad():
            found.append(Outcome(module.eval()(x), {}, {}))
    return found


def build(network: Network, count: int = 1) -> Native:
    """A module that runs on so many threads."""
    with threads(count):
        module = Native(network, 0.1, torch.Generator())
    assert module.run.threads == count
    return module


def same(first: list[Outcome], second: list[Outcome]) -> bool:
    """Whether all bits are."""
    pairs = zip(first, second, strict=True)
    return all(
        torch.equal(one.logits, other.logits)
        and all(torch.equal(tensor, other.gradients[name]) for name, tensor in one.gradients.items())
        and all(torch.equal(tensor, other.buffers[name]) for name, tensor in one.buffers.items())
        for one, other in pairs
    )


# Threads


@pytest.mark.parametrize("images", [1, 37, 128, 200])
@pytest.mark.parametrize("name", NETWORKS)
def test_any_number_of_threads_gives_the_same_bits(name: str, images: int) -> None:
    expected = steps(NETWORKS[name], images)
    for count in (1, 2, 3, 5):
        assert same(steps(NETWORKS[name], images, build(NETWORKS[name], count)), expected), f"{count} threads"


@pytest.mark.parametrize("count", [1, 2])
def test_batches_of_many_sizes_in_turn_leave_nothing_behind(count: int) -> None:
    module = build(MIXED, count)
    for images in (200, 1, 64, 3):
        assert same(steps(MIXED, images, module), steps(MIXED, images))


@pytest.mark.parametrize("count", [1, 2])
def test_two_networks_may_run_at_once(count: int) -> None:
    both = (DENSE, MIXED)
    expected, modules = [steps(network, 40) for network in both], [build(network, count) for network in both]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(5):
            found = list(pool.map(steps, both, (40, 40), modules))
            assert all(same(*pair) for pair in zip(found, expected, strict=True))


def test_unless_it_is_said_otherwise_networks_run_on_as_many_threads_as_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_own_threads", None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert Native(MIXED, 0.1, torch.Generator()).run.threads == 3
    monkeypatch.undo()
    with threads(2):
        assert Native(MIXED, 0.1, torch.Generator()).run.threads == 2
        assert torch.get_num_threads() == 1


# Processes


def forked() -> None:
    """A fork after threads have worked, while they wait for more; run in a process of its own by the test below."""
    torch.set_num_threads(1)  # torch's own threads do not survive a fork
    module = build(DENSE, 2)
    expected = steps(DENSE, 64, module)
    if (child := os.fork()) == 0:
        fine = same(steps(DENSE, 64, module), expected) and same(steps(DENSE, 64, build(DENSE, 2)), expected)
        os._exit(0 if fine else 1)
    assert same(steps(DENSE, 64, module), expected)  # at the same time
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_and_its_parent_go_on_with_the_same_bits() -> None:
    code = "from test_native_threads import forked; forked()"
    ended = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_spawned_process_gives_the_same_bits() -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert same(pool.submit(steps, MIXED, 40, build(MIXED, 2)).result(timeout=120), steps(MIXED, 40))


# Instruction sets


def built_for(isa: str, network: Network, dropout: float = 0.0) -> Native:
    before = os.environ.get("STEPLADDER_ISA")
    os.environ["STEPLADDER_ISA"] = isa
    native.isa.cache_clear()
    try:
        return Native(network, dropout, torch.Generator().manual_seed(0))
    finally:
        native.isa.cache_clear()
        if before is None:
            del os.environ["STEPLADDER_ISA"]
        else:
            os.environ["STEPLADDER_ISA"] = before


@pytest.mark.parametrize("isa", native.extension().isas())
@settings(max_examples=40)
@given(data=st.data(), network=networks())
def test_every_instruction_set_agrees_with_the_twin(data: st.DataObject, network: Network, isa: str) -> None:
    images = 1 + data.draw(batches(network))
    x, cotangent, seed = example(network, images)
    module = built_for(isa, network)
    prepare(module, seed)
    rough = outcome(twin(network, seed, torch.float32), x, cotangent)
    assert_agrees(outcome(module, x, cotangent), outcome(twin(network, seed, torch.float64), x.double(), cotangent), rough)


def test_every_instruction_set_drops_the_same_activations() -> None:
    network = Network([Conv(10, 1, norm=None), Flatten()], input=(1, 4, 5), classes=200)
    dropped = []
    for isa in native.extension().isas():
        module = built_for(isa, network, dropout=0.1)
        module.get_parameter("conv1.weight").data.fill_(1)
        dropped.append(module(torch.ones(37, 1, 4, 5)) == 0)
    assert 0.05 < dropped[0].double().mean() < 0.15
    assert all(torch.equal(mask, dropped[0]) for mask in dropped)


# Whole runs


def weights(job: Job, runs: Path, count: int) -> str:
    """The hash of what a run in a folder of its own trains to on so many threads."""
    with threads(1):
        return records.read(train(replace(job, setup=replace(job.setup, runs=runs, threads=count)))).weights_sha256


def test_a_run_has_the_same_bits_again_and_on_more_threads(small_mnist: Path, small_network: Network, tmp_path: Path) -> None:
    recipe = Recipe(epochs=2, batch_size=100, learning_rate=0.05, dropout=0.02, augmentation=Affine(rotate=10))
    job = Job("mine", Step("All concepts", small_network, recipe), 1, Setup(tmp_path, small_mnist, engine="native"))
    first, again, two, three = (weights(job, tmp_path / str(run), count) for run, count in enumerate((1, 1, 2, 3)))
    assert first == again == two == three
    assert first != weights(replace(job, seed=2), tmp_path / "other", 1)
