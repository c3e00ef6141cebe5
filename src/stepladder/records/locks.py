"""Locks in a folder of runs: whoever holds one is alone with what it names, until it lets go or its process dies."""

import errno
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from stepladder.records.folder import named
from stepladder.records.record import RecordError

_REFUSED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class Held(Exception):
    """Another process has what was to be locked."""


@contextmanager
def lock(folder: Path, wait: bool = True) -> Iterator[None]:
    """Hold this run, so that no other process trains it or writes it, whatever its step is called there; waits for one that does,
    or else raises Held. Freed when a process dies."""
    fingerprint, seed = named(folder)
    with alone(folder.parent.parent, f"{fingerprint}-{seed}", wait):
        yield


@contextmanager
def alone(runs: Path, name: str, wait: bool = True) -> Iterator[None]:
    """Do something of this name in the folder `runs` that no other process does at the same time; waits for one that does, or else
    raises Held."""
    path = lock_file(runs, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(path)
    try:
        held.acquire(blocking=wait)
    except Timeout:
        raise Held(str(path)) from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: whoever waits sees that it is gone, and takes a new one
        held.release()


def lock_file(runs: Path, name: str) -> Path:
    """The file that is locked for a name."""
    return runs / f".{name}.lock"


def no_locks(runs: Path) -> str | None:
    """What is to be known of a folder whose file system, as some of networks, does not lock files; None where it does. Raises
    RecordError where it refuses to."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # filelock's, where it makes do with the file being there
            with alone(runs, "try"), alone(runs, "try", wait=False):
                pass
    except Held:
        return None
    except UserWarning:
        pass
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        raise RecordError(
            f"{runs}: its file system does not lock files ({error.strerror}), which runs need: keep them elsewhere"
        ) from None
    return f"{runs}: its file system does not lock files, so let one command at a time work there: two could train the same run"
