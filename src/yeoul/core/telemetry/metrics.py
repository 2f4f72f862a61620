"""Metrics of a process that serves no HTTP: a port of their own."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import structlog
from prometheus_client import start_http_server

from yeoul.core.base.errors import Unavailable
from yeoul.settings import Settings

log = structlog.get_logger(__name__)


@asynccontextmanager
async def serving_metrics(settings: Settings) -> AsyncGenerator[None]:
    """Serves this process's metrics at ``worker_metrics``, from a thread; does nothing where that is unset.

    Raises ``Unavailable`` when the port is taken.
    """
    if settings.worker_metrics is None:
        yield
        return
    host, _, port = settings.worker_metrics.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host.strip("[]"))
    except OSError as error:
        raise Unavailable(
            f"Cannot serve metrics on {settings.worker_metrics}: {error.strerror}. "
            "Give each worker of this machine a YEOUL_WORKER_METRICS of its own."
        ) from None
    log.info("metrics are served", address=settings.worker_metrics)
    try:
        yield
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()
