"""A climb under way: its runs, which any executor makes, its decisions on disk, and how it stands."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from stepladder import records
from stepladder.climb.ahead import stand, wanted
from stepladder.climb.plan import Figure, Need, Plan
from stepladder.climb.rule import Climb
from stepladder.job import Job, Setup
from stepladder.records import Record, RecordError
from stepladder.spec import UserError, to_data
from stepladder.sweep import reason, train_job

POLL_SECONDS = 0.5


class Standing(NamedTuple):
    """How a climb stands: what is decided, the runs under way, how many were made by this call in so many seconds."""

    now: Climb
    running: list[Job]
    made: int
    seconds: float


@dataclass
class Drive:
    """What a climb is driven with: its plan, how runs are made, whether they cost their seconds or one each, where its decisions
    are kept, and the figures of the runs that are known."""

    plan: Plan
    setup: Setup
    timed: bool
    log: Path
    known: dict[Need, Figure] = field(default_factory=dict)

    def job(self, need: Need) -> Job:
        """The run of a need."""
        reading = self.setup.reading._replace(fold=need.fold)
        return Job("climb", need.step, need.seed, replace(self.setup, reading=reading))

    def look(self, need: Need) -> Figure | None:
        """The figure of a run, where it is known or recorded."""
        if need not in self.known:
            job = self.job(need)
            folder = records.recorded(job.setup.runs, job.fingerprint).get(need.seed)
            if folder is None:
                return None
            self.known[need] = self.figure(need, records.read(folder))
        return self.known[need]

    def figure(self, need: Need, record: Record) -> Figure:
        """What a run came to: where weights are averaged, the mean of the epochs in which the target is to hold; else the last."""
        cost = sum(epoch.seconds for epoch in record.history) if self.timed else 1.0
        if record.status == "diverged":
            return Figure(0.0, cost)
        last = record.history[-self.plan.budget.hold :] if need.step.recipe.averaging else record.history[-1:]
        return Figure(sum(epoch.test_accuracy for epoch in last) / len(last), cost)


def drive(work: Drive, executor: Executor, workers: int, poll: float = POLL_SECONDS) -> Iterator[Standing]:
    """Make the runs that the climb asks for, and those that it will ask for next, up to `workers` at a time; tell how it stands
    whenever that changes and every `poll` seconds, the last time at its end.

    Raises UserError for a run that is asked for and fails, and where the decisions on disk are not those that the records lead to.
    """
    began, made = time.monotonic(), 0
    running: dict[Need, Future[Path]] = {}
    guessed: set[Need] = set()
    """Runs that failed and were not asked for yet."""
    try:
        while True:
            now, need = stand(work.plan, work.look)
            keep(work.log, now.decisions)
            yield Standing(now, [work.job(each) for each in running], made, time.monotonic() - began)
            if need is None:
                return
            for each in wanted(work.plan, work.look, workers):
                if len(running) < workers and each not in running and (each == need or each not in guessed):
                    running[each] = executor.submit(train_job, work.job(each))
            while running:
                done, _ = wait(running.values(), timeout=poll, return_when=FIRST_COMPLETED)
                finished = [each for each, future in running.items() if future in done]
                for each in finished:
                    try:
                        work.known[each] = work.figure(each, records.read(running.pop(each).result()))
                        made += 1
                    except Exception as error:
                        if each == need:
                            raise UserError(f"the climb stops: its run {work.job(each)} failed: {reason(error)}") from error
                        guessed.add(each)
                if finished:
                    break
                yield Standing(now, [work.job(each) for each in running], made, time.monotonic() - began)
    finally:
        for future in running.values():
            future.cancel()


class Begun(NamedTuple):
    """What was found out when a climb was begun: whether runs are few, and what they may cost."""

    few: bool
    total: float


def opened(log: Path, asked: Mapping[str, Any], few: Callable[[], bool], total: float) -> Begun:
    """Begin the file of decisions with what was asked for and found out, or read it there.

    Raises UserError where the file was begun with something else.
    """
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    if not lines:
        begun = Begun(few(), total)
        _replace(log, [{**asked, **begun._asdict()}])
        return begun
    before = _entries(log, lines)[0]
    found = json.loads(json.dumps(asked))
    for name in found:
        if found[name] != before.get(name):
            raise UserError(
                f"{log}: this climb was begun with {name} {_short(before.get(name))}, found {_short(found[name])}: give it another "
                "name (-o), or delete its folder and its ladder to begin anew (its runs stay)"
            )
    return Begun(bool(before["few"]), float(before["total"]))


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 80 else f"{text[:76]} ..."


def keep(log: Path, decisions: list[dict[str, Any]]) -> None:
    """Write the decisions that are new behind those that are there; raises UserError where these are others."""
    entries = _entries(log, log.read_text(encoding="utf-8").splitlines())
    asked, there = entries[0], entries[1:]
    found = json.loads(json.dumps(decisions))
    for number, (old, new) in enumerate(zip(there, found, strict=False), 1):
        if old != new:
            raise UserError(f"{log}: decision {number} was {json.dumps(old)}, by the records it is {json.dumps(new)}")
    if len(found) > len(there):
        _replace(log, [asked, *found])


def _entries(log: Path, lines: list[str]) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in lines]
    except ValueError:
        raise RecordError(f"{log}: damaged: expected a JSON object on each line") from None


def _replace(log: Path, entries: list[Any]) -> None:
    text = "".join(json.dumps(entry, allow_nan=False) + "\n" for entry in entries)
    records.write_bytes(log, text.encode())


def asked(plan: Plan, setup: Setup, unit: str, total: float) -> dict[str, Any]:
    """What decides a climb, as data."""
    return {
        "schema": 3,
        "network": to_data(plan.start.network),
        "recipe": to_data(plan.start.recipe),
        "budget": to_data(plan.budget),
        unit: total,
        "locked": plan.locked,
        "seed": plan.seed,
        "difference": plan.difference,
        "holdout": setup.reading.holdout,
        "folds": plan.folds,
        "engine": setup.identity(plan.start),
        "data": setup.dataset(plan.start.network.classes).digest,
    }
