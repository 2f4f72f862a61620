"""Sees a job through: shows what it says, cancels it on Ctrl-C, and runs it in this process when nobody else does."""

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from uuid import UUID

from sqlalchemy import text

from yeoul.commands.answer import Answer, NobodyReads
from yeoul.commands.terminal import CANCELED
from yeoul.core.auth.principal import Principal
from yeoul.core.jobs import service
from yeoul.core.jobs.schemas import TERMINAL
from yeoul.core.runtime.services import DatabaseUrls, Services, open_services
from yeoul.core.runtime.worker import Worker
from yeoul.settings import Settings
from yeoul.worker import all_kinds

LOOK_SECONDS = 1.0
"""How long nothing may be heard of a job before we look whether anybody works at all."""

_SOMEBODY = text("SELECT EXISTS (SELECT FROM yeoul.workers WHERE expires_at > now() AND :kind = ANY (kinds))")


class Process:
    """A process for one command: the services, and a worker that starts when it is needed."""

    def __init__(self, services: Services, worker: Worker) -> None:
        self.services = services
        self._worker = worker
        self.works = False
        """Whether this process runs jobs."""

    async def help_out(self, kind: str) -> None:
        """Runs jobs here, one at a time, unless a worker that knows the kind is alive somewhere."""
        if not self.works and not await somebody_works(self.services, kind):
            self.works = True
            await self._worker.start()

    async def stop(self) -> None:
        """Stops running jobs; one that was begun for somebody else goes back to the queue."""
        if self.works:
            self._worker.hurry()
            await self._worker.stop()


async def somebody_works(services: Services, kind: str) -> bool:
    """Whether a worker is alive that runs jobs of this kind."""
    async with services.database.as_service("command line: is anybody working?") as session:
        return bool(await session.scalar(_SOMEBODY, {"kind": kind}))


@asynccontextmanager
async def process(settings: Settings, urls: DatabaseUrls) -> AsyncGenerator[Process]:
    """Opens the services of this process."""
    async with open_services(settings, urls, all_kinds()) as services:
        made = Process(services, Worker(services, concurrency=1))
        await services.listen.start()
        try:
            yield made
        finally:
            await made.stop()


async def see_through(here: Process, owner: Principal, job_id: UUID, answer: Answer, stop: asyncio.Event) -> int:
    """Shows a job until it ends; the exit code. ``stop``, of ``stop_signal``, cancels the job."""
    canceling = asyncio.create_task(_cancel_when(stop, here.services, owner, job_id, answer))
    try:
        await _show(here, owner, job_id, answer, stop)
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        answer.note(f"Left. The job is asked to stop: yeoul jobs show {job_id}")
        return CANCELED
    finally:
        canceling.cancel()
        with suppress(asyncio.CancelledError):
            await canceling
        answer.close()
    async with here.services.database.as_user(owner.user_id) as session:
        job = await service.show(session, job_id)
    with suppress(NobodyReads):
        return await answer.end(job)
    return CANCELED


async def _show(here: Process, owner: Principal, job_id: UUID, answer: Answer, stop: asyncio.Event) -> None:
    async with here.services.database.as_user(owner.user_id) as session:
        kind = (await service.get(session, job_id)).kind
        watch = await service.watch(session, here.services.events, job_id, 0)
    await here.help_out(kind)
    async with watch.subscription, aclosing(watch.subscription.batches(LOOK_SECONDS)) as batches:
        for event in watch.before:
            await answer.take(event)
        async for batch in batches:
            if not batch:
                await here.help_out(kind)
            for event in batch:
                try:
                    await answer.take(event)
                except NobodyReads:
                    stop.set()


async def _cancel_when(stop: asyncio.Event, services: Services, owner: Principal, job_id: UUID, answer: Answer) -> None:
    await stop.wait()
    async with services.database.as_user(owner.user_id) as session:
        job = await service.cancel(session, services.ringer, job_id)
    if job.status not in TERMINAL:
        answer.note("Canceling … (Ctrl-C again leaves at once)")


def stop_signal() -> asyncio.Event:
    """Set by the first Ctrl-C or SIGTERM; the second cancels the task that asked for this, which leaves at once."""
    stop = asyncio.Event()
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  (called from one)

    def asked() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked)
    return stop
