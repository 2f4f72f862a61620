"""The rules of schedules: what may be made, changed and run by hand. Writes need a service session."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.auth.principal import Principal
from yeoul.core.base.pagination import Page, decode_cursor, page
from yeoul.core.db.database import after_commit
from yeoul.core.db.listen import SCHEDULES_CHANGED
from yeoul.core.jobs.errors import InvalidJobInput, PriorityNotAllowed, UnknownKind
from yeoul.core.jobs.tables import Job
from yeoul.core.runtime.services import Services
from yeoul.core.runtime.submit import highest_priority, input_value, submit
from yeoul.core.schedules import errors, repository
from yeoul.core.schedules.schemas import ScheduleChange, ScheduleIn, ScheduleOut
from yeoul.core.schedules.tables import Schedule
from yeoul.core.schedules.ticks import checked_cron, next_tick, zone

_NOT_FOUND = "There is no such schedule, or it is not yours."


async def get(session: AsyncSession, owner_id: UUID, schedule_id: UUID) -> Schedule:
    """One schedule; raises ``ScheduleNotFound``."""
    row = await repository.get(session, owner_id, schedule_id)
    if row is None:
        raise errors.ScheduleNotFound(_NOT_FOUND)
    return row


async def listing(session: AsyncSession, owner_id: UUID, *, cursor: str | None, limit: int) -> Page[ScheduleOut]:
    """A page of somebody's schedules, newest first."""
    rows = await repository.listing(session, owner_id, before=decode_cursor(cursor), limit=limit + 1)
    return page([ScheduleOut.model_validate(row) for row in rows], limit, [row.id for row in rows])


async def add(session: AsyncSession, services: Services, principal: Principal, given: ScheduleIn) -> Schedule:
    """Makes a schedule; its first tick lies ahead.

    Raises ``InvalidSchedule``, ``UnknownKind``, ``InvalidJobInput``, ``TooLarge``, ``PriorityNotAllowed``,
    ``ScheduleNameTaken`` and ``TooManySchedules``.
    """
    await repository.lock_owner(session, principal.user_id)
    row = Schedule(owner_id=principal.user_id, **given.model_dump())
    now = await repository.clock(session)
    _check_job(services, principal, row)
    _check_time(services, principal, row, now)
    await _check_name(session, principal.user_id, row.name)
    most = services.settings.schedules_per_user
    if await repository.count(session, principal.user_id) >= most:
        raise errors.TooManySchedules(f"You have {most:,} schedules, and that is the most. Delete one first.")
    row.next_at = _first(row, now)
    await repository.add(session, row)
    _tell(session, services)
    return row


async def change(
    session: AsyncSession, services: Services, principal: Principal, schedule_id: UUID, given: ScheduleChange
) -> Schedule:
    """Changes what is given; raises as ``add`` does, and ``ScheduleNotFound``."""
    await repository.lock_owner(session, principal.user_id)
    row = await repository.get(session, principal.user_id, schedule_id, lock=True)
    if row is None:
        raise errors.ScheduleNotFound(_NOT_FOUND)
    values = {name: value for name, value in given.model_dump(exclude_unset=True).items() if value is not None}
    if "cron" in values and "every_seconds" in values:
        raise errors.InvalidSchedule("every_seconds", "Give cron or every_seconds, not both.")
    if "name" in values and values["name"] != row.name:
        await _check_name(session, principal.user_id, values["name"])
    if "cron" in values:
        values["every_seconds"] = None
    elif "every_seconds" in values:
        values["cron"] = None
    was = (row.cron, row.every_seconds, row.time_zone, row.enabled)
    with session.no_autoflush:
        for name, value in values.items():
            setattr(row, name, value)
        if values.keys() & {"kind", "input", "priority"}:
            _check_job(services, principal, row)
        now = await repository.clock(session)
        if was != (row.cron, row.every_seconds, row.time_zone, row.enabled):
            _check_time(services, principal, row, now)
            row.next_at = _first(row, now) if row.enabled else None
    row.updated_at = now
    await session.flush()
    _tell(session, services)
    return row


