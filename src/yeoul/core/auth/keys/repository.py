"""The SQL of API keys. Every function works in the caller's transaction. What every request asks: ``lookup.py``."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import CursorResult, Row, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.auth.tables import ApiKey

_SHOWN = (
    ApiKey.id,
    ApiKey.name,
    ApiKey.prefix,
    ApiKey.scopes,
    ApiKey.created_at,
    ApiKey.last_used_at,
    ApiKey.expires_at,
)
"""What the tenant scope may read: all but the hash."""

Shown = Row[UUID, str, str, list[str], datetime, datetime | None, datetime | None]


async def own_keys(session: AsyncSession, user_id: UUID) -> Sequence[Shown]:
    """A user's keys, the newest first, in their tenant scope."""
    query = select(*_SHOWN).where(ApiKey.user_id == user_id).order_by(ApiKey.id.desc())
    return (await session.execute(query)).all()


async def count(session: AsyncSession, user_id: UUID) -> int:
    """How many keys a user has."""
    return await session.scalar(select(func.count()).select_from(ApiKey).where(ApiKey.user_id == user_id)) or 0


async def add(session: AsyncSession, row: ApiKey) -> datetime:
    """Stores a new key; returns when."""
    session.add(row)
    await session.flush()
    await session.refresh(row, ["created_at"])
    return row.created_at


async def remove(session: AsyncSession, user_id: UUID, key_id: UUID) -> bool:
    """Deletes a user's key; whether there was one."""
    result = await session.execute(delete(ApiKey).where(ApiKey.id == key_id, ApiKey.user_id == user_id))
    assert isinstance(result, CursorResult)  # noqa: S101  (what a DELETE gives)
    return result.rowcount > 0


async def forget_expired(session: AsyncSession, user_id: UUID, after: timedelta) -> None:
    """Deletes a user's keys that expired so long ago."""
    await session.execute(delete(ApiKey).where(ApiKey.user_id == user_id, ApiKey.expires_at < func.now() - after))
