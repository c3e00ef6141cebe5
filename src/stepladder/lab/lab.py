"""A lab: where runs are kept, what images they are made on, and what trains them."""

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stepladder import cluster, engine, evidence
from stepladder.cluster.acceptance import Wanted
from stepladder.data import Dataset, Reading, check_fits
from stepladder.environment import cores
from stepladder.evidence import Effect
from stepladder.export.folder import Export
from stepladder.job import Job, Setup
from stepladder.lab.elsewhere import sentence
from stepladder.lab.result import Result, no_shared_seed
from stepladder.lab.training import lone_image, train
from stepladder.records import RecordError
from stepladder.spec import Budget, Network, SpecError, UserError
from stepladder.steps import Ladder, Step
from stepladder.sweep import Failure
from stepladder.workers import Workers

if TYPE_CHECKING:
    from stepladder.climb.plan import Plan
    from stepladder.cluster import Where
    from stepladder.cluster.client import Cluster
    from stepladder.lab.climb import Climbed, Wish

MOST_SEEDS = 100_000
"""Of a step in one sweep."""
MOST_SIDE = 4_096
"""Of an image, in pixels: networks of this kind have no use for more."""


@dataclass(frozen=True)
class Lab:
    """Where runs are kept, what images they are made on, and what trains them.

    - `runs`: the folder of records; the first run makes it
    - `data`: the path of images in any format that is recognised (docs/images.md); None is MNIST itself, which is in the package
    - `split`: the share of images that becomes the test part of data that has none. `size`: (height, width) that pictures are
      resized to. `channels`: 1 (grey) or 3 (colour) that they are converted to
    - `holdout`: judge by so many training images, kept back from training (a validation part's first, where the data has one), the
      same share of every class, and leave the test set unread: for whatever chooses. `fold`: which of the parts of that size, that
      share no image, is kept back, 0 or more
    - `engine`: "native" or "torch"; None is native on the CPU and torch on CUDA. `device`: "cpu" or "cuda"
    - `workers`: processes that train at the same time; None is one for each core. `threads` of one run; given alone, one run trains
      at a time. The native engine's bits do not depend on either
    - `cluster`: train on the workers of a Dask cluster (docs/cluster.md) instead: the address of its scheduler, "local:4" for four
      processes here, or a client of dask.distributed. With `same_bits` its workers must have this processor and this torch;
      `shared` is the folder of runs as its workers see it: they read and write there, and nothing is sent
    - `quick`: a first look: three epochs on a part of the images, in records and a report of their own

    Raises UserError for an engine or a device that is not there. Images are read when they are needed first.
    """

    runs: str | Path = "runs"
    _: KW_ONLY
    data: str | Path | None = None
    split: float = 0.0
    size: tuple[int, int] | None = None
    channels: int | None = None
    holdout: int = 0
    fold: int = 0
    engine: str | None = None
    device: str = "cpu"
    workers: int | None = None
    threads: int | None = None
    quick: bool = False
    cluster: "Where | None" = None
    same_bits: bool = False
    shared: str | Path | None = None

    def __post_init__(self) -> None:
        for name, least in (("holdout", 0), ("fold", 0), ("workers", 1), ("threads", 1)):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < least):
                raise UserError(f"{name} is {value!r}, expected a whole number of at least {least}")
        for name in ("runs", "data", "shared"):
            value = getattr(self, name)
            if (not isinstance(value, str | Path) or not str(value) or "\0" in str(value)) and not (
                name != "runs" and value is None
            ):
                raise UserError(f"{name} is {value!r}, expected a path")
        if self.cluster is not None:
            cluster.check(self.cluster)
            if self.workers is not None:
                raise UserError(f"workers is {self.workers}, expected None: a cluster has its own (cluster is {self.cluster!r})")
        elif self.same_bits or self.shared:
            name = "same_bits" if self.same_bits else "shared"
            raise UserError(f"{name} is of a cluster's workers, and cluster is None: name one")
        check_reading(self.split, self.size, self.channels)
        if type(self.quick) is not bool:
            raise UserError(f"quick is {self.quick!r}, expected True or False")
        if not isinstance(self.engine, str | None):
            raise UserError(f"engine is {self.engine!r}, expected a name or None")
        engine.check(self.setup.engine, self.device, self.threads or 1)
        if Path(self.runs).exists() and not Path(self.runs).is_dir():
            raise UserError(f"{self.runs}: found a file, expected a folder of runs")

    @property
    def setup(self) -> Setup:
        """What its runs are made with, but for the threads."""
        chosen = self.engine or ("native" if self.device == "cpu" else "torch")
        size = None if self.size is None else (self.size[0], self.size[1])
        reading = Reading(self.split, size, self.channels, self.holdout, self.fold, self.quick)
        return Setup(Path(self.runs), None if self.data is None else Path(self.data), chosen, self.device, reading=reading)

    def run(
        self,
        ladder: Ladder,
        seeds: int = 1,
        *,
        steps: Iterable[str] | None = None,
        epochs: int | None = None,
        progress: bool = True,
    ) -> Result:
        """Train what is missing of each step (or of those whose ids `steps` names) with seeds 0 to `seeds` - 1, and return what
        all runs show. Interrupted at any moment, the same call goes on where it was, and ends with the same bits.

        `epochs` are those of every step, in the place of its own. With `progress` it shows how it stands, in a terminal or a
        notebook. Raises SpecError for a ladder that breaks its budget, UserError for what engine or images do not allow; a run
        that fails is told in the result's `problems`, and the others go on.
        """
        ladder = self._of(ladder, epochs)
        if type(seeds) is not int or not 1 <= seeds <= MOST_SEEDS:
            raise UserError(f"seeds is {seeds!r}, expected a whole number from 1 to {MOST_SEEDS:,}")
        if violations := ladder.violations():
            raise SpecError(f"ladder {ladder.name!r} breaks its budget: {'; '.join(violations)}")
        if steps is not None and (isinstance(steps, str) or not isinstance(steps, Iterable)):
            raise UserError(f"steps is {steps!r}, expected several ids, as in steps=[{steps!r}]")
        chosen = ladder.steps if steps is None else [ladder.step(name) for name in steps]
        if not chosen:
            raise UserError("steps names no step, expected at least one id")
        self._check(chosen)
        workers = self._workers(min(cores(), len(chosen) * seeds))
        # From what is asked for, not from what is missing: a continued sweep must not change its numbers of threads.
        setup = replace(self.setup, threads=self._threads(workers))
        prints = [setup.fingerprint(step) for step in chosen]
        jobs = [
            Job(ladder.name, step, seed, setup, known) for seed in range(seeds) for step, known in zip(chosen, prints, strict=True)
        ]
        failures = train(jobs, lambda count: self._executor(min(workers, count)), progress)
        return self._result(ladder, tuple(failures))

    def result(self, ladder: Ladder, *, epochs: int | None = None) -> Result:
        """What the runs that are recorded show; trains nothing and writes nothing, but which runs were verified (`records.index`).

        Raises UserError where there is no folder of runs, DataError (a UserError) for images that do not fit the networks.
        """
        ladder = self._of(ladder, epochs)
        self._look()
        for step in ladder.steps:
            check_fits(self.setup.dataset(step.network.classes), step.network.input)
        return self._result(ladder)

    def compare(self, step: Step, other: Step) -> Effect:
        """What the runs of one step differ in from those of another, paired over the seeds that both have, as a claim of its own:
        without the correction for the other steps of a ladder, which `Result.compare` makes.

        Raises UserError where no finished seed is shared, RecordError for a run that contradicts itself.
        """
        self._look()
        for each in (step, other):
            if not isinstance(each, Step):
                raise SpecError(f"found {each!r}, expected a Step (Result.compare takes ids)")
        if self.setup.fingerprint(step) == self.setup.fingerprint(other):
            raise UserError(f"{step.id} and {other.id} have the same network and recipe: their runs are the same")
        one, two = (evidence.load([each], self.setup)[each.id] for each in (step, other))  # apart: both may have one id
        if damaged := [*one.damaged, *two.damaged]:
            raise RecordError(damaged[0])
        effect = evidence.compare(one, two, self.setup.images([step]).test_labels)
        if effect is None:
            raise no_shared_seed((step, one), (other, two))
        return effect

    def export(
        self,
        step: Step | str,
        to: str,
        folder: str | Path | None = None,
        *,
        ladder: Ladder | None = None,
        int8: bool = False,
        seed: int | None = None,
        layout: str = "plain",
        force: bool = False,
        beside: Sequence[Step | str] = (),
    ) -> Export:
        """Take a recorded run of a step (or of the id of a step of `ladder`) out, as "onnx", "c", "torch" or "html": write it, its
        model card and the licence to `folder`, by default one named after ladder, step and `to` beside the runs; and run what was
        written over all test images.

        `seed` is by default the lowest that finished. With `int8` weights and activations are of 8 bits (of a page the weights
        alone); `layout` is of C, "plain" or "arduino"; `beside` are other steps on the same page, each with the run of its seed.
        Raises UserError for what cannot be exported, before anything is written; for a folder that exists, unless it holds an
        export and `force` is given; and where an answer differs from the record's, unless by rounding or for 8 bits, of which
        `Export.equal` tells how many do not.
        """
        from stepladder.lab.export import export

        if ladder is not None and self.quick:
            ladder = self._of(ladder, None)
        chosen, *others = [_step(each, ladder) for each in (step, *beside)]
        self._look()
        check_fits(self.setup.dataset(chosen.network.classes), chosen.network.input)
        return export(self.setup, chosen, to, folder, ladder, int8, seed, layout, force, others)

    def climb(
        self,
        start: Step | Ladder | None,
        budget: Budget,
        *,
        hours: float | None = None,
        runs: int | None = None,
        seed: int = 0,
        locked: bool = False,
        difference: float | None = None,
        output: str | Path = "climbed.py",
        progress: bool = True,
    ) -> "Climbed":
        """Climb by itself (docs/climb.md): from a step, the last kept one of a ladder, or a plain network made for the images
        (None), try changes of one concept on training images kept back, keep what sequential tests show to help, prune to the
        smallest network that reaches the target, and confirm the end on fresh seeds and the test set, which is read once, unless
        it is `locked`. The ladder is written to `output`.

        It takes about so many `hours`, or so many `runs` in all. `seed` is of the order in which moves are tried; `difference` is
        that of accuracies (a fraction) which its tests look for, by default about the deviation of a run over seeds. A start that
        is over the budget is narrowed. Interrupted at any moment, the same call goes on, and ends with the same ladder. Raises
        UserError for a start that no narrowing brings within the budget or that is not made of layers, and where a climb of this
        name was begun with something else.
        """
        from stepladder.climb.plan import CONFIRMED
        from stepladder.lab import climb

        wish = climb.Wish(budget, hours, runs, seed, locked, difference, Path(output).stem)
        plan, setup, workers = self.planned(start, wish)
        whole = replace(self, holdout=0, fold=0)

        def confirm(ladder: Ladder, steps: list[str]) -> Result:
            return whole.run(ladder, CONFIRMED, steps=steps, progress=progress)

        return climb.climb(plan, setup, workers, wish, Path(output), confirm, progress, self._executor)

    def planned(self, start: Step | Ladder | None, wish: "Wish") -> "tuple[Plan, Setup, int]":
        """The plan of a climb, what its runs are made with, and how many at the same time; trains nothing."""
        from stepladder.lab import climb

        workers = self._workers(cores()) if self.cluster is None else cluster.count(self.cluster, self._wanted)
        setup = replace(climb.kept_back(self.setup), threads=self._threads(workers))
        plan = climb.begin(setup, workers, start, wish)
        self._check([plan.start])
        return plan, setup, workers

    def images(self) -> Dataset:
        """The images its runs are made on: `train_images` and `test_images`, uint8 (n, channels, height, width), `train_labels`,
        `test_labels` and the names of the `classes`; with a holdout the test images are those kept back. Raises DataError where
        they cannot be used."""
        return self.setup.dataset()

    def _result(self, ladder: Ladder, failures: tuple[Failure, ...] = ()) -> Result:
        arms = evidence.load(ladder.steps, self.setup)
        found = any(arm.records or arm.damaged for arm in arms.values())
        gathered = evidence.gather(ladder, arms, self.setup.images(ladder.steps).test_labels)
        return Result(ladder, self.setup, arms, gathered, failures, None if found else sentence(ladder, self.setup))

    def _workers(self, most: int) -> int:
        """Processes that train at the same time."""
        return self.workers or (1 if self.threads else most)

    def _threads(self, workers: int) -> int:
        """Of one run, where so many train at the same time."""
        return self.threads or (1 if self.cluster is not None else max(1, cores() // workers))

    @property
    def _wanted(self) -> Wanted:
        """What is asked of a cluster's workers."""
        return Wanted(self.same_bits, Path(self.runs), None if self.shared is None else Path(self.shared))

    def _executor(self, workers: int) -> "Workers | Cluster":
        """What trains: so many processes here, or the workers of the cluster."""
        return Workers(workers) if self.cluster is None else cluster.opened(self.cluster, self._wanted)

    def _of(self, ladder: Ladder, epochs: int | None) -> Ladder:
        """The ladder with the epochs that it is to have here."""
        if not isinstance(ladder, Ladder):
            raise SpecError(f"found {ladder!r}, expected a Ladder")
        if epochs is not None:
            return ladder.with_epochs(epochs)
        return ladder.quick() if self.quick else ladder

    def _look(self) -> None:
        """Raise UserError where there is no folder of runs to look at."""
        if not Path(self.runs).is_dir():
            raise UserError(f"{self.runs}: no such folder of runs; the first run makes it (`stepladder run`, Lab.run)")

    def _check(self, steps: Sequence[Step]) -> None:
        """Raise what would keep a worker from training these steps."""
        for step in steps:
            if isinstance(step.network, Network) and (reason := engine.refusal(step.network, self.setup.engine)):
                raise UserError(f"step {step.id}: {reason}")
            dataset = self.setup.dataset(step.network.classes)
            check_fits(dataset, step.network.input)
            if reason := lone_image(step, len(dataset.train_images)):
                raise UserError(reason)


def _step(step: Step | str, ladder: Ladder | None) -> Step:
    """A step, or that of an id; raises SpecError and UserError for what is neither."""
    if isinstance(step, str):
        if ladder is None:
            raise UserError(f"step is {step!r}, expected a Step, or the ladder that this is the id of a step of (ladder=...)")
        return ladder.step(step)
    if not isinstance(step, Step):
        raise SpecError(f"found {step!r}, expected a Step or an id")
    return step


def check_reading(split: object, size: object, channels: object) -> None:
    """Raise UserError for what no source can be read by."""
    if type(split) not in (int, float) or not (isinstance(split, int | float) and 0 <= split < 1):
        raise UserError(f"split is {split!r}, expected a share of the images, as 0.2")
    sides = size if isinstance(size, tuple | list) else ()
    if size is not None and (len(sides) != 2 or not all(type(side) is int and 1 <= side <= MOST_SIDE for side in sides)):
        raise UserError(f"size is {size!r}, expected (height, width) of 1 to {MOST_SIDE:,} pixels")
    if channels is not None and (type(channels) is not int or channels not in (1, 3)):
        raise UserError(f"channels is {channels!r}, expected 1 (grey) or 3 (colour)")
