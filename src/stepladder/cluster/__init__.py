"""Runs that are made on other machines, by the workers of a Dask cluster. (Nothing here loads Dask before a cluster is opened.)"""

import re
from typing import TYPE_CHECKING, TypeAlias

from stepladder.cluster.acceptance import Wanted
from stepladder.spec import UserError

if TYPE_CHECKING:
    from distributed import Client

    from stepladder.cluster.client import Cluster

    Where: TypeAlias = str | Client

_ADDRESS = re.compile(r"local:[1-9][0-9]{0,3}|(tcp|tls|ws|wss)://\S+")


def check(where: object) -> None:
    """Raise UserError for what is neither the address of a scheduler, nor local:N, nor a client of Dask's."""
    expected = "tcp://HOST:PORT, local:4 for four processes here, or a client of dask.distributed"
    if isinstance(where, str):
        if not _ADDRESS.fullmatch(where):
            raise UserError(f"cluster is {where!r}, expected {expected}")
    elif not (hasattr(where, "scheduler_info") and hasattr(where, "submit")):
        raise UserError(f"cluster is {type(where).__name__}, expected {expected}")


def opened(where: "Where", wanted: Wanted) -> "Cluster":
    """The executor of a cluster; raises UserError where Dask is not installed, and as `Cluster` does."""
    try:
        from stepladder.cluster.client import Cluster
    except ImportError:
        raise UserError("a cluster needs dask.distributed, which is not installed: pip install 'stepladder[cluster]'") from None
    return Cluster(where, wanted)


def count(where: "Where", wanted: Wanted) -> int:
    """How many workers a cluster has; raises UserError as `opened` does."""
    if isinstance(where, str) and where.startswith("local:"):
        return int(where.removeprefix("local:"))
    there = opened(where, wanted)
    try:
        return there.count
    finally:
        there.kill()
