"""A cluster of processes on loopback that can be killed and started again at little cost: what they import is imported once."""

import asyncio
import random
import socket
import tempfile
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from distributed import Scheduler, Worker

from stepladder import train as training
from stepladder.data import Dataset
from stepladder.job import Job
from stepladder.train import train

_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(["machines", "stepladder.train"])


class Machines:
    """A scheduler and so many workers, each a process; as a part begins to train, its run is written into a file."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.log, self.count = folder, folder / "begun", count
        self.log.touch()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.scheduler = self._started(schedule, self.port)
        self.workers = [self._worker() for _ in range(count)]

    def _worker(self) -> ForkServerProcess:
        return self._started(serve, self.address, self.folder)

    def _started(self, task: object, *args: object) -> ForkServerProcess:
        process = _FORKS.Process(target=task, args=args, daemon=True)  # type: ignore[arg-type]
        process.start()
        return process

    def kill_worker(self, chance: random.Random) -> None:
        chance.choice(self.workers).kill()

    def replace(self) -> int:
        """Start another worker for each that has ended, as whatever looks after them does; returns how many."""
        ended = [each for each in self.workers if not each.is_alive()]
        self.workers = [each for each in self.workers if each.is_alive()] + [self._worker() for _ in ended]
        return len(ended)

    def kill_scheduler(self) -> None:
        """And start another; the workers end with it."""
        self.scheduler.kill()
        self.scheduler.join()
        self.scheduler = self._started(schedule, self.port)

    def begun(self) -> list[str]:
        """The runs of all parts that were begun."""
        return self.log.read_text().splitlines()

    def end(self) -> None:
        for each in [*self.workers, self.scheduler]:
            each.kill()
            each.join()


def schedule(port: int) -> None:
    """Be a scheduler."""

    async def be() -> None:
        async with Scheduler(host="127.0.0.1", port=port, dashboard=False) as made:
            await made.finished()

    asyncio.run(be())


def serve(address: str, folder: Path) -> None:
    """Be a worker, until the scheduler is gone."""

    def counted(job: Job, dataset: Dataset, seconds: float) -> Path:
        with (folder / "begun").open("a") as log:
            log.write(f"{job}\n")
        return train(job, dataset, seconds)

    async def be() -> None:
        async with Worker(address, host="127.0.0.1", nthreads=1, memory_limit=0, local_directory=str(folder)) as made:
            await made.finished()

    tempfile.tempdir = str(folder)
    training.train = counted  # type: ignore[assignment]
    asyncio.run(be())
