"""Training what is missing of a lab's runs, and telling how it stands."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from stepladder import live, networks, records, sweep
from stepladder.job import Job, Setup
from stepladder.networks import Module
from stepladder.steps import Step
from stepladder.sweep import Failure
from stepladder.workers import Workers

if TYPE_CHECKING:
    from stepladder.cluster.client import Cluster


def train(jobs: list[Job], executor_for: "Callable[[int], Workers | Cluster]", progress: bool) -> list[Failure]:
    """Train what is missing, so many runs on what is opened for them; the runs that failed, with their reasons."""
    runs = jobs[0].setup.runs
    for fingerprint in {job.fingerprint for job in jobs}:
        records.tidy(runs, fingerprint)
    todo = sweep.missing(jobs)
    if progress:
        asked = len({(job.fingerprint, job.seed) for job in jobs})
        live.begin(asked - len(todo), len(todo), runs, [*_told(jobs[0].setup), *_modules(todo)])
    if not todo:
        return []
    runs.mkdir(parents=True, exist_ok=True)
    if sentence := records.no_locks(runs):
        live.tell(sentence)
    jobs[0].setup.keep()
    executor = executor_for(len(todo))
    try:
        if progress and not isinstance(executor, Workers):
            live.tell(executor.told())
        stands = sweep.sweep(todo, executor)
        if progress:
            return live.follow(stands, todo).failures
        *_, end = stands
        return end.failures
    finally:
        executor.kill()  # after a sweep's end none is busy; after anything else none may go on unseen


def _modules(jobs: Sequence[Job]) -> list[str]:
    """What is to be known of each step that is a module, where there is anything."""
    found = {}
    for step, setup in ((job.step, job.setup) for job in jobs):
        network = step.network
        if isinstance(network, Module) and (networks.trainer(network, setup.engine).reason or network.alike or not network.cached):
            found[step.id] = f"step {step.id}: {networks.told(step.network, setup.engine)}"
    return [*found.values()]


def lone_image(step: Step, images: int) -> str:
    """Why a step cannot train on so many images, whose last batch would be one image; empty where it can."""
    batch = step.recipe.batch_size
    if images % batch == 1 and (layer := step.network.point_norm):
        return (
            f"step {step.id}: the last of its batches of {batch:,} has 1 of {images:,} images, and {layer} "
            "cannot take statistics of one value a channel: choose another batch size"
        )
    return ""


def _told(setup: Setup) -> list[str]:
    """What images were found; nothing of MNIST itself."""
    if setup.data is None:
        return []
    found = setup.dataset()
    return [f"{setup.data}: {found}", *found.remarks]
