"""What a ladder's runs show: a result that shows itself, gives its figures as rows, draws them, and writes the report."""

import html
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepladder import evidence, records, report, trackers
from stepladder.climb import story
from stepladder.evidence import Arm, Effect, Evidence, Missed, Quantised, Target
from stepladder.job import Setup
from stepladder.lab.run import Run
from stepladder.page.table import html_table, text_table
from stepladder.records import Record
from stepladder.spec import UserError
from stepladder.steps import Ladder, Step
from stepladder.sweep import Failure
from stepladder.trackers import Tracked

if TYPE_CHECKING:
    from stepladder.lab.plot import Plot


@dataclass(frozen=True, eq=False)
class StepResult:
    """What one step's runs show."""

    step: Step
    setup: Setup
    arm: Arm
    evidence: Evidence

    @property
    def target(self) -> Target:
        """Whether the step reaches the budget's accuracy and holds it: `.verdict`, and how many `.seeds` would tell."""
        return self.evidence.target

    @property
    def effect(self) -> Effect | None:
        """Its test accuracy against its parent's, paired by seed: `.verdict`, `.mean`, `.low`, `.high`, ...; None without a shared
        seed, and for the first step."""
        return self.evidence.effect

    def run(self, seed: int | None = None) -> Run:
        """The recorded run of a seed, by default the lowest that did not diverge; raises UserError, naming the seeds there are."""
        if seed is None:
            seed = min((record.seed for record in self.arm.finished), default=None)
        for record in self.arm.records:
            if record.seed == seed and type(seed) is int:
                return Run(self.arm.folders[seed], record, self.step.network)
        if seed is None:
            raise UserError(f"step {self.step.id} has no finished run")
        there = ", ".join(str(record.seed) for record in self.arm.records) or "none"
        raise UserError(f"step {self.step.id} has no run of seed {seed!r}; its seeds are {there}")

    def missed(self) -> list[Missed]:
        """The test images that at least one finished seed answered wrong, most often missed first."""
        return list(self.evidence.missed)


