import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path

import pytest

from stepladder import Conv, GlobalAvgPool, Network, Recipe, Step, records
from stepladder.job import Job, Setup
from stepladder.records import Checkpoint
from stepladder.sweep import Failure, Progress, missing, sweep
from stepladder.train import train
from stepladder.workers import Workers


@pytest.fixture
def job(small_mnist: Path, small_network: Network, tmp_path: Path) -> Job:
    """A run of a fraction of a second."""
    return Job("mine", Step("Plain", small_network, Recipe(epochs=1)), 0, Setup(tmp_path, small_mnist, engine="torch"))


@pytest.fixture
def one() -> Iterator[ThreadPoolExecutor]:
    """A worker in this process: any executor will do."""
    with ThreadPoolExecutor(1) as executor:
        yield executor


def seeds(job: Job, *seeds: int) -> list[Job]:
    return [replace(job, seed=seed) for seed in seeds]


def last(stand: Iterator[Progress]) -> Progress:
    *_, end = stand
    return end


def test_what_is_recorded_is_not_missing_and_the_order_is_kept(job: Job) -> None:
    jobs = seeds(job, 5, 1, 4, 0)
    assert missing(jobs) == jobs
    train(jobs[1])
    assert missing(jobs) == seeds(job, 5, 4, 0)


def test_a_checkpoint_is_no_record(job: Job) -> None:
    records.write_checkpoint(job.folder, Checkpoint([], 1, {}, job.fingerprint, job.seed))
    assert missing([job]) == [job]


def test_another_recipe_data_or_engine_is_missing_again(job: Job, tmp_path: Path) -> None:
    train(job)
    longer = replace(job, step=Step("Plain", job.step.network, Recipe(epochs=2)))
    embedded = replace(job, setup=replace(job.setup, data=None))
    on_gpu = replace(job, setup=replace(job.setup, device="cuda"))
    assert missing([job, longer, embedded, on_gpu]) == [longer, embedded, on_gpu]


def test_runs_are_made_in_the_order_given(job: Job, one: ThreadPoolExecutor) -> None:
    jobs = seeds(job, 2, 0, 1)
    end = last(sweep(jobs, one))
    assert [run.job for run in end.recorded] == jobs
    assert all(run.status == "finished" and run.history == records.read(run.job.folder).history for run in end.recorded)
    assert (end.running, end.failures, end.epochs) == ([], [], 3)
    assert missing(jobs) == []


def test_nothing_to_do_is_done_at_once(one: ThreadPoolExecutor) -> None:
    assert list(sweep([], one)) == []


def test_a_run_that_fails_is_told_with_its_reason_and_the_others_go_on(job: Job, one: ThreadPoolExecutor) -> None:
    large = replace(job, step=Step("Large", Network([Conv(10), GlobalAvgPool()], input=(1, 32, 32))))
    damaged, unwritable = seeds(job, 1, 2)
    path = damaged.folder.with_name("1.checkpoint")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged")
    unwritable.folder.mkdir()
    (unwritable.folder / "in the way").touch()

    end = last(sweep([large, damaged, unwritable, job], one, poll=0.001))

    assert [run.job for run in end.recorded] == [job]
    reasons = {failure.job: failure.reason for failure in end.failures}
    assert reasons.keys() == {large, damaged, unwritable}
    assert reasons[large] == "the images are 1 x 28 x 28, the network expects 1 x 32 x 32"
    assert reasons[damaged].startswith(f"{path}: not a readable checkpoint (")
    assert reasons[unwritable] == f"{unwritable.folder}: found no run.json in it; delete it to make room for the run"
    assert not any(failure.system for failure in end.failures)
    assert missing([large, damaged, unwritable, job]) == [large, damaged, unwritable]


def test_a_worker_that_is_killed_costs_its_own_run_only(job: Job) -> None:
    long = replace(job, step=Step("Long", job.step.network, Recipe(epochs=1000)))
    jobs, killed, seen = [long, job], False, list[int]()
    with Workers(1) as workers:
        for stand in sweep(jobs, workers, poll=0.05):
            for run in stand.running:
                if run.job == long and not killed:
                    seen.append(len(run.history))
                if len(run.history) >= 2 and not killed:
                    (child,) = active_children()
                    assert child.pid
                    os.kill(child.pid, signal.SIGKILL)
                    killed = True
    assert seen == sorted(seen)  # progress was told as it was made
    assert seen[-1] >= 2
    assert stand.failures == [Failure(long, "its worker process was killed or died (out of memory?)")]
    assert [(run.job, run.status) for run in stand.recorded] == [(job, "finished")]
    assert missing(jobs) == [long]
    assert len(records.progress(long.folder)) >= 2  # to go on from next time


def test_a_run_is_called_by_step_and_seed(job: Job) -> None:
    assert [str(job) for job in seeds(job, 0, 12)] == ["plain seed 0", "plain seed 12"]
