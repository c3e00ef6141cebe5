"""Locks in a folder of runs, on file systems that have none."""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stepladder import records
from stepladder.records import RecordError


def test_who_does_not_wait_is_told_that_a_lock_is_held(tmp_path: Path) -> None:
    with records.alone(tmp_path, "report"), pytest.raises(records.Held), records.alone(tmp_path, "report", wait=False):
        pass
    with records.alone(tmp_path, "report", wait=False):
        pass
    assert os.listdir(tmp_path) == []


def test_of_a_folder_that_locks_nothing_is_to_be_known(tmp_path: Path) -> None:
    assert records.no_locks(tmp_path) is None
    assert os.listdir(tmp_path) == []


def refuses(number: int) -> Callable[[int, int], None]:
    def flock(_: int, __: int) -> None:
        raise OSError(number, os.strerror(number))

    return flock


@pytest.mark.parametrize("flock", [lambda _, __: None, refuses(errno.ENOSYS)], ids=["grants all", "has none"])
def test_a_file_system_that_does_not_lock_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flock: Callable[[int, int], None]
) -> None:
    monkeypatch.setattr(fcntl, "flock", flock)
    assert records.no_locks(tmp_path) == (
        f"{tmp_path}: its file system does not lock files, so let one command at a time work there: two could train the same run"
    )
    assert os.listdir(tmp_path) == []


def test_a_file_system_that_refuses_to_lock_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", refuses(errno.ENOLCK))
    with pytest.raises(RecordError, match=r"does not lock files .No locks available., which runs need: keep them elsewhere"):
        records.no_locks(tmp_path)
