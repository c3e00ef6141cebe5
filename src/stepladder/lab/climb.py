"""A climb from its start to its report: planned, driven, confirmed on fresh seeds, and written down."""

import datetime
import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepladder import live, networks, records
from stepladder.climb import story
from stepladder.climb.candidate import Candidate
from stepladder.climb.concepts import bare, changed
from stepladder.climb.drive import Drive, asked, drive, opened
from stepladder.climb.ladder import ladder
from stepladder.climb.moves import candidates
from stepladder.climb.networks import allowed
from stepladder.climb.plan import CONFIRMED, FEW, TRIED, VERIFIED, Plan
from stepladder.climb.prune import narrower, shallower
from stepladder.climb.rule import Climb
from stepladder.climb.sequential import prior, shows
from stepladder.climb.start import plain
from stepladder.climb.widths import fitted, scaled
from stepladder.job import Job, Setup
from stepladder.lab.training import lone_image
from stepladder.networks import Module
from stepladder.spec import Budget, Network, UserError
from stepladder.steps import Ladder, Step
from stepladder.steps.source import source
from stepladder.steps.step import SHORT, no_folder

if TYPE_CHECKING:
    from stepladder.cluster.client import Cluster
    from stepladder.lab.result import Result
    from stepladder.workers import Workers

Confirm = Callable[[Ladder, list[str]], "Result"]
"""Trains `CONFIRMED` seeds of these steps of a ladder on all training images, and opens the test set."""

Opened = Callable[[int], "Workers | Cluster"]
"""Opens what so many runs are made by at the same time."""

FOLDS = 4
"""Parts of the training images that are kept back in turn: one explores, the others verify."""
SHARE = 6
"""Each is a sixth of the training images."""
DIFFERENCE = 0.05 / 0.055
"""What tests look for, in deviations of a run over seeds: 0.05 points near 99.4 % of 10,000 images."""
LEAST = 10
"""Runs beside the confirmation, without which nothing can be tried."""
USED = 0.85
"""Of the time: the rest goes into starting processes, and into runs that were begun ahead and then not asked for."""


@dataclass(frozen=True)
class Wish:
    """What a climb is to do: within `budget`, in so many `hours` or so many `runs`, one of them; the test set stays unread where it
    is `locked`; `seed` is of the order in which moves are tried; `difference` of accuracies (a fraction) is what its tests look
    for, by default about what runs are expected to deviate over seeds, 0.05 points on MNIST, and more where they deviate by more;
    `name` is that of the ladder and of its folder beside the runs."""

    budget: Budget
    hours: float | None = None
    runs: int | None = None
    seed: int = 0
    locked: bool = False
    difference: float | None = None
    name: str = "climbed"

    def __post_init__(self) -> None:
        if (self.hours is None) == (self.runs is None):
            raise UserError(f"hours is {self.hours!r} and runs is {self.runs!r}, expected one of them (--hours, --runs-budget)")
        if self.hours is not None and not (isinstance(self.hours, int | float) and 0 < self.hours < 10_000):
            raise UserError(f"hours is {self.hours!r}, expected a number above 0")
        if self.runs is not None and (type(self.runs) is not int or not 1 <= self.runs <= 1_000_000):
            raise UserError(f"runs is {self.runs!r}, expected a whole number of at least 1")
        if reason := no_folder(self.name):
            raise UserError(f"the climb would be called {self.name!r}, {reason} (-o, output)")
        if self.difference is not None and not 0 < self.difference < 1:
            raise UserError(f"difference is {self.difference!r}, expected a fraction above 0 (0.0005 are 0.05 points)")


@dataclass(frozen=True)
class Climbed:
    """What a climb left: its `ladder`, the `path` of the Python file with it, all its decisions, and what the fresh seeds show,
    None where the test set is locked."""

    ladder: Ladder
    path: Path
    climb: Climb
    result: "Result | None"
    story: Path
    """The climb in words, climb.md, beside the report."""

    def __str__(self) -> str:
        return story.markdown(self.climb, self.ladder, self.result.evidence if self.result else {}, None)

    __repr__ = __str__