@dataclass(frozen=True, eq=False)
class Result:
    """What the runs of a ladder show, step by step: `result["A4"].target.verdict`.

    `failures` are the runs that could not be made; `hint` says, where no run was found, under which options there are some.
    """

    ladder: Ladder
    setup: Setup
    arms: Mapping[str, Arm]
    evidence: Mapping[str, Evidence]
    failures: tuple[Failure, ...] = ()
    hint: str | None = None

    def __iter__(self) -> Iterator[str]:
        """The ids of the steps, in ladder order."""
        return (step.id for step in self.ladder.steps)

    def __getitem__(self, id: str) -> StepResult:
        """The result of the step with this id; raises SpecError naming those there are."""
        step = self.ladder.step(id)
        return StepResult(step, self.setup, self.arms[id], self.evidence[id])

    @property
    def problems(self) -> list[str]:
        """Why runs failed, and why recorded ones were set aside, a sentence each."""
        failed = [f"{failure.job} failed: {failure.reason}" for failure in self.failures]
        damaged = (reason for arm in self.arms.values() for reason in arm.damaged)
        return failed + [f"set aside: {reason} (delete its folder to train it anew)" for reason in damaged]

    def compare(self, step: str, other: str) -> Effect:
        """The effect of a step against another one, by their ids, paired over the seeds that both have; where one is the
        other's parent, corrected for the other steps of the ladder. Raises UserError where no finished seed is shared."""
        one, two = self.ladder.step(step), self.ladder.step(other)
        if self.hint:
            raise UserError(self.hint)
        if self.setup.fingerprint(one) == self.setup.fingerprint(two):
            raise UserError(f"{step} and {other} have the same network and recipe: their runs are the same")
        effect = evidence.between(self.ladder, self.arms, self.setup.images(self.ladder.steps).test_labels, one, two)
        if effect is None:
            raise no_shared_seed((one, self.arms[step]), (two, self.arms[other]))
        return effect

    def quantised(self, steps: Iterable[str] | None = None, *, progress: bool = True) -> dict[str, Quantised]:
        """What 8 bits cost each step (or those whose ids `steps` names): the networks of its finished seeds, quantised as an export
        to C with `int8` is, answer all test images, paired with their own answers in floats; nothing is written.

        A step that integers cannot express has the reason in `refused`. The effects are corrected for one another. With `progress`
        stderr shows how many networks are done. Raises SpecError for an id that no step has.
        """
        from stepladder.lab.quantised import answered

        if steps is not None and (isinstance(steps, str) or not isinstance(steps, Iterable)):
            raise UserError(f"steps is {steps!r}, expected several ids, as in steps=[{steps!r}]")
        chosen = [self.ladder.step(name) for name in steps] if steps is not None else list(self.ladder.steps)
        if not chosen:
            raise UserError("steps names no step, expected at least one id")
        dataset = self.setup.images(self.ladder.steps)
        found = answered(chosen, self.arms, dataset, progress)
        return evidence.quantised(self.ladder, self.arms, found, dataset.test_labels)

    def rows(self) -> list[dict[str, Any]]:
        """A dict for each run, in ladder order and by seed, as `pandas.DataFrame` takes them. Accuracies are fractions after the
        last epoch (None where it diverged), seconds those of all epochs."""
        return [run.row for run in self._tracked()]

    def history(self) -> list[dict[str, Any]]:
        """A dict for each epoch of each run, in ladder order, by seed and epoch, as `pandas.DataFrame` takes them; the figures are
        those of `stepladder.records.Epoch`."""
        return [row for run in self._tracked() for row in run.history()]

    def _tracked(self) -> list[Tracked]:
        pairs = ((step, record) for step in self.ladder.steps for record in self.arms[step.id].records)
        return [Tracked(_row(self.ladder, step, record), record) for step, record in pairs]

    def write(self, to: str, folder: str | Path | None = None) -> list[Path]:
        """Write the runs for other tools, to a new folder, by default LADDER-TO beside the runs; returns its files.

        `to` is "csv" (runs.csv and epochs.csv, the tables of `rows` and `history`), "tensorboard" (a folder of events for each run)
        or "mlflow" (a SQLite store). Raises UserError for another, where there is no run, for a folder that holds something, and
        where the tool's library, an extra of that name, is missing.
        """
        if self.hint:
            raise UserError(self.hint)
        name = "-".join([self.ladder.name, *self.setup.reading.judged])
        return trackers.write(to, self._tracked(), name, self.setup.runs / f"{name}-{to}" if folder is None else Path(folder))

    def plot(self) -> "Plot":
        """Learning curves (mean test accuracy of each step) and the effects with their 95 % intervals, as a matplotlib figure."""
        from stepladder.lab.plot import figure

        return figure(self.ladder, self.arms, self.evidence)

    def report(self, folder: str | Path | None = None, *, force: bool = False) -> "Report":
        """Write report.html, report.md, report.json and missed.json, all of them or none, by default to a folder of the
        ladder's name beside the runs.

        Raises UserError where there is no run to report, and, unless it is forced, where a report of more runs is there already.
        """
        if self.hint:
            raise UserError(self.hint)
        name = "-".join([self.ladder.name, *self.setup.reading.judged])
        to = self.setup.runs / name if folder is None else Path(folder)
        found = self.data
        with records.alone(to.parent, to.name):
            if not force and (there := report.runs_in(to)) > (here := report.runs_of(found)):
                raise UserError(
                    f"{to / 'report.json'}: found a report of {there} runs, these are {here}: "
                    "choose another folder (--output), or force it to be replaced (force=True, --force)"
                )
            if report.is_written(found, self.ladder, self.setup, to, self.arms):
                return Report(to, tuple(to / name for name in report.FILES), unchanged=True)
            return Report(to, tuple(report.write(found, self.ladder, self.setup, to, self.arms)))

    @cached_property
    def data(self) -> dict[str, Any]:
        """The data of report.json; its fields are documented in `stepladder.report`."""
        images, exports = self.setup.images(self.ladder.steps), records.exports(self.setup.runs)
        found = report.build(self.ladder, self.setup, self.arms, self.evidence, images, exports)
        climbed = story.recorded(self.setup.runs / self.ladder.name / "climb.json", self.ladder)
        return found | ({"climb": climbed} if climbed else {})

    def __str__(self) -> str:
        return "\n".join([text_table(self.data), *self._notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_table(self.data) + "".join(f"<p>{html.escape(note)}</p>" for note in self._notes)

    @property
    def _notes(self) -> list[str]:
        """What stands below the table: what it shows, or why there is nothing, and what went wrong."""
        return [self.hint or self.data["headline"], *self.problems]


@dataclass(frozen=True)
class Report:
    """A report that was written: its `folder`, and the paths of its files; `unchanged` where they were there already, just as they
    would be. A notebook shows the page."""

    folder: Path
    paths: tuple[Path, ...]
    unchanged: bool = False

    @property
    def page(self) -> Path:
        """The page, one file that needs nothing else."""
        return self.folder / "report.html"

    def _repr_html_(self) -> str:
        page = html.escape(self.page.read_text(encoding="utf-8"))
        return f'<iframe srcdoc="{page}" style="width: 100%; height: 40em; border: 1px solid #8888"></iframe>'


def no_shared_seed(*pair: tuple[Step, Arm]) -> UserError:
    """The error that two steps cannot be compared."""
    one, two = (step.id for step, _ in pair)
    seeds = [", ".join(str(record.seed) for record in arm.finished) or "none" for _, arm in pair]
    return UserError(f"{one} and {two} have no finished seed in common: {one} has {seeds[0]}, {two} has {seeds[1]}")


def _row(ladder: Ladder, step: Step, record: Record) -> dict[str, Any]:
    last = record.history[-1] if record.status == "finished" else None
    tests = [epoch.test_accuracy for epoch in record.history] if last else []
    return {
        "ladder": ladder.name,
        "step": step.id,
        "title": step.title,
        "parent": step.parent.id if step.parent else None,
        "kept": step.kept,
        "seed": record.seed,
        "status": record.status,
        "parameters": record.parameters,
        "epochs": record.epochs,
        "train_accuracy": last and last.train_accuracy,
        "train_loss": last and last.train_loss,
        "test_accuracy": last and last.test_accuracy,
        "test_loss": last and last.test_loss,
        "held": bool(evidence.held([tests], ladder.budget.accuracy, ladder.budget.hold).count),
        "seconds": sum(epoch.seconds for epoch in record.history),
        "fingerprint": record.fingerprint,
    }
