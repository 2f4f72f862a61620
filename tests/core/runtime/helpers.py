"""What tests of jobs share: small kinds, and ways to submit, read and follow."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from yeoul.core.jobs import service
from yeoul.core.jobs.kinds import Backoff, Kind
from yeoul.core.jobs.tables import Job
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler
from yeoul.core.runtime.services import Services
from yeoul.core.runtime.submit import submit

QUICK = Backoff(first=0.01, longest=0.02)


class Given(BaseModel):
    """Input of the test kinds."""

    word: str = "hello"


class Made(BaseModel):
    """Output of the test kinds."""

    word: str


@handler("test.echo")
async def echo(ctx: Context, given: Given) -> Made:
    """Streams the word letter by letter."""
    for letter in given.word:
        await ctx.text(letter)
    return Made(word=given.word)


async def add(
    services: Services, user_id: UUID, kind: Kind, *, priority: int = 5, run_at: datetime | None = None
) -> UUID:
    """Submits a job."""
    async with services.database.as_user(user_id) as session:
        return (await submit(session, services, kind, Given(), priority=priority, run_at=run_at)).id


async def read(services: Services, user_id: UUID, job_id: UUID) -> Job:
    """Reads a job."""
    async with services.database.as_user(user_id) as session:
        return await service.get(session, job_id)


async def events(services: Services, user_id: UUID, job_id: UUID, after: int = 0) -> list[tuple[int | None, str, str]]:
    """Every event of a job from a cursor to its end: (seq, type, data)."""
    async with services.database.as_user(user_id) as session:
        watch = await service.watch(session, services.events, job_id, after)
    said = [(event.seq, event.type, event.data) for event in watch.before]
    async with asyncio.timeout(30), watch.subscription:
        async for batch in watch.subscription.batches():
            said += [(event.seq, event.type, event.data) for event in batch]
    return said


async def until(check: Callable[[], bool | Awaitable[bool]], *, seconds: float = 20) -> None:
    """Waits for a fact that nobody announces."""
    async with asyncio.timeout(seconds):
        while True:
            fact = check()
            if fact if isinstance(fact, bool) else await fact:
                return
            await asyncio.sleep(0.01)


async def until_status(services: Services, user_id: UUID, job_id: UUID, status: str) -> None:
    """Waits until a job has a status."""

    async def has_it() -> bool:
        return (await read(services, user_id, job_id)).status == status

    await until(has_it)