def begin(setup: Setup, workers: int, start: Step | Ladder | None, wish: Wish) -> Plan:
    """The plan of a climb on images that are `kept_back`: from a step, the last of a ladder that is kept, or a plain network made
    for the images; narrowed where it is over the budget. Raises UserError for a start that is not made of layers, or that no
    narrowing brings within the budget."""
    dataset = setup.dataset()
    step = start.last if isinstance(start, Ladder) else start
    if step is None:
        step = plain(dataset.shape, len(dataset.classes), wish.budget)
    if not isinstance(step, Step):
        raise UserError(f"start is {start!r}, expected a Step, a Ladder or None")
    if isinstance(step.network, Module):
        found = networks.layers(step.network)
        if found is None:
            raise UserError(f"step {step.id}: a climb changes layers, and its module has none: {step.network.reason}")
        step = Step(step.title, found, step.recipe, step.target, step.note, step.id)
    step = _narrowed(step, wish.budget)
    held, images = setup.reading.holdout, len(dataset.train_labels) + len(dataset.test_labels)
    folds = min(FOLDS, images // held)
    if folds < 2:
        raise UserError(f"holdout is {held:,}, expected at most half of the training images: one part chooses, another verifies")
    untrainable = _untrainable(setup, folds)
    if reason := untrainable(step):
        raise UserError(reason)
    deviation = prior(wish.budget.accuracy, len(dataset.test_labels))
    difference = wish.difference or DIFFERENCE * deviation
    if not all(shows(difference, 2**0.5 * deviation, limits) for limits in (TRIED, VERIFIED)):
        raise UserError(
            f"difference is {difference:g}, {difference * 100:g} points: too little for {VERIFIED.most} pairs to show, where runs "
            f"are expected to deviate by {deviation * 100:.2g} points (left out it is {DIFFERENCE * deviation * 100:.2g} points)"
        )
    return Plan(
        start=Step(step.title, step.network, step.recipe, step.target, step.note, step.id),
        budget=wish.budget,
        total=float(wish.runs) if wish.runs else (wish.hours or 0) * 3600 * workers * USED,
        whole=1.0 if wish.runs else images / (images - held),
        few=False,
        locked=wish.locked,
        seed=wish.seed,
        folds=folds,
        deviation=deviation,
        difference=difference,
        moves=lru_cache(maxsize=256)(_moves(untrainable)),
        narrower=lru_cache(maxsize=64)(narrower),
        shallower=lru_cache(maxsize=64)(shallower),
    )


def _untrainable(setup: Setup, folds: int) -> Callable[[Step], str]:
    """What tells why a step cannot train on the images that are left when a part is kept back, or on all; empty where it can."""
    parts = [replace(setup, reading=setup.reading._replace(fold=fold)).dataset() for fold in range(folds)]
    counts = {len(part.train_labels) for part in parts}
    counts |= {len(part.train_labels) + len(part.test_labels) for part in parts}
    return lambda step: next(filter(None, (lone_image(step, count) for count in sorted(counts))), "")


def _moves(untrainable: Callable[[Step], str]) -> Callable[[Step, Budget], list[Candidate]]:
    """The candidates of a step that can be trained."""

    def moves(step: Step, budget: Budget) -> list[Candidate]:
        made = [(each, changed(step, each.concept, each.value)) for each in candidates(step, budget)]
        return [each for each, after in made if after and not untrainable(after)]

    return moves


def _narrowed(step: Step, budget: Budget) -> Step:
    """The step, with fewer epochs and then with narrower layers where it is over the budget; raises UserError where these do not
    do."""
    if not step.exceeds(budget):
        return step
    assert isinstance(step.network, Network)
    recipe, most = replace(step.recipe, epochs=min(step.recipe.epochs, budget.epochs)), step.network.parameters
    network: Network | None = step.network
    if not allowed(step.network, recipe, budget):
        network = fitted(step.network, lambda made: made.parameters <= most and allowed(made, recipe, budget))
    if network is None:
        cost, *_ = Step(step.title, scaled(step.network, 0.0), recipe).exceeds(budget) or step.exceeds(budget)
        raise UserError(
            f"step {step.id} has {cost.value:,} {cost.unit} with the narrowest layers, the budget of the climb allows "
            f"{cost.limit:,}: start from less"
        )
    return Step(f"{step.title[: SHORT - 24]}, within the budget", network, recipe, step.target, step.note)


def climb(
    plan: Plan, setup: Setup, workers: int, wish: Wish, output: Path, confirm: Confirm, progress: bool, executor: Opened
) -> Climbed:
    """Climb as planned, confirm, and write the ladder to `output` and its report beside the runs. Runs are made by what
    `executor` opens for so many workers."""
    folder = setup.runs / wish.name
    _check_output(output, folder)
    with records.alone(setup.runs, f"{wish.name}-climb"):
        begun_with = asked(plan, setup, "runs" if wish.runs else "hours", wish.runs or wish.hours or 0)
        begun = opened(folder / "climb.jsonl", begun_with, lambda: enough(plan, runs_that_fit(plan, setup, wish)) < FEW, plan.total)
        plan = replace(plan, few=begun.few, total=begun.total)  # as it was begun, by whatever workers
        now = _driven(Drive(plan, setup, wish.runs is None, folder / "climb.jsonl"), executor, workers, progress)
        made = ladder(now, wish.name)
        result = None if plan.locked else _confirmed(made, now, confirm)
        opened_on = _told(folder).get("opened") or (datetime.date.today().isoformat() if result else None)
        text = source(made, f"{story.headline(now)}\n\n{story.what(plan)}").encode()
        told = story.data(now, made) | {"opened": opened_on, "ladder_sha256": hashlib.sha256(text).hexdigest()}
        records.write_bytes(folder / "climb.json", (json.dumps(told, indent=1) + "\n").encode())
        found = result.evidence if result else {}
        records.write_bytes(output, text)
        records.write_bytes(folder / "climb.md", story.markdown(now, made, found, opened_on).encode())
        if result:
            result.report(force=True)
    return Climbed(made, output, now, result, folder / "climb.md")


def _told(folder: Path) -> dict[str, Any]:
    """What the climb in a folder has left before; empty where there is nothing."""
    try:
        found = json.loads((folder / "climb.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _check_output(output: Path, folder: Path) -> None:
    """Raise UserError where the ladder would replace a file that no climb of this name has written, or that was edited since, or
    its report that of another ladder."""
    if (folder / "report.json").exists() and not (folder / "climb.jsonl").exists():
        raise UserError(f"{folder}: found the report of another ladder of this name, expected none: give the climb another (-o)")
    if not output.exists():
        return
    written = _told(folder).get("ladder_sha256")
    if not output.is_file() or hashlib.sha256(output.read_bytes()).hexdigest() != written:
        raise UserError(
            f"{output}: found something that this climb did not write as it is now, expected no file: choose another (-o)"
        )


def enough(plan: Plan, runs: float) -> float:
    """So many runs, if any are left beside those of the confirmation; raises UserError where they are not."""
    if not plan.locked and runs < 2 * CONFIRMED + LEAST:
        raise UserError(
            f"about {runs:,.0f} runs fit, of which {2 * CONFIRMED} are for fresh seeds of start and end: expected at least "
            f"{2 * CONFIRMED + LEAST}, or a locked test set (--locked)"
        )
    return runs


def runs_that_fit(plan: Plan, setup: Setup, wish: Wish) -> float:
    """How many runs of the start there is time for, by one epoch of it here and now; or how many were asked for."""
    return wish.runs or plan.total / seconds(plan, setup)


def seconds(plan: Plan, setup: Setup) -> float:
    """Of a run of the start, by its first epoch."""
    from stepladder.train import train

    step = bare(plan.start)
    once = replace(step, recipe=replace(step.recipe, epochs=1))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as runs:
        record = records.read(train(Job("climb", once, 0, replace(setup, runs=Path(runs)))))
    if not record.history:
        raise UserError(f"step {plan.start.id}: its loss is not finite in its first epoch: start from a smaller learning rate")
    return step.recipe.epochs * sum(epoch.seconds for epoch in record.history)


def _driven(work: Drive, opened: Opened, workers: int, progress: bool) -> Climb:
    """The climb at its end."""
    if sentence := records.no_locks(work.setup.runs):
        live.tell(sentence)
    for fold in range(work.plan.folds):
        replace(work.setup, reading=work.setup.reading._replace(fold=fold)).keep()
    executor = opened(workers)
    try:
        stands = drive(work, executor, workers)
        if progress:
            return live.climb(stands).now
        *_, end = stands
        return end.now
    finally:
        executor.kill()


def _confirmed(made: Ladder, now: Climb, confirm: Confirm) -> "Result":
    """Fresh seeds of start and end on all training images, and of the steps between where there is room."""
    kept = [step.id for step in made.steps if step.kept]
    between = len(kept[1:-1]) * CONFIRMED * now.mean_cost * now.plan.whole
    result = confirm(made, list(dict.fromkeys([kept[0], kept[-1]])))
    return confirm(made, kept) if between and now.left >= between else result


def kept_back(setup: Setup) -> Setup:
    """What the runs of a climb are made with: a sixth of the training images kept back, unless it is said how many."""
    if setup.reading.quick:
        raise UserError("quick is True, expected False: a climb is no first look, as it confirms what it finds")
    if setup.reading.fold:
        raise UserError(f"fold is {setup.reading.fold}, a climb keeps back one part after the other: expected none (0)")
    if setup.reading.holdout:
        return setup
    return replace(setup, reading=setup.reading._replace(holdout=max(1, len(setup.dataset().train_labels) // SHARE)))
