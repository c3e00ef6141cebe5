"""What of the runs was verified: a cache beside them, `<runs>/.index.sqlite`. The folders are the truth.

A run is believed once its weights and logits have the hashes of its run.json, its answers give its confusion matrix, and so on
(`read`, `verify`). That takes reading all of it. The index remembers that it was done: under a seal, the SHA-256 of the bytes of
run.json, of size, inode and times of change of all three files, and of what the run answered. Figures never come from the index:
run.json is read each time, and answers only where the seal is that of the files as they are now. Whatever differs is verified anew.
(Somebody who means to can write an index that vouches for a false run, as well as a false run that needs none; `stepladder runs
--verify` reads everything and asks no index.)

A file that was changed in the last two seconds may be changed again without another time of change, on a file system that counts
coarsely: it is not remembered yet (as in git's index).

The index never is a reason to fail. One that is missing, damaged or of another format is made anew; where it cannot be written, or
another process is at it for longer than a second, runs are verified without it.
"""

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepladder.records.record import Record, decode_again

NAME = ".index.sqlite"
FORMAT = 1
"""Of the index; raised when what is verified, or how it is remembered, changes."""
RECENT = 2.0
"""Seconds in which a file that was just changed may still be changed unseen."""
FILES = ("run.json", "weights.safetensors", "logits.safetensors")
_TABLE = (
    "CREATE TABLE IF NOT EXISTS verified (step TEXT, seed TEXT, seal BLOB, answers BLOB, PRIMARY KEY (step, seed)) WITHOUT ROWID"
)
_WAIT = 1.0


class Verified(NamedTuple):
    """That a run was verified: the names of its folder, the seal, and which answers (None where it diverged) are wrong: as bytes,
    the indices of the images, 4 bytes each, and what was answered, 1 byte each."""

    step: str
    seed: str
    seal: bytes
    answers: bytes | None


class State(NamedTuple):
    """A run's folder as it is now: the bytes of its run.json, and what its seal is made of."""

    record: bytes
    told: bytes


def state(folder: Path) -> State | None:
    """The state of a run's folder; None where it cannot be read, or changed so recently that it may not be remembered. To be taken
    before the run is verified: what changes meanwhile then has another."""
    try:
        stats = [_stat(folder / name) for name in FILES]
        raw = (folder / "run.json").read_bytes() if stats[0] else b""
    except OSError:
        return None
    newest = max((max(stat.st_mtime, stat.st_ctime) for stat in stats if stat), default=0.0)
    if not raw or time.time() - newest < RECENT:
        return None
    files = [stat and (stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns) for stat in stats]
    told = [FORMAT, folder.parent.name, folder.name, hashlib.sha256(raw).hexdigest(), files]
    return State(raw, json.dumps(told).encode())


def remembered(runs: Path, step: str) -> dict[str, Verified]:
    """What was verified of the runs in the folder of a step, by the name of the run's folder."""
    if not (runs / NAME).exists():
        return {}
    with _opened(runs) as index:
        if index is None:
            return {}
        rows = index.execute("SELECT step, seed, seal, answers FROM verified WHERE step = ?", (step,)).fetchall()
        return {row[1]: Verified(*row) for row in rows}
    return {}


def remember(runs: Path, found: Iterable[Verified]) -> None:
    """Write down what was verified, in the place of what stood there of the same folders."""
    rows = list(found)
    if rows:
        with _opened(runs) as index:
            if index is not None:
                index.executemany("INSERT OR REPLACE INTO verified VALUES (?, ?, ?, ?)", rows)


def forget(runs: Path, step: str) -> None:
    """Drop what is remembered of the runs in the folder of a step."""
    if not (runs / NAME).exists():
        return
    with _opened(runs) as index:
        if index is not None:
            index.execute("DELETE FROM verified WHERE step = ?", (step,))


def verified(folder: Path, now: State, answers: NDArray[np.uint8] | None, labels: NDArray[np.uint8]) -> Verified:
    """That the run in this state was verified, and what it answered."""
    kept = None if answers is None else _packed(answers, labels)
    return Verified(folder.parent.name, folder.name, _seal(now, kept), kept)


def known(now: State | None, there: Verified | None) -> Record | None:
    """The record of a run that was verified in the very state in which it is now; else None."""
    if now is None or there is None or not isinstance(there.answers, bytes | None) or there.seal != _seal(now, there.answers):
        return None
    return decode_again(now.record)


def answers_of(there: Verified, labels: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """What a run that is `known` answered to the test images of these labels; None where it diverged."""
    if there.answers is None:
        return None
    count = len(there.answers) // 5
    answers = labels.copy()
    answers[np.frombuffer(there.answers, "<u4", count)] = np.frombuffer(there.answers, np.uint8, offset=4 * count)
    return answers


def _seal(now: State, answers: bytes | None) -> bytes:
    return hashlib.sha256(now.told + (b"" if answers is None else b"\n" + answers)).digest()


def _packed(answers: NDArray[np.uint8], labels: NDArray[np.uint8]) -> bytes:
    wrong = np.flatnonzero(answers != labels)
    return wrong.astype("<u4").tobytes() + answers[wrong].tobytes()


def _stat(path: Path) -> os.stat_result | None:
    with suppress(FileNotFoundError):
        return path.stat()
    return None


@contextmanager
def _opened(runs: Path) -> Iterator[sqlite3.Connection | None]:
    """The index, within a transaction; None where there is none that can be used. What goes wrong in the block ends the block."""
    path = runs / NAME
    try:
        index = _connected(path)
    except sqlite3.DatabaseError as error:
        index = None
        # Not what is locked or may not be written, which is an OperationalError: that is another process, or a folder to be read.
        if not isinstance(error, sqlite3.OperationalError):
            with suppress(OSError, sqlite3.Error):
                path.unlink()
                index = _connected(path)
    if index is None:
        yield None
        return
    with closing(index):
        try:
            with index:
                yield index
        except sqlite3.OperationalError:
            pass
        except sqlite3.DatabaseError:  # damaged deeper inside
            with suppress(OSError):
                path.unlink()


def _connected(path: Path) -> sqlite3.Connection:
    """A connection to an index of this format, which is emptied where it was of another."""
    index = sqlite3.connect(path, timeout=_WAIT)
    try:
        (format_,) = index.execute("PRAGMA user_version").fetchone()
        if format_ != FORMAT:
            with index:
                index.execute("DROP TABLE IF EXISTS verified")
                index.execute(_TABLE)
                index.execute(f"PRAGMA user_version = {FORMAT}")
    except sqlite3.Error:
        index.close()
        raise
    return index
