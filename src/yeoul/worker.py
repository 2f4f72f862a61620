"""Composition root of the worker process, and what it shares with the API process."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from yeoul.core.completions.handlers import complete
from yeoul.core.embeddings.handlers import embed
from yeoul.core.jobs.kinds import Kinds
from yeoul.core.maintenance import handlers as maintenance
from yeoul.core.runtime.services import Services, open_database, open_services
from yeoul.core.runtime.worker import Worker
from yeoul.core.schedules.scheduler import Scheduler
from yeoul.core.telemetry.metrics import serving_metrics
from yeoul.product import installed
from yeoul.schema import METADATA
from yeoul.settings import Settings


def all_kinds() -> Kinds:
    """The core's kinds and those of every installed product."""
    kinds = Kinds()
    for kind in (complete, embed, *maintenance.KINDS):
        kinds.add(kind)
    for product in installed():
        for kind in product.kinds:
            kinds.add(kind)
    return kinds


@asynccontextmanager
async def running(
    settings: Settings, *, worker: bool, kinds: Kinds | None = None
) -> AsyncGenerator[tuple[Services, Worker | None]]:
    """Database, services and, where asked, a worker that fires schedules too: up, migrated and listening.

    Drained and closed after.
    """
    async with (
        open_database(settings, METADATA, migrations=True) as urls,
        open_services(settings, urls, kinds or all_kinds()) as services,
    ):
        works = Worker(services) if worker else None
        scheduler = Scheduler(services, maintenance.SCHEDULES) if worker else None
        await services.listen.start()
        if works is None or scheduler is None:
            yield services, None
            return
        await works.start()
        try:
            await scheduler.start()
            yield services, works
        finally:
            await scheduler.stop()
            await works.stop()


def stop_signals() -> list[signal.Signals]:
    """What asks a process to stop: also the end of its terminal, unless ``nohup`` has it ignore that."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    return numbers


async def work(settings: Settings, ready: Callable[[], None]) -> None:
    """Runs a worker until SIGTERM or Ctrl-C; a second one stops it without waiting for running jobs.

    ``ready`` is called once jobs are taken.
    """
    stop = asyncio.Event()
    async with serving_metrics(settings), running(settings, worker=True) as (_, worker):
        assert worker is not None  # noqa: S101  (asked for above)

        def asked() -> None:
            if stop.is_set():
                worker.hurry()
            stop.set()

        for number in stop_signals():
            asyncio.get_running_loop().add_signal_handler(number, asked)
        ready()
        await stop.wait()
