"""Runs that the workers of a Dask cluster make: real processes, on loopback."""

import os
import resource
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import pytest
from distributed import Client, get_worker
from machines import Machines

from stepladder import AdamW, Budget, Lab, Network, Recipe, Step, UserError, cluster, records
from stepladder.cluster import acceptance, opening, parts, worker
from stepladder.cluster import client as clients
from stepladder.cluster.acceptance import Wanted
from stepladder.cluster.client import Cluster
from stepladder.cluster.worker import Facts, Part
from stepladder.job import Job, Setup
from stepladder.steps import Ladder
from stepladder.sweep import Progress, sweep, train_job
from stepladder.train import train


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """A scheduler and two workers."""
    made = Machines(tmp_path_factory.mktemp("machines"), 2)
    yield made
    made.end()


@pytest.fixture
def client(made: Machines) -> Iterator[Client]:
    """With both workers, however the last test left them."""
    made.replace()
    with Client(made.address) as client:
        while len(client.scheduler_info()["workers"]) != 2:
            time.sleep(0.01)
        yield client


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are single epochs."""
    monkeypatch.setattr(parts, "SECONDS", 0.0)
    monkeypatch.setattr(clients, "POLL_SECONDS", 0.05)


@pytest.fixture
def executor(client: Client, quick: None) -> Iterator[Cluster]:
    executor = Cluster(client)
    yield executor
    executor.kill()


def jobs(images: Path, runs: Path, network: Network, epochs: int, seeds: int, first: int = 0) -> list[Job]:
    step = Step("Plain", network, Recipe(epochs=epochs, optimizer=AdamW(), dropout=0.1))
    return [Job("mine", step, seed, Setup(runs, images)) for seed in range(first, first + seeds)]


def hashes(jobs: list[Job]) -> list[str]:
    return [records.read(job.folder).weights_sha256 for job in jobs]


def made_here(jobs: list[Job]) -> list[str]:
    for job in jobs:
        train(job)
    return hashes(jobs)


def last(stand: Iterator[Progress]) -> Progress:
    *_, end = stand
    return end


def workers(client: Client) -> dict[str, int]:
    """Addresses and process ids."""
    return dict(sorted(client.run(os.getpid).items()))


def busy(client: Client, pids: dict[str, int]) -> int:
    """The process of a worker that trains just now; 0 where none does."""
    return next((pids[address] for address, parts in client.processing().items() if parts), 0)


def put(monkeypatch: pytest.MonkeyPatch, part: Callable[[bytes], Part]) -> None:
    """In the place of `worker.part`."""
    monkeypatch.setattr(parts, "worker", SimpleNamespace(**vars(worker) | {"part": part}))


def dies(_: bytes) -> Part:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def damaged(order: bytes) -> Part:
    """A weight is another."""
    found = worker.part(order)
    if found.files:
        raw = found.files["weights.safetensors"]
        found.files["weights.safetensors"] = raw[:-1] + bytes([raw[-1] ^ 1])
    return found


class DamagedBy:
    """Damage by one worker only."""

    def __init__(self, address: str) -> None:
        self.address = address

    def __call__(self, order: bytes) -> Part:
        return damaged(order) if get_worker().address == self.address else worker.part(order)


def limit_files(size: int) -> None:
    """No file of this process may become larger: writing fails as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_workers_stay_in_sight_however_often_the_client_asks_for_something_else(made: Machines, quick: None) -> None:
    """What Dask's client knows of the scheduler is without workers after each time that it asks for itself."""
    with dask.config.set({"distributed.client.scheduler-info-interval": "1ms"}):
        made.replace()
        with Client(made.address) as client:
            client.wait_for_workers(2)
            executor = Cluster(client)
            until, counts = time.monotonic() + 3, set[int]()
            while time.monotonic() < until:
                counts.add(executor.count)
                time.sleep(0.01)
            executor.kill()
    assert counts == {2}


def test_runs_have_the_bits_of_those_made_here_and_leave_nothing_else(
    executor: Cluster, few_mnist: Path, small_network: Network, tmp_path: Path
) -> None:
    here, there = (jobs(few_mnist, tmp_path / name, small_network, 3, 4) for name in ("here", "there"))
    assert last(sweep(there, executor, poll=0.05)).failures == []
    assert hashes(there) == made_here(here)
    assert {path.name for path in there[0].folder.parent.iterdir()} == {"0", "1", "2", "3"}
    assert {path.name for path in there[0].folder.iterdir()} == set(worker.FILES)
    assert records.read(there[0].folder).data == records.read(here[0].folder).data


def test_runs_begin_in_the_order_of_the_ladder_and_end_with_the_command(
    executor: Cluster, client: Client, few_mnist: Path, small_network: Network, tmp_path: Path
) -> None:
    futures: list[Future[Path]] = [executor.submit(train_job, job) for job in jobs(few_mnist, tmp_path, small_network, 1000, 4)]
    while not futures[1].running():
        time.sleep(0.02)
    assert [future.running() for future in futures] == [True, True, False, False]
    executor.kill()
    assert [future.cancelled() for future in futures] == [False, False, True, True]
    assert all(future.exception(timeout=10) for future in futures[:2])
    left = time.monotonic() + 10
    while client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) or any(client.processing().values()):
        assert time.monotonic() < left
        time.sleep(0.05)


