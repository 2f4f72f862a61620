"""Reading jobs as responses, inside a tenant scope."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.base import json
from yeoul.core.completions.said import Range, void_range
from yeoul.core.completions.schemas import Dialect
from yeoul.core.events.schemas import Event

_RETRIES = text("SELECT seq, data::text AS data FROM yeoul.events WHERE stream_id = :id AND type = 'retrying'")
_EVENTS = text("SELECT seq, type, data::text AS data FROM yeoul.events WHERE stream_id = :id ORDER BY seq")

# Clients ask for what they began a moment ago: it is among the newest, and the older ones need not be looked at.
_NEWEST_OF_CLIENT = text("""
    SELECT id FROM (
        SELECT id, finished_at, input->'client' AS client FROM yeoul.jobs WHERE kind = 'llm.complete'
        ORDER BY id DESC LIMIT 1000
    ) newest
    WHERE client->>'dialect' = :dialect AND client->>'id' = :client_id
        AND (finished_at IS NULL OR finished_at > now() - interval '5 minutes')
    ORDER BY id DESC LIMIT 1
""")


async def void(session: AsyncSession, job_id: UUID) -> list[Range]:
    """What of a job's text is void by now, see ``Said``."""
    rows = await session.execute(_RETRIES, {"id": job_id})
    return [void_range(row.seq, json.loads(row.data)) for row in rows]


async def events(session: AsyncSession, job_id: UUID) -> list[Event]:
    """A job's whole log."""
    rows = await session.execute(_EVENTS, {"id": job_id})
    return [Event(job_id, row.seq, row.type, row.data) for row in rows]


async def newest(session: AsyncSession, dialect: Dialect, client_id: str) -> UUID | None:
    """The newest job that a client knows by this id, if it runs, waits, or has ended in the last five minutes.

    A client whose connection broke just before the end has that long to read the rest.
    """
    found: UUID | None = await session.scalar(_NEWEST_OF_CLIENT, {"dialect": dialect, "client_id": client_id})
    return found
