"""The SQL of schedules. Every function works in the caller's transaction; those that write need a service session."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import CursorResult, and_, delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.auth.tables import User
from yeoul.core.jobs.tables import Job
from yeoul.core.schedules.tables import Schedule, ScheduleRun

RUNS_LOOKED_AT = 100
"""How many of a schedule's newest runs are looked at for one that has not ended."""

_SCOPE = text("SELECT set_config('yeoul.user_id', :user_id, true)")
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('yeoul.schedules:' || :owner_id, 0))")


async def clock(session: AsyncSession) -> datetime:
    """The database's time, this very moment."""
    now: datetime = (await session.scalars(select(func.clock_timestamp()))).one()
    return now


async def lock_owner(session: AsyncSession, owner_id: UUID) -> None:
    """Has changes of one owner's schedules take turns until the transaction ends."""
    await session.execute(_LOCK, {"owner_id": str(owner_id)})


async def act_as(session: AsyncSession, owner_id: UUID) -> None:
    """Makes what follows in this service transaction the owner's: jobs are submitted by the user in scope."""
    await session.execute(_SCOPE, {"user_id": str(owner_id)})


async def get(session: AsyncSession, owner_id: UUID, schedule_id: UUID, *, lock: bool = False) -> Schedule | None:
    """One of an owner's schedules."""
    query = select(Schedule).where(Schedule.id == schedule_id, Schedule.owner_id == owner_id)
    return await session.scalar(query.with_for_update() if lock else query)


async def by_name(session: AsyncSession, owner_id: UUID, name: str) -> Schedule | None:
    """The owner's schedule of this name."""
    return await session.scalar(select(Schedule).where(Schedule.owner_id == owner_id, Schedule.name == name))


async def listing(session: AsyncSession, owner_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Schedule]:
    """An owner's newest schedules before a cursor."""
    query = select(Schedule).where(Schedule.owner_id == owner_id).order_by(Schedule.id.desc()).limit(limit)
    return (await session.scalars(query if before is None else query.where(Schedule.id < before))).all()


async def count(session: AsyncSession, owner_id: UUID) -> int:
    """How many an owner has."""
    return await session.scalar(select(func.count()).select_from(Schedule).where(Schedule.owner_id == owner_id)) or 0


async def add(session: AsyncSession, row: Schedule) -> Schedule:
    """Stores a new one, whose name is free."""
    session.add(row)
    await session.flush()
    await session.refresh(row)
    return row


async def remove(session: AsyncSession, owner_id: UUID, schedule_id: UUID) -> bool:
    """Deletes one; whether there was one. Its jobs stay."""
    mine = (Schedule.id == schedule_id, Schedule.owner_id == owner_id)
    result = await session.execute(delete(Schedule).where(*mine).execution_options(synchronize_session=False))
    assert isinstance(result, CursorResult)  # noqa: S101  (what a DELETE gives)
    return result.rowcount > 0


async def unfinished_run(session: AsyncSession, schedule_id: UUID) -> UUID | None:
    """A job of its newest runs that has not ended."""
    newest = (
        select(ScheduleRun.job_id)
        .where(ScheduleRun.schedule_id == schedule_id)
        .order_by(ScheduleRun.tick.desc())
        .limit(RUNS_LOOKED_AT)
        .subquery()
    )
    query = select(Job.id).join(newest, newest.c.job_id == Job.id).where(Job.status.in_(("queued", "running"))).limit(1)
    return await session.scalar(query)


async def add_run(session: AsyncSession, schedule: Schedule, tick: datetime, job_id: UUID) -> None:
    """Writes down what a tick made; the same tick twice breaks the transaction."""
    values = {"schedule_id": schedule.id, "tick": tick, "owner_id": schedule.owner_id, "job_id": job_id}
    await session.execute(insert(ScheduleRun).values(values))


def _may_fire(kinds: Sequence[str]) -> tuple[object, ...]:
    # A disabled account's schedules stand still. The installation's own user is disabled for good: nobody is it.
    allowed = or_(User.disabled_at.is_(None), Schedule.built_in.is_not(None))
    return (Schedule.enabled, Schedule.next_at.is_not(None), Schedule.kind.in_(kinds), allowed)


async def next_due(session: AsyncSession, kinds: Sequence[str]) -> tuple[Schedule, str] | None:
    """The schedule that has been due the longest and that no other process is at, locked, with its owner's role."""
    query = (
        select(Schedule, User.role)
        .join(User, User.id == Schedule.owner_id)
        .where(and_(*_may_fire(kinds)), Schedule.next_at <= func.now())  # type: ignore[arg-type]  # conditions
        .order_by(Schedule.next_at)
        .limit(1)
        .with_for_update(of=Schedule, skip_locked=True)
    )
    row = (await session.execute(query)).one_or_none()
    return None if row is None else (row[0], row[1])


async def seconds_to_next(session: AsyncSession, kinds: Sequence[str]) -> float | None:
    """Seconds until the next tick of any schedule; negative when one is due, null when there is none."""
    query = (
        select(func.extract("epoch", func.min(Schedule.next_at) - func.clock_timestamp()))
        .join(User, User.id == Schedule.owner_id)
        .where(and_(*_may_fire(kinds)))  # type: ignore[arg-type]  # conditions
    )
    seconds = await session.scalar(query)
    return None if seconds is None else float(seconds)


async def put_off(session: AsyncSession, schedule_id: UUID, delay: timedelta, error: dict[str, str]) -> None:
    """Has a schedule that could not be fired wait, so that it does not stand in the others' way."""
    await session.execute(
        update(Schedule)
        .where(Schedule.id == schedule_id, Schedule.enabled)
        .values(next_at=func.clock_timestamp() + delay, last_error=error)
        .execution_options(synchronize_session=False)
    )


async def built_ins(session: AsyncSession) -> dict[str, Schedule]:
    """The installation's own schedules, by their names in the code."""
    rows = await session.scalars(select(Schedule).where(Schedule.built_in.is_not(None)))
    return {row.built_in: row for row in rows if row.built_in is not None}
