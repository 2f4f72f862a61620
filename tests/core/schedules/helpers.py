"""Schedules as rows, however late, and what became of them."""

import json
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from yeoul.core.base.ids import new_id
from yeoul.core.db.database import Database


async def add(database: Database, owner: UUID, *, due: float = -1, **more: Any) -> UUID:
    """Inserts a schedule whose next tick is so many seconds from now."""
    made = new_id()
    values = {
        "id": made, "owner_id": owner, "name": str(made), "kind": "test.echo", "input": "{}", "priority": 5,
        "cron": None, "every_seconds": 3600, "time_zone": "UTC", "missed": "once", "overlap": "skip", "enabled": True,
    } | more  # fmt: skip
    names = ", ".join(values)
    places = ", ".join(f"%({name})s" for name in values)
    async with database.service_connection() as connection:
        await connection.execute(
            f"INSERT INTO schedules ({names}, next_at)"  # noqa: S608  (our own names)
            f" VALUES ({places}, now() + make_interval(secs => %(due)s))".encode(),
            values | {"due": due},
        )
    return made


async def row(database: Database, schedule_id: UUID) -> dict[str, Any]:
    """The schedule, and ``ahead``: seconds until its next tick."""
    async with database.service_connection() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        await cursor.execute(
            "SELECT *, extract(epoch FROM next_at - now())::float8 AS ahead FROM schedules WHERE id = %s", [schedule_id]
        )
        found = await cursor.fetchone()
    assert found is not None
    return found


async def jobs(database: Database, owner: UUID) -> list[UUID]:
    """The owner's jobs, oldest first."""
    async with database.service_connection() as connection:
        cursor = await connection.execute("SELECT id FROM jobs WHERE owner_id = %s ORDER BY id", [owner])
        return [found for (found,) in await cursor.fetchall()]


async def finish(database: Database, job_id: UUID) -> None:
    """Ends a waiting job without a worker."""
    async with database.service_connection() as connection:
        await connection.execute("UPDATE jobs SET status = 'canceled', finished_at = now() WHERE id = %s", [job_id])


async def sql(database: Database, statement: str, values: list[Any] | None = None) -> list[Any]:
    """Any statement as the service."""
    async with database.service_connection() as connection:
        cursor = await connection.execute(statement.encode(), values or [])
        return await cursor.fetchall() if cursor.description else []


def as_json(value: object) -> str:
    """JSON for a jsonb column."""
    return json.dumps(value)
