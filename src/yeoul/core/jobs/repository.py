"""Reading and changing jobs inside a tenant scope: row level security decides what is there."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, literal, select, text, type_coerce
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer
from sqlalchemy.orm.attributes import set_committed_value

from yeoul.core.base import json
from yeoul.core.base.ids import new_shared_stream_id
from yeoul.core.events import queries as event_queries
from yeoul.core.jobs.tables import Job

_SUBMIT = text("""
    SELECT * FROM yeoul.submit_job(:id, :kind, cast(:input AS jsonb), :priority, :run_at, :max_attempts, :retry_of,
                                   :max_queued, :traceparent)
""")
_SUBMIT_MANY = text("""
    SELECT yeoul.submit_jobs(:ids, :kind, cast(:inputs AS jsonb), :priority, :ready, :max_attempts, :max_queued,
                             :traceparent)
""")
_CANCEL = text("SELECT * FROM yeoul.cancel_job(:id)")
_LIGHT = type_coerce(Job.input.op("-")(literal("images")), JSONB)
_PLACE = text("SELECT place, eta_seconds FROM yeoul.queue_place(:id)")


@dataclass(frozen=True)
class NewJob:
    """A job to be inserted."""

    id: UUID
    kind: str
    input: Any
    priority: int
    run_at: datetime | None
    max_attempts: int
    retry_of: UUID | None = None
    traceparent: str | None = None


async def submit(session: AsyncSession, job: NewJob, *, max_queued: int) -> Job | None:
    """Inserts a job of the user in scope; null when they have about ``max_queued`` waiting already."""
    values = {**vars(job), "input": json.dumps(job.input), "max_queued": max_queued}
    made: Job | None = await session.scalar(select(Job).from_statement(_SUBMIT), values)
    return made


@dataclass(frozen=True)
class NewJobs:
    """Jobs of one kind to be inserted together: the first ``ready`` may run at once, the others are held."""

    ids: list[UUID]
    kind: str
    inputs: list[dict[str, Any]]
    priority: int
    ready: int
    max_attempts: int
    traceparent: str | None = None


async def submit_many(session: AsyncSession, jobs: NewJobs, *, max_queued: int) -> bool:
    """Inserts jobs of the user in scope; none of them, and false, when more than ``max_queued`` would be waiting."""
    values = {**vars(jobs), "inputs": json.dumps(jobs.inputs), "max_queued": max_queued}
    return bool(await session.scalar(_SUBMIT_MANY, values))


async def cancel(session: AsyncSession, job_id: UUID) -> Job | None:
    """Cancels a queued job, asks a running one to stop, leaves a terminal one; null when there is none."""
    job: Job | None = await session.scalar(
        select(Job).from_statement(_CANCEL), {"id": job_id}, execution_options={"populate_existing": True}
    )
    return job


async def get(session: AsyncSession, job_id: UUID) -> Job | None:
    """One job."""
    return await session.get(Job, job_id)


async def listing(
    session: AsyncSession, *, status: str | None, kind: str | None, before: UUID | None, limit: int
) -> Sequence[Job]:
    """The newest jobs before a cursor."""
    query = select(Job).order_by(Job.id.desc()).limit(limit)
    if status is not None:
        query = query.where(Job.status == status)
    if kind is not None:
        query = query.where(Job.kind == kind)
    if before is not None:
        query = query.where(Job.id < before)
    return await light(session, query)


async def light(session: AsyncSession, query: Select[Any]) -> list[Job]:
    """A query's jobs, only to be shown: without images in their inputs, of which a page could hold gigabytes."""
    found = []
    for job, shown in await session.execute(query.options(defer(Job.input)).add_columns(_LIGHT)):
        session.expunge(job)  # whoever wants it whole reads it anew
        set_committed_value(job, "input", shown)
        found.append(job)
    return found


async def place(session: AsyncSession, job_id: UUID) -> tuple[int, float] | None:
    """Where a waiting job stands (1 is next, counted to 100), and a guess of the seconds until it starts."""
    row = (await session.execute(_PLACE, {"id": job_id})).one_or_none()
    return None if row is None else (row.place, row.eta_seconds)


async def span(session: AsyncSession, job_id: UUID) -> tuple[int, int]:
    """What a job's stream begins after, and its last seq; 0 and 0 when there is nothing yet."""
    row = (await session.execute(text(event_queries.SPAN), {"stream_id": job_id})).one()
    return row.base, row.last


async def user_stream(session: AsyncSession, user_id: UUID) -> tuple[UUID, int, int]:
    """A user's stream: id, first seq kept, last seq. Made when it is not there yet, which takes a service session."""
    topic = f"user:{user_id}"
    await session.execute(
        text(event_queries.OPEN_USER_STREAM), {"id": new_shared_stream_id(), "owner_id": user_id, "topic": topic}
    )
    row = (await session.execute(text(event_queries.USER_STREAM), {"topic": topic})).one()
    return row.id, row.first_seq, row.last_seq


async def database_now(session: AsyncSession) -> datetime:
    """The database's time, which is everybody's."""
    return (await session.scalars(select(func.now()))).one()
