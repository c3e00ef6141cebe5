"""How a cluster is reached: by the address of its scheduler, or as processes that are started here."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from distributed import Client, LocalCluster
from distributed.security import Security

from stepladder.spec import UserError

CONNECT_SECONDS = 10


def _is_news(record: logging.LogRecord) -> bool:
    """Whether asyncio tells of anything but a task that a client gave up as it was interrupted."""
    return "AllExit" not in record.getMessage()


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that are started in here do not hear a terminal's Ctrl-C, which is for the one that started them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def opened(where: "str | Client") -> tuple[LocalCluster | None, Client]:
    """The cluster of processes that was started here, if one was, and a client; raises UserError where no scheduler is reached."""
    if isinstance(where, Client):
        return None, where
    logging.getLogger("asyncio").addFilter(_is_news)
    if where.startswith("local:"):
        count = int(where.removeprefix("local:"))
        with _deaf():
            local = LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                memory_limit=0,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            )
        return local, Client(local, set_as_default=False)
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # what it tells is told here
    if where.startswith("tls:") and not Security().get_connection_args("client")["ssl_context"]:
        raise UserError(f"cluster {where}: TLS needs Dask's settings distributed.comm.tls.ca-file and client, found none")
    try:
        return None, Client(where, timeout=CONNECT_SECONDS, set_as_default=False)
    except OSError as error:
        raise UserError(f"cluster {where}: no scheduler answers there ({error})") from None
