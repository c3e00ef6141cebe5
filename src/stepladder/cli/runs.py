"""What `runs` lists, removes and verifies, as data and as text."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stepladder import ladders, live
from stepladder.analysis import counted
from stepladder.cli import layout
from stepladder.lab import shelf
from stepladder.records import listing
from stepladder.records.listing import Held
from stepladder.spec import UserError

AGES = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


def there(runs: Path) -> list[Held]:
    """The folders of steps in a folder of runs; raises UserError where there is no such folder."""
    if not runs.is_dir():
        raise UserError(f"{runs}: no such folder of runs; the first run makes it (`stepladder run`, Lab.run)")
    return listing.held(runs)


def data(found: Sequence[Held]) -> list[dict[str, Any]]:
    """Each folder as data; what only a record tells is null where none can be read."""
    return [_data(each) for each in found]


def show(found: Sequence[Held], title: str | None = None) -> None:
    """Print a line for each folder, and their sum."""
    heads = ("ladder", "step", "fingerprint", "epochs", "data", "engine", "runs", "under way", "age", "size")
    rows = sorted(data(found), key=lambda row: (row["ladder"] or "", row["step"] or ""))
    cells = [
        [
            row["ladder"] or "?", row["step"] or row["folder"], row["fingerprint"], _text(row["epochs"]), row["data"] or "?",
            row["engine"] or "?", str(row["runs"]), _text(row["under_way"] or None), age(row["age_seconds"]), size(row["bytes"]),
        ]
        for row in rows
    ]  # fmt: skip
    runs, under_way, total = (sum(row[name] for row in rows) for name in ("runs", "under_way", "bytes"))
    in_all = ["", "in all", "", "", "", "", str(runs), _text(under_way or None), "", size(total)]
    layout.put(title, heads, 3, cells, in_all)


def prune(runs: Path, names: Sequence[str], yes: bool, as_json: bool) -> dict[str, Any]:
    """Show what none of these ladders needs, ask, and remove it; raises UserError where nobody can be asked."""
    if not names:
        raise UserError("--prune removes what none of the ladders given needs: name at least one ladder")
    there(runs)
    found = shelf.sort(runs, [ladders.load(name) for name in names])
    told = {
        "removed": data(found.spare),
        "kept": len(found.needed),
        "unknown": [str(each.folder) for each in found.unknown],
        "bytes": sum(each.bytes for each in found.spare),
    }
    if not as_json:
        for each in found.unknown:
            print(f"kept, as no record in it can be read: {each.folder}")
        if not found.spare:
            print(f"nothing to remove: {counted(len(found.needed), 'step')} there, all of them of {', '.join(names)}")
            return told
        show(found.spare, f"needed by none of {', '.join(names)}:")
    if found.spare and not yes:
        _ask(found.spare, as_json)
    for each in found.spare:
        listing.remove(each)
    listing.clear_removed(runs)
    return told


def verify(runs: Path, images: Path | None) -> dict[str, Any]:
    """Read every run whole; what was found of how many."""
    total = sum(each.runs for each in there(runs))
    found = list(live.counted(shelf.verify(runs, images), total, "runs read"))
    return {
        "runs": total,
        "whole": sum(not verdict.fault and not verdict.open for verdict in found),
        "faults": [{"run": str(verdict.folder), "fault": verdict.fault} for verdict in found if verdict.fault],
        "open": [{"run": str(verdict.folder), "open": verdict.open} for verdict in found if verdict.open],
    }


def sentences(found: dict[str, Any]) -> str:
    """What `verify` found, as text."""
    lines = [f"{each['run']}: {each['open']}" for each in found["open"]]
    lines += [f"FAULT: {each['fault']}" for each in found["faults"]]
    end = f"{found['whole']} of {counted(found['runs'], 'run')} read whole and without a fault"
    return "\n".join([*lines, end + (f", {len(found['faults'])} contradict themselves" if found["faults"] else "")])


def age(seconds: float) -> str:
    """'3 days', '1 hour', 'now'."""
    return next((counted(int(seconds // each), unit) for each, unit in AGES if seconds >= each), "now")


def size(count: int) -> str:
    """'1.2 MB'."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _ask(spare: Sequence[Held], as_json: bool) -> None:
    """Go on where it is said so; else raise."""
    runs, bytes_ = sum(each.runs + each.under_way for each in spare), sum(each.bytes for each in spare)
    what = f"{counted(runs, 'run')} of {counted(len(spare), 'step')}, {size(bytes_)}"
    if as_json or not sys.stdin.isatty():
        raise UserError(f"nothing was removed: {what} would be; say --yes")
    if input(f"remove {what}? [y/N] ").strip().lower() not in ("y", "yes"):
        raise UserError("nothing was removed")


def _data(each: Held) -> dict[str, Any]:
    record = each.record
    return {
        "ladder": record and record.ladder,
        "step": record and record.step,
        "folder": each.folder.name,
        "fingerprint": each.folder.name[-12:],
        "epochs": record and record.epochs,
        "data": record and _images(each),
        "engine": record and (record.engine or record.environment.get("engine")),
        "runs": each.runs,
        "under_way": each.under_way,
        "age_seconds": max(0, round(time.time() - each.newest)),
        "bytes": each.bytes,
    }


def _images(each: Held) -> str:
    """What a step was trained and judged on, as it is asked for."""
    assert each.record
    found = each.record.data
    if found is None:
        return each.record.data_sha256[:12]
    kept = f", holdout {found.holdout:,}" + (f" fold {found.fold}" if found.fold else "") if found.holdout else ""
    return (found.path or found.kind) + kept


def _text(value: int | None) -> str:
    return "" if value is None else str(value)