async def remove(session: AsyncSession, principal: Principal, schedule_id: UUID) -> None:
    """Deletes a schedule; the jobs it has made stay. Raises ``ScheduleNotFound``."""
    if not await repository.remove(session, principal.user_id, schedule_id):
        raise errors.ScheduleNotFound(_NOT_FOUND)


async def run_now(session: AsyncSession, services: Services, principal: Principal, schedule_id: UUID) -> Job:
    """Makes its job at once, paused or not; its ticks stay as they are.

    Raises ``ScheduleNotFound``, ``ScheduleBusy`` and what ``submit`` raises.
    """
    row = await repository.get(session, principal.user_id, schedule_id, lock=True)
    if row is None:
        raise errors.ScheduleNotFound(_NOT_FOUND)
    if row.overlap == "skip" and (busy := await repository.unfinished_run(session, row.id)):
        raise errors.ScheduleBusy(
            "Its last run has not ended. Wait, cancel it, or let its runs overlap.", job_id=str(busy)
        )
    return await make_job(session, services, row, principal, tick=await repository.clock(session))


async def make_job(
    session: AsyncSession, services: Services, row: Schedule, owner: Principal, *, tick: datetime
) -> Job:
    """Submits a schedule's job as its owner and writes down which tick made it, all in the caller's transaction."""
    kind = services.kinds.get(row.kind)
    await repository.act_as(session, row.owner_id)
    priority = min(row.priority, highest_priority(services.settings, owner.role))
    job = await submit(session, services, kind, kind.parse(row.input), priority=priority)
    await repository.add_run(session, row, tick, job.id)
    row.last_at, row.last_job_id, row.last_error = await repository.clock(session), job.id, None
    await session.flush()
    return job


def _first(row: Schedule, now: datetime) -> datetime | None:
    return next_tick(row.cron, row.every_seconds, row.time_zone, after=now, start=now) if row.enabled else None


def _check_job(services: Services, principal: Principal, row: Schedule) -> None:
    """Whether its job could be submitted by this user."""
    try:
        kind = services.kinds.get(row.kind)
    except UnknownKind as error:
        raise UnknownKind(error.detail, errors=_field("kind", error.detail)) from None
    if not kind.public:
        said = f"Kind {kind.name} is submitted by its own page or endpoint, not by a schedule."
        raise InvalidJobInput(said, errors=_field("kind", said))
    row.input = input_value(services.settings, kind.parse(row.input))
    most = highest_priority(services.settings, principal.role)
    if row.priority > most:
        said = f"Priority {row.priority} is above {most}, the highest you may ask for."
        raise PriorityNotAllowed(said, errors=_field("priority", said))


def _check_time(services: Services, principal: Principal, row: Schedule, now: datetime) -> None:
    if (row.cron is None) == (row.every_seconds is None):
        raise errors.InvalidSchedule("cron", "Say when: give cron or every_seconds, one of them.")
    zone(row.time_zone)
    shortest = 1 if principal.is_admin else services.settings.schedule_min_seconds
    if row.cron is not None:
        row.cron = checked_cron(row.cron, row.time_zone, now=now, shortest=shortest)
    elif row.every_seconds is not None and row.every_seconds < shortest:
        raise errors.InvalidSchedule("every_seconds", f"{shortest:,} s is the shortest interval you may ask for.")


async def _check_name(session: AsyncSession, owner_id: UUID, name: str) -> None:
    if await repository.by_name(session, owner_id, name) is not None:
        said = f"You have a schedule named {name!r} already. Choose another name."
        raise errors.ScheduleNameTaken(said, errors=_field("name", said))


def _field(name: str, message: str) -> list[dict[str, Any]]:
    return [{"loc": ["body", name], "message": message}]


def _tell(session: AsyncSession, services: Services) -> None:
    """Has every process look anew when the next tick is, once this has been committed."""
    after_commit(session, lambda: services.ringer.ring(SCHEDULES_CHANGED))