def test_a_run_whose_worker_is_killed_goes_on_elsewhere_with_the_same_bits(
    executor: Cluster, client: Client, few_mnist: Path, small_network: Network, tmp_path: Path
) -> None:
    here, there = (jobs(few_mnist, tmp_path / name, small_network, 20, 2) for name in ("here", "there"))
    killed, most, pids = 0, dict[int, int](), workers(client)
    for now in sweep(there, executor, poll=0.02):
        for run in now.running:
            assert len(run.history) >= most.get(run.job.seed, 0)  # nothing is trained from its beginning again
            most[run.job.seed] = len(run.history)
        if not killed and any(len(run.history) > 2 for run in now.running) and (killed := busy(client, pids)):
            os.kill(killed, signal.SIGKILL)
    assert killed
    assert now.failures == []
    assert hashes(there) == made_here(here)


def test_a_run_whose_worker_hangs_goes_on_elsewhere_and_the_worker_comes_back(
    executor: Cluster, client: Client, few_mnist: Path, small_network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "SILENT_SECONDS", 4.0)
    here, there = (jobs(few_mnist, tmp_path / name, small_network, 20, 2) for name in ("here", "there"))
    hangs, counts, pids = 0, set[int](), workers(client)
    try:
        for now in sweep(there, executor, poll=0.02):
            counts.add(executor.count)
            if not hangs and any(len(run.history) > 2 for run in now.running) and (hangs := busy(client, pids)):
                os.kill(hangs, signal.SIGSTOP)
        assert hangs
        assert now.failures == []
        assert hashes(there) == made_here(here)
    finally:
        os.kill(hangs or os.getpid(), signal.SIGCONT)
    assert min(counts) < 2 == max(counts)
    until = time.monotonic() + 10
    while executor.count < 2:
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize("fault", ["damage", "full disk"])
def test_what_a_faulty_worker_loses_is_made_elsewhere_and_it_is_not_used_any_more(
    executor: Cluster,
    client: Client,
    few_mnist: Path,
    small_network: Network,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    fault: str,
) -> None:
    faulty = next(iter(workers(client)))
    there = jobs(few_mnist, tmp_path, small_network, 2, 30)
    if fault == "damage":
        put(monkeypatch, DamagedBy(faulty))
    else:
        client.run(limit_files, 1000, workers=[faulty])
    try:
        assert last(sweep(there, executor, poll=0.05)).failures == []
    finally:
        client.run(limit_files, resource.RLIM_INFINITY, workers=[faulty])
    assert executor.count == 1
    told = capfd.readouterr().err
    assert told.count("it is not used") == 1
    assert f"worker {faulty} lost 3 runs, one after the other (the last: " in told
    assert ("its SHA-256 is" if fault == "damage" else "File too large") in told


@pytest.mark.parametrize(("fault", "why"), [(dies, "killed, died or hangs"), (damaged, "its SHA-256 is")])
def test_a_run_that_is_lost_again_and_again_is_given_up_and_named(
    executor: Cluster,
    few_mnist: Path,
    small_network: Network,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[bytes], Part],
    why: str,
) -> None:
    times = 2 if fault is dies else 3  # that many workers there are, of which each may lose it again
    monkeypatch.setattr(clients, "ATTEMPTS", times)
    put(monkeypatch, fault)
    (job,) = jobs(few_mnist, tmp_path, small_network, 1, 1)
    (failure,) = last(sweep([job], executor, poll=0.05)).failures
    assert f"run plain seed 0 was lost {times} times" in failure.reason
    assert failure.reason.count(why) == times
    assert not records.exists(job.folder)


@pytest.mark.parametrize("shared", [False, True], ids=["sent", "shared"])
def test_two_commands_on_one_cluster_and_one_folder_train_nothing_twice(
    client: Client, quick: None, made: Machines, few_mnist: Path, small_network: Network, tmp_path: Path, shared: bool
) -> None:
    both = jobs(few_mnist, tmp_path / "runs", small_network, 3, 8, first=200 if shared else 100)
    both[0].setup.keep()
    wanted = Wanted(runs=tmp_path / "runs", shared=tmp_path / "runs") if shared else Wanted()
    clusters, ends = [Cluster(client, wanted) for _ in range(2)], list[Progress]()
    sweeps = [threading.Thread(target=lambda by=by: ends.append(last(sweep(both, by, poll=0.05)))) for by in clusters]
    for each in sweeps:
        each.start()
    for each in sweeps:
        each.join(60)
    for one in clusters:
        one.kill()
    assert [end.failures for end in ends] == [[], []]
    assert all(records.exists(job.folder) for job in both)
    begun = Counter(each for each in made.begun() if each in set(map(str, both)))
    # Who shares a folder may find there what the other has just done, or holds.
    assert (begun >= Counter({str(job): 3 for job in both})) if shared else (begun == {str(job): 3 for job in both})


