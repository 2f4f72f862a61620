"""What fires schedules: a loop in every worker process, woken at the next tick.

A firing is one transaction: it locks the schedule, submits the job and moves the schedule to its next tick. Whichever
process locks it first fires it; the others skip it. A process that dies in between leaves it as it was, still due.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, NoReturn, cast
from uuid import UUID

import structlog
from prometheus_client import Counter
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.auth import repository as accounts
from yeoul.core.auth.principal import Principal, Role
from yeoul.core.base.errors import YeoulError
from yeoul.core.base.tasks import cancel
from yeoul.core.db.database import is_away, patiently
from yeoul.core.db.listen import SCHEDULES_CHANGED
from yeoul.core.runtime.services import Services
from yeoul.core.schedules import repository, service
from yeoul.core.schedules.tables import Schedule
from yeoul.core.schedules.ticks import next_tick

log = structlog.get_logger(__name__)

LOOK_SECONDS = 15.0
"""How long it sleeps at most: a ring about a new schedule may be lost."""
AGAIN_SECONDS = 0.25
"""When to look again at what is due but in another process's hands, or at a database that does not answer."""
ON_TIME = timedelta(seconds=60)
"""A tick fired later than this was missed."""
PUT_OFF = timedelta(seconds=60)

TICKS = Counter("yeoul_schedule_ticks", "Ticks this process has handled.", ["outcome"])

Outcome = Literal["fired", "skipped", "missed", "failed"]


@dataclass(frozen=True)
class BuiltIn:
    """A schedule of the installation's own, made when the first worker starts. ``cron`` is read in UTC."""

    name: str
    kind: str
    cron: str | None = None
    every_seconds: int | None = None
    priority: int = 9


class Scheduler:
    """Fires what is due, of kinds this process knows. Make it before ``services.listen`` is started."""

    def __init__(self, services: Services, built_in: Sequence[BuiltIn] = ()) -> None:
        self._services = services
        self._built_in = [given for given in built_in if given.kind in services.kinds.names()]
        self._look = asyncio.Event()
        self._task: asyncio.Task[NoReturn] | None = None
        services.listen.on(SCHEDULES_CHANGED, lambda _: self._look.set())

    async def start(self) -> None:
        """Makes the built-in schedules, then begins to fire."""
        if self._built_in:
            await patiently(self._make_built_in)
        self._task = asyncio.create_task(self._run(), name="scheduler")

    async def _make_built_in(self) -> None:
        async with self._services.database.as_service("schedules: the installation's own") as session:
            await _ensure(session, self._built_in)

    async def stop(self) -> None:
        """Fires nothing more."""
        await cancel(self._task)

    async def fire_due(self) -> int:
        """Fires everything that is due now; returns how many jobs that made."""
        made = 0
        while (outcome := await self._fire_one()) is not None:
            TICKS.labels(outcome).inc()
            made += outcome == "fired"
        return made

    async def _run(self) -> NoReturn:
        while True:
            pause = AGAIN_SECONDS
            try:
                await self.fire_due()
                pause = await self._pause()
            except (SQLAlchemyError, OSError) as error:
                log.warning("could not fire schedules, trying again", error=str(error).strip().split("\n")[0])
                pause = 1.0
            except Exception:
                log.exception("could not fire schedules, trying again")
                pause = 1.0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._look.wait()
            self._look.clear()

    async def _pause(self) -> float:
        async with self._services.database.as_service("schedules: when the next one is") as session:
            seconds = await repository.seconds_to_next(session, self._services.kinds.names())
        if seconds is None:
            return LOOK_SECONDS
        return AGAIN_SECONDS if seconds <= 0 else min(seconds + 0.001, LOOK_SECONDS)

    async def _fire_one(self) -> Outcome | None:
        at: UUID | None = None
        try:
            async with self._services.database.as_service("schedules: fire one") as session:
                due = await repository.next_due(session, self._services.kinds.names())
                if due is None:
                    return None
                row, role = due
                at = row.id
                return await self._fire(session, row, cast("Role", role))
        except Exception as error:
            cause = getattr(error, "orig", None) or error
            if at is None or is_away(cause):
                raise
            log.exception("a schedule cannot be fired", schedule=str(at))
            said = {"code": "internal", "message": "It could not be run because of a fault of this server's."}
            async with self._services.database.as_service("schedules: put off what cannot be fired") as session:
                await repository.put_off(session, at, PUT_OFF, said)
            return "failed"

    async def _fire(self, session: AsyncSession, row: Schedule, role: Role) -> Outcome:
        now, tick = await repository.clock(session), row.next_at
        assert tick is not None  # noqa: S101  (it was found by it)
        row.next_at = next_tick(row.cron, row.every_seconds, row.time_zone, after=now, start=tick)
        if row.missed == "skip" and now - tick > ON_TIME:
            row.last_error = {
                "code": "schedule_missed",
                "message": f"Nobody was there to run it at {tick:%Y-%m-%d %H:%M:%S} UTC; it waits for its next time.",
            }
            return "missed"
        if row.overlap == "skip" and (busy := await repository.unfinished_run(session, row.id)):
            row.last_error = {
                "code": "schedule_busy",
                "message": "Its run before had not ended, so this one was left out.",
                "job_id": str(busy),
            }
            return "skipped"
        try:
            async with session.begin_nested():
                owner = Principal(row.owner_id, "admin" if row.built_in else role, None, "bearer")
                job = await service.make_job(session, self._services, row, owner, tick=tick)
        except YeoulError as error:
            row.last_error = {"code": error.code, "message": error.detail}
            log.warning("a schedule's job was refused", schedule=str(row.id), code=error.code)
            return "failed"
        log.info("schedule fired", schedule=str(row.id), job=str(job.id), kind=row.kind, late=str(now - tick))
        return "fired"


async def _ensure(session: AsyncSession, wanted: Sequence[BuiltIn]) -> None:
    """Makes the built-in schedules, due at once, or brings them up to date; whether one is paused stays."""
    owner_id = await accounts.ensure_system_user(session)
    await repository.lock_owner(session, owner_id)
    known = await repository.built_ins(session)
    now = await repository.clock(session)
    for given in wanted:
        row = known.get(given.name)
        when = (given.cron, given.every_seconds)
        if row is None:
            row = Schedule(
                owner_id=owner_id, name=given.name, built_in=given.name, kind=given.kind, input={},
                priority=given.priority, time_zone="UTC", missed="once", overlap="skip", enabled=True, next_at=now,
            )  # fmt: skip
            row.cron, row.every_seconds = when
            await repository.add(session, row)
        elif (row.cron, row.every_seconds, row.kind) != (*when, given.kind):
            row.cron, row.every_seconds = when
            row.kind, row.updated_at = given.kind, now
            row.next_at = next_tick(*when, "UTC", after=now, start=now) if row.enabled else None
    await session.flush()
