"""Housekeeping as ordinary jobs: seen, retried and logged like any other, and run once however many workers there are.

Their owner is the installation itself, so they stand in nobody's list; they are deleted a day after they ended.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.auth.repository import SYSTEM_ID
from yeoul.core.events import queries as event_queries
from yeoul.core.jobs import queries
from yeoul.core.maintenance import repository
from yeoul.core.maintenance.schemas import Forgotten, Nothing, Partitions, Pruned
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler
from yeoul.core.schedules.scheduler import BuiltIn

KEEP_SHARED_EVENTS = 1000
"""Events kept of a shared stream; clients further behind are told to reset."""
KEEP_OWN = timedelta(days=1)
"""How long the jobs of maintenance themselves are kept."""
BATCH = 500
"""Jobs deleted in one transaction."""


@handler("maintenance.queue", public=False, everywhere=True, timeout=300)
async def queue(ctx: Context, _: Nothing) -> None:
    """Learns what each kind of job costs; forgets workers that are gone and owners without a backlog."""
    async with ctx.services.database.service_connection() as connection:
        await connection.execute(queries.LEARN_COSTS, [ctx.services.kinds.names()])
        await connection.execute(queries.FORGET_WORKERS)
        await connection.execute(queries.FORGET_FLOWS)


@handler("maintenance.partitions", public=False, everywhere=True, timeout=300)
async def partitions(ctx: Context, _: Nothing) -> Partitions:
    """Makes the event log's partitions of the days ahead; prunes shared streams, which have none."""
    async with ctx.services.database.service_connection() as connection:
        row = await (await connection.execute(event_queries.ENSURE_PARTITIONS)).fetchone()
        await connection.execute(event_queries.PRUNE_SHARED, {"keep": KEEP_SHARED_EVENTS})
    return Partitions(made=row[0] if row else 0)


@handler("maintenance.forget", public=False, everywhere=True, timeout=300)
async def forget(ctx: Context, _: Nothing) -> Forgotten:
    """Deletes idempotency keys, sessions and failed sign-ins whose time is over."""
    async with ctx.services.database.service_connection() as connection:
        keys = (await connection.execute(queries.FORGET_KEYS)).rowcount
    async with ctx.services.database.as_service("maintenance: what has ended") as session:
        return Forgotten(
            idempotency_keys=keys,
            sessions=await repository.forget_sessions(session),
            sign_in_attempts=await repository.forget_attempts(session),
        )


@handler("maintenance.retention", public=False, everywhere=True, timeout=4 * 3600)
async def retention(ctx: Context, _: Nothing) -> Pruned:
    """Deletes finished jobs and their events as the settings say: whole days first, then job by job, in batches."""
    settings = ctx.services.settings
    days = []
    if kept := settings.keep_events_days or settings.keep_jobs_days:
        age = timedelta(days=min(kept, settings.keep_jobs_days or kept))
        while name := await _once(ctx, lambda session: repository.drop_event_partition(session, age)):
            days.append(name)
    own = await _all(ctx, lambda session: repository.prune_jobs(session, KEEP_OWN, BATCH, owner=SYSTEM_ID))
    jobs = 0
    if settings.keep_jobs_days:
        age = timedelta(days=settings.keep_jobs_days)
        jobs = await _all(ctx, lambda session: repository.prune_jobs(session, age, BATCH, not_owner=SYSTEM_ID))
    return Pruned(jobs=jobs, maintenance_jobs=own, days=days)


async def _once(ctx: Context, work: Callable[[AsyncSession], Awaitable[str | None]]) -> str | None:
    await ctx.check_lease()
    async with ctx.services.database.as_service("maintenance: retention") as session:
        return await work(session)


async def _all(ctx: Context, work: Callable[[AsyncSession], Awaitable[int]]) -> int:
    """Repeats a batch until one is not full."""
    total, done = 0, BATCH
    while done >= BATCH:
        await ctx.check_lease()
        async with ctx.services.database.as_service("maintenance: retention") as session:
            done = await work(session)
        total += done
        if done:
            await ctx.progress(message=f"{total} jobs deleted")
    return total


KINDS = (queue, partitions, forget, retention)

SCHEDULES = (
    BuiltIn("maintenance: queue", queue.name, every_seconds=300),
    BuiltIn("maintenance: partitions", partitions.name, cron="7 * * * *"),
    BuiltIn("maintenance: forget", forget.name, cron="17 * * * *"),
    BuiltIn("maintenance: retention", retention.name, cron="30 3 * * *"),
)
