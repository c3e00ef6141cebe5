"""Runs that the workers of a Dask cluster make: real processes, on loopback."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import Client, LocalCluster

from stepladder import AdamW, Budget, Lab, Network, Recipe, Step, UserError, cluster, records
from stepladder.cluster import client as clients
from stepladder.cluster import worker
from stepladder.cluster.client import Cluster
from stepladder.cluster.worker import Part
from stepladder.job import Job, Setup
from stepladder.steps import Ladder
from stepladder.sweep import Progress, sweep, train_job
from stepladder.train import train


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Of a cluster of two processes, which are replaced when they die."""
    with (
        LocalCluster(2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", memory_limit=0) as local,
        Client(local) as made,
    ):
        yield made


@pytest.fixture
def executor(client: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Its parts are single epochs."""
    monkeypatch.setattr(clients, "PART_SECONDS", 0.0)
    monkeypatch.setattr(clients, "POLL_SECONDS", 0.05)
    made = Cluster(client)
    yield made
    made.kill()


def jobs(data: Path, runs: Path, network: Network, epochs: int, seeds: int) -> list[Job]:
    step = Step("Plain", network, Recipe(epochs=epochs, optimizer=AdamW(), dropout=0.1))
    return [Job("mine", step, seed, Setup(runs, data)) for seed in range(seeds)]


def hashes(jobs: list[Job]) -> list[str]:
    return [records.read(job.folder).weights_sha256 for job in jobs]


def last(stand: Iterator[Progress]) -> Progress:
    *_, end = stand
    return end


def dies(_: bytes) -> Part:
    """In the place of `worker.part`."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def damaged(order: bytes) -> Part:
    """As `worker.part`, but a weight is another."""
    found = worker.part(order)
    if found.files:
        raw = found.files["weights.safetensors"]
        found.files["weights.safetensors"] = raw[:-1] + bytes([raw[-1] ^ 1])
    return found


def test_runs_have_the_bits_of_those_made_here_and_leave_nothing_else(
    executor: Cluster, small_mnist: Path, small_network: Network, tmp_path: Path
) -> None:
    here, there = (jobs(small_mnist, tmp_path / name, small_network, 3, 4) for name in ("here", "there"))
    for job in here:
        train(job)
    end = last(sweep(there, executor, poll=0.05))
    assert end.failures == []
    assert hashes(there) == hashes(here)
    left = {path.name for path in there[0].folder.parent.iterdir()}
    assert left == {"0", "1", "2", "3"}
    assert {path.name for path in there[0].folder.iterdir()} == set(worker.FILES)
    assert records.read(there[0].folder).data == records.read(here[0].folder).data


def test_a_run_whose_worker_is_killed_goes_on_elsewhere_with_the_same_bits(
    executor: Cluster, client: Client, small_mnist: Path, small_network: Network, tmp_path: Path
) -> None:
    here, there = (jobs(small_mnist, tmp_path / name, small_network, 20, 2) for name in ("here", "there"))
    for job in here:
        train(job)
    killed, most = 0, dict[int, int]()
    pids = client.run(os.getpid)
    for now in sweep(there, executor, poll=0.02):
        for run in now.running:
            assert len(run.history) >= most.get(run.job.seed, 0)  # nothing is trained from its beginning again
            most[run.job.seed] = len(run.history)
        if not killed and now.running and all(2 < len(run.history) < 15 for run in now.running):
            killed = next(iter(pids.values()))
            os.kill(killed, signal.SIGKILL)
    assert killed
    assert now.failures == []
    assert hashes(there) == hashes(here)


@pytest.mark.parametrize(("fault", "why"), [(dies, "killed or died"), (damaged, "its SHA-256 is")])
def test_a_run_that_is_lost_again_and_again_is_given_up_and_named(
    executor: Cluster,
    small_mnist: Path,
    small_network: Network,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Any,
    why: str,
) -> None:
    monkeypatch.setattr(clients, "ATTEMPTS", 2)
    (job,) = jobs(small_mnist, tmp_path, small_network, 1, 1)
    monkeypatch.setattr(clients, "worker", SimpleNamespace(**vars(worker) | {"part": fault}))
    end = last(sweep([job], executor, poll=0.05))
    (failure,) = end.failures
    assert "run plain seed 0 was lost 2 times" in failure.reason
    assert why in failure.reason
    assert not records.exists(job.folder)


def test_what_is_not_begun_is_cancelled_when_the_command_ends(
    executor: Cluster, small_mnist: Path, small_network: Network, tmp_path: Path
) -> None:
    futures: list[Future[Path]] = [executor.submit(train_job, job) for job in jobs(small_mnist, tmp_path, small_network, 500, 4)]
    while not futures[1].running():
        time.sleep(0.02)
    assert [future.running() for future in futures] == [True, True, False, False]  # in order, one by each worker
    executor.kill()
    assert [future.cancelled() for future in futures] == [False, False, True, True]
    assert all(future.exception(timeout=10) for future in futures[:2])


def test_a_lab_tells_its_cluster_and_trains_there(
    client: Client, small_mnist: Path, small_network: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ladder = Ladder(
        "mine",
        Budget(parameters=10_000, epochs=1, accuracy=0.9, hold=1),
        [jobs(small_mnist, tmp_path, small_network, 1, 1)[0].step],
    )
    address = client.scheduler_info(n_workers=0)["address"]
    result = Lab(tmp_path, data=small_mnist, cluster=address).run(ladder, seeds=2)
    assert result.problems == []
    assert len(result.arms["plain"].records) == 2
    assert "cluster: 2 workers" in capsys.readouterr().out


def test_workers_of_another_version_or_machine_are_told(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = sorted(client.scheduler_info()["workers"])
    assert clients.looked_at(client, addresses, True) == (dict.fromkeys(addresses, ""), {})
    with monkeypatch.context() as patch:
        patch.setattr(clients, "__version__", "0.0.1")
        with pytest.raises(UserError, match=r"no worker that can be used: worker tcp\S+ has Stepladder .*, expected 0\.0\.1"):
            Cluster(client)
    monkeypatch.setattr(worker, "processor", lambda: "Another")
    fit, refused = clients.looked_at(client, addresses, False)
    assert refused == {}
    assert all("here it is" in sentence and "on Another" in sentence for sentence in fit.values())
    fit, refused = clients.looked_at(client, addresses, True)
    assert fit == {}
    assert all(sentence.endswith("as the same bits are asked for") for sentence in refused.values())


@pytest.mark.parametrize("where", ["", "local:0", "localhost:8786", 4, object()])
def test_what_is_no_cluster_is_refused(where: Any) -> None:
    with pytest.raises(UserError, match=r"expected tcp://HOST:PORT, local:4"):
        Lab("runs", cluster=where)


def test_a_cluster_has_its_own_workers() -> None:
    with pytest.raises(UserError, match="a cluster has its own"):
        Lab("runs", cluster="local:2", workers=2)
    with pytest.raises(UserError, match="same_bits is True"):
        Lab("runs", same_bits=True)


def test_without_dask_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "stepladder.cluster.client")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"pip install 'stepladder\[cluster\]'"):
        cluster.opened("local:1")