def test_workers_that_see_the_folder_of_runs_write_there(
    client: Client, quick: None, few_mnist: Path, small_network: Network, tmp_path: Path
) -> None:
    (tmp_path / "seen").symlink_to(tmp_path / "there")
    here, there = (jobs(few_mnist, tmp_path / name, small_network, 3, 3) for name in ("here", "there"))
    there[0].setup.keep()
    executor = Cluster(client, Wanted(runs=tmp_path / "there", shared=tmp_path / "seen"))
    try:
        assert last(sweep(there, executor, poll=0.05)).failures == []
    finally:
        executor.kill()
    assert hashes(there) == made_here(here)
    assert {path.name for path in there[0].folder.parent.iterdir()} == {"0", "1", "2"}


def test_workers_that_do_not_see_the_folder_of_runs_are_refused(client: Client, tmp_path: Path) -> None:
    wanted = Wanted(runs=tmp_path, shared=tmp_path / "elsewhere")
    with pytest.raises(
        UserError, match=r"no worker that can be used: worker tcp\S+ does not see the folder of runs as .*elsewhere"
    ):
        Cluster(client, wanted)


def test_whether_a_lock_holds_on_another_machine_is_seen(tmp_path: Path) -> None:
    assert worker.sees(tmp_path, "shared") is None
    with records.alone(tmp_path, "shared"):
        assert worker.sees(tmp_path, "shared") is True
    records.lock_file(tmp_path, "shared").touch()  # as it is seen where the lock is not
    assert worker.sees(tmp_path, "shared") is False
    assert "does not lock files" in str(acceptance.folder_refusal(False, tmp_path))


def test_a_lab_tells_its_cluster_and_trains_there(
    client: Client, few_mnist: Path, small_network: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    budget = Budget(parameters=10_000, epochs=1, accuracy=0.9, hold=1)
    ladder = Ladder("mine", budget, [jobs(few_mnist, tmp_path, small_network, 1, 1)[0].step])
    address = client.scheduler_info(n_workers=0)["address"]
    result = Lab(tmp_path, data=few_mnist, cluster=address).run(ladder, seeds=2)
    assert result.problems == []
    assert len(result.arms["plain"].records) == 2
    assert "cluster: 2 workers" in capsys.readouterr().out


def test_a_cluster_whose_workers_are_of_another_version_is_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptance.refusal, "__defaults__", ("0.0.1",))
    with pytest.raises(UserError, match=r"no worker that can be used: worker tcp\S+ has Stepladder .*, expected 0\.0\.1"):
        Cluster(client)


def test_a_cluster_of_another_processor_is_told_and_refused_where_the_same_bits_are_asked_for(
    client: Client, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(worker, "processor", lambda: "Another")
    made = Cluster(client)
    made.kill()
    assert made.count == 2
    assert capfd.readouterr().err.count("on Another: the last bits of its runs may differ") == 1  # not of each worker
    with pytest.raises(UserError, match="the same bits are asked for, and so 1 more"):
        Cluster(client, Wanted(same_bits=True))


def test_which_workers_are_used() -> None:
    here = Facts({"native": 2}, "2.13", "P")
    assert acceptance.refusal("1.0", "1.0") is None
    assert acceptance.refusal(ModuleNotFoundError(), "1.0") == "has no Stepladder, expected 1.0"
    assert acceptance.facts_refusal(here._replace(torch="2.12"), here) is None
    assert "has the numerics" in str(acceptance.facts_refusal(here._replace(numerics={"native": 3}), here))
    assert "ImportError: torch" in str(acceptance.facts_refusal(ImportError("torch"), here))
    assert acceptance.difference(here, here) is None
    assert acceptance.difference(here._replace(torch="2.12"), here) == "has torch 2.12 on P, here it is 2.13 on P"


@pytest.mark.parametrize("where", ["", "local:0", "localhost:8786", 4, object()])
def test_what_is_no_cluster_is_refused(where: Any) -> None:
    with pytest.raises(UserError, match=r"expected tcp://HOST:PORT, local:4"):
        Lab("runs", cluster=where)


def test_an_address_where_no_scheduler_answers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "CONNECT_SECONDS", 0.5)
    with pytest.raises(UserError, match=r"cluster tcp://127\.0\.0\.1:9: no scheduler answers there"):
        cluster.opened("tcp://127.0.0.1:9", Wanted())


def test_tls_without_its_settings_is_refused() -> None:
    with pytest.raises(UserError, match=r"cluster tls://127\.0\.0\.1:9: TLS needs Dask's settings distributed\.comm\.tls\.ca-file"):
        cluster.opened("tls://127.0.0.1:9", Wanted())


def test_a_cluster_has_its_own_workers() -> None:
    with pytest.raises(UserError, match="a cluster has its own"):
        Lab("runs", cluster="local:2", workers=2)
    with pytest.raises(UserError, match="same_bits is of a cluster's workers"):
        Lab("runs", same_bits=True)
    with pytest.raises(UserError, match="shared is of a cluster's workers"):
        Lab("runs", shared="runs")


def test_without_dask_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "stepladder.cluster.client")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"pip install 'stepladder\[cluster\]'"):
        cluster.opened("local:1", Wanted())
