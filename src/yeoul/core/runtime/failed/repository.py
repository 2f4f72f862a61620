"""Reading failed jobs, in whatever scope the session has: one user's rows, or everybody's for an administrator."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, exists, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from yeoul.core.auth.tables import User
from yeoul.core.jobs.repository import light
from yeoul.core.jobs.tables import Job

_Retry = aliased(Job)
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
_LIMITED = text("SET LOCAL statement_timeout = '5s'")


def _conditions(kind: str | None, code: str | None) -> list[ColumnElement[bool]]:
    conditions = [Job.status == "failed", ~exists().where(_Retry.retry_of == Job.id)]
    if kind is not None:
        conditions.append(Job.kind == kind)
    if code is not None:
        conditions.append(Job.error["code"].astext == code)
    return conditions


def _whose(query: Select[Any], owner_id: UUID | None) -> Select[Any]:
    """Row level security says it too; named, it finds its index."""
    return query if owner_id is None else query.where(Job.owner_id == owner_id)


async def listing(
    session: AsyncSession,
    *,
    owner_id: UUID | None,
    kind: str | None,
    code: str | None,
    before: UUID | None,
    limit: int,
) -> Sequence[tuple[Job, str | None]]:
    """The newest failed jobs before a cursor, none that was retried, with their owners' emails where all are asked."""
    await session.execute(_LIMITED)
    query = select(Job).where(*_conditions(kind, code)).order_by(Job.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Job.id < before)
    jobs = await light(session, _whose(query, owner_id))
    emails: dict[UUID, str] = {}
    if owner_id is None and jobs:
        found = await session.execute(select(User.id, User.email).where(User.id.in_({job.owner_id for job in jobs})))
        emails = {row.id: row.email for row in found}
    return [(job, emails.get(job.owner_id)) for job in jobs]


_GROUPS = """
    WITH failed AS MATERIALIZED (
        SELECT kind, error, finished_at FROM yeoul.jobs j
        WHERE status = 'failed' {own} AND NOT EXISTS (SELECT FROM yeoul.jobs r WHERE r.retry_of = j.id)
        ORDER BY id DESC LIMIT :most
    )
    SELECT kind, coalesce(error->>'code', 'internal') AS code, count(*) AS jobs, max(finished_at) AS newest,
           left((array_agg(error->>'message' ORDER BY finished_at DESC))[1], 500) AS message
    FROM failed GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 200
"""
_GROUPS_OF_ALL = text(_GROUPS.format(own=""))
_GROUPS_OF_ONE = text(_GROUPS.format(own="AND owner_id = :owner_id"))


async def groups(session: AsyncSession, *, owner_id: UUID | None, most: int) -> Sequence[Row[Any]]:
    """The newest ``most`` failed jobs that were not retried, by kind and code."""
    await session.execute(_LIMITED)
    if owner_id is None:
        return (await session.execute(_GROUPS_OF_ALL, {"most": most})).all()
    return (await session.execute(_GROUPS_OF_ONE, {"most": most, "owner_id": owner_id})).all()


async def oldest(
    session: AsyncSession, *, owner_id: UUID | None, kind: str | None, code: str | None, limit: int
) -> list[UUID]:
    """The oldest failed jobs that were not retried."""
    await session.execute(_LIMITED)
    query = select(Job.id).where(*_conditions(kind, code)).order_by(Job.id).limit(limit)
    return list(await session.scalars(_whose(query, owner_id)))


async def owners(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """Whose jobs these are, of those there are."""
    found = await session.execute(select(Job.id, Job.owner_id).where(Job.id.in_(ids)))
    return {row.id: row.owner_id for row in found}


async def lock_retries(session: AsyncSession, owner_id: UUID) -> None:
    """Has others who retry this owner's jobs in numbers wait until this transaction is over: so each job is once."""
    await session.execute(_LOCK, {"name": f"retry many {owner_id}"})


async def retries(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """The newest retry of each of these jobs that has one."""
    query = select(Job.retry_of, Job.id).where(Job.retry_of.in_(ids)).order_by(Job.id)
    return {row.retry_of: row.id for row in await session.execute(query)}
