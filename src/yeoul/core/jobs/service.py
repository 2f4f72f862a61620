"""Rules about jobs that need no handler: reading, cancelling, watching."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.base import json
from yeoul.core.base.pagination import Page, decode_cursor, page
from yeoul.core.db.database import Database, after_commit
from yeoul.core.db.listen import JOBS_CANCELED, STREAMS_GREW, Ringer
from yeoul.core.events.hub import EventHub, Subscription
from yeoul.core.events.schemas import Event, reset
from yeoul.core.jobs import repository
from yeoul.core.jobs.errors import JobNotFound
from yeoul.core.jobs.schemas import TERMINAL, JobOut
from yeoul.core.jobs.tables import Job


@dataclass(frozen=True)
class Watch:
    """A subscription, what to send before it, and whether there is nothing left to come."""

    subscription: Subscription
    before: list[Event]
    over: bool = False
    base: int = 0
    """The seq before the stream's first: 0, or an age's."""


async def get(session: AsyncSession, job_id: UUID) -> Job:
    """One job of the user in scope; raises ``JobNotFound``."""
    job = await repository.get(session, job_id)
    if job is None:
        raise JobNotFound("There is no such job, or it is not yours.")
    return job


async def show(session: AsyncSession, job_id: UUID) -> JobOut:
    """One job with its place in the queue."""
    shown = JobOut.model_validate(await get(session, job_id))
    place = await repository.place(session, job_id) if shown.status == "queued" else None
    return shown if place is None else shown.model_copy(update={"queue_position": place[0]})


async def listing(
    session: AsyncSession, *, status: str | None, kind: str | None, cursor: str | None, limit: int
) -> Page[JobOut]:
    """A page of the user's jobs, newest first."""
    rows = await repository.listing(session, status=status, kind=kind, before=decode_cursor(cursor), limit=limit + 1)
    return page([JobOut.model_validate(row) for row in rows], limit, [row.id for row in rows])


async def cancel(session: AsyncSession, ringer: Ringer, job_id: UUID) -> Job:
    """Cancels: at once when the job waits, as a request to its worker when it runs; a terminal job stays as it is."""
    job = await repository.cancel(session, job_id)
    if job is None:
        raise JobNotFound("There is no such job, or it is not yours.")
    if job.status == "running":
        after_commit(session, lambda: ringer.ring(JOBS_CANCELED, [job_id]))
    elif job.status == "canceled":
        after_commit(session, lambda: ringer.ring(STREAMS_GREW, [job_id]))
    return job


async def watch(session: AsyncSession, events: EventHub, job_id: UUID, after: int | None) -> Watch:
    """A subscription to a job's stream from a cursor, or from now on.

    A cursor beyond the end, or from before a restore, is told to ``reset``.
    """
    job = await get(session, job_id)
    base, last = await repository.span(session, job_id)
    before: list[Event] = []
    if after is None:
        after = last
    if job.status in TERMINAL and last in {after, 0}:  # 0: its events are past their time
        subscription = events.subscribe(job_id, last)
        subscription.end()
        return Watch(subscription, told(job) if after == 0 else [], over=True, base=base)
    if after > last or 0 < after < base:
        before, after = [reset(job_id)], 0
    subscription = events.subscribe(job_id, after)
    if job.status == "queued":
        subscription.waiting = True  # from here on its place is told whenever it has changed
        if place := await repository.place(session, job_id):
            subscription.tell("queued", place_data(*place))
    return Watch(subscription, before, base=base)


def told(job: Job) -> list[Event]:
    """What there is to tell of an ended job without its events: its text, in one piece, and its end."""
    said = (job.output or {}).get("text")
    ends: dict[str, dict[str, Any]] = {
        "succeeded": {"output": job.output}, "failed": {"error": job.error}, "canceled": {},
    }  # fmt: skip
    wire = [(job.status, ends[job.status])]
    if isinstance(said, str) and said:
        wire.insert(0, ("text", {"delta": said}))
    return [Event(job.id, seq, kind, json.dumps(data)) for seq, (kind, data) in enumerate(wire, 1)]


def place_data(position: int, eta_seconds: float) -> str:
    """The data of a ``queued`` event."""
    return json.dumps({"position": position, "eta_seconds": eta_seconds})


async def watch_all(database: Database, events: EventHub, user_id: UUID, after: int | None) -> Watch:
    """A subscription to every status change of a user's jobs; without a cursor, from now on."""
    async with database.as_service("jobs: open the user's own stream") as session:
        stream_id, first, last = await repository.user_stream(session, user_id)
    if after is None:
        return Watch(events.subscribe(stream_id, last, ends=False), [])
    if after > last or after < first - 1:
        return Watch(events.subscribe(stream_id, last, ends=False), [reset(stream_id)])
    return Watch(events.subscribe(stream_id, after, ends=False), [])
