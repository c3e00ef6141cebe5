"""What trackers are told of a run."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple

from stepladder.records import Record


class Tracked(NamedTuple):
    """A run's record, and its `row` of the table of runs, with its names in this ladder: the record has those it was made under."""

    row: dict[str, Any]
    record: Record

    @property
    def name(self) -> str:
        """For people: step and seed."""
        return f"{self.row['step']}/seed-{self.record.seed}"

    @property
    def began(self) -> float:
        """When the first epoch began, in seconds since 1970: its record was written after the last one."""
        written = self.record.environment.get("date")
        ended = datetime.fromisoformat(written).timestamp() if written else 0.0
        return ended - sum(epoch.seconds for epoch in self.record.history)

    def epochs(self) -> Iterator[tuple[int, float, dict[str, float]]]:
        """For each epoch its number, from 1 on, when it ended, in seconds since 1970, and its figures by name."""
        at = self.began
        for epoch in self.record.history:
            at += epoch.seconds
            yield epoch.epoch, at, {name: value for name, value in asdict(epoch).items() if name not in ("epoch", "seconds")}

    def history(self) -> Iterator[dict[str, Any]]:
        """A row for each epoch: ladder, step and seed, then its figures as run.json has them."""
        for epoch in self.record.history:
            yield {name: self.row[name] for name in ("ladder", "step", "seed")} | asdict(epoch)

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        """What was set: the recipe, its parts as `schedule.peak`, and the number of parameters. What is off is left out."""
        return {"parameters": self.record.parameters} | dict(_flat(self.record.recipe))


def _flat(values: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{within}{name}.")
        elif value is not None:
            yield within + name, value if isinstance(value, str | int | float | bool) else str(value)
