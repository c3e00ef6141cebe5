"""Which workers of a cluster are used, and what is to be known of those."""

from pathlib import Path
from typing import NamedTuple

from stepladder import __version__
from stepladder.cluster.worker import Facts


class Wanted(NamedTuple):
    """What is asked of a cluster's workers: the bits that this machine would give; to see the folder of `runs` as `shared`, where
    that is not None, and to read and write there."""

    same_bits: bool = False
    runs: Path = Path("runs")
    shared: Path | None = None


def refusal(version: object, here: str = __version__) -> str | None:
    """Why a worker is not used on which Stepladder has this version, or asking for it raised this; None where it is."""
    if version == here:
        return None
    return f"has {f'Stepladder {version}' if isinstance(version, str) else 'no Stepladder'}, expected {here}"


def facts_refusal(found: Facts | Exception, here: Facts) -> str | None:
    """Why a worker is not used that makes such runs, or raises this when asked; None where it is."""
    if isinstance(found, Exception):
        return f"cannot be asked what it is ({type(found).__name__}: {found})"
    return None if found.numerics == here.numerics else f"has the numerics {found.numerics}, expected {here.numerics}"


def difference(found: Facts, here: Facts) -> str | None:
    """In what a worker's runs may differ from those made here; None where they do not."""
    if found == here:
        return None
    return f"has torch {found.torch} on {found.processor}, here it is {here.torch} on {here.processor}"


def folder_refusal(sees: bool | Exception | None, folder: Path) -> str | None:
    """Why a worker is not used that sees a lock of ours in the shared folder so (`worker.sees`); None where it is."""
    if isinstance(sees, Exception):
        return f"cannot use {folder} ({type(sees).__name__}: {sees})"
    if sees is None:
        return f"does not see the folder of runs as {folder}"
    return None if sees else f"can lock in {folder} what is locked here: the file system between the machines does not lock files"
