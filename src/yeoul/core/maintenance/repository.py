"""Housekeeping's SQL beside the queue's own: what is past its time."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import CursorResult, delete, func, or_, text
from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.auth.tables import AuthSession, LoginAttempt

_PRUNE = text("SELECT yeoul.prune_jobs(now() - :age, :limit, :owner, :not_owner)")
_DROP = text("SELECT yeoul.drop_event_partition(now() - :age)")

DAY = timedelta(days=1)


async def prune_jobs(
    session: AsyncSession, age: timedelta, limit: int, *, owner: UUID | None = None, not_owner: UUID | None = None
) -> int:
    """Deletes jobs that ended so long ago, of an owner or of everybody else; returns how many."""
    values = {"age": age, "limit": limit, "owner": owner, "not_owner": not_owner}
    return int(await session.scalar(_PRUNE, values) or 0)


async def drop_event_partition(session: AsyncSession, age: timedelta) -> str | None:
    """Drops the oldest day of events all of whose jobs ended so long ago; its name, or null when there is none."""
    name: str | None = await session.scalar(_DROP, {"age": age})
    return name


async def forget_sessions(session: AsyncSession) -> int:
    """Deletes sessions that ended over a day ago: no token of theirs is good any more."""
    ended = or_(AuthSession.expires_at < func.now() - DAY, AuthSession.revoked_at < func.now() - DAY)
    return _deleted(await session.execute(delete(AuthSession).where(ended)))


async def forget_attempts(session: AsyncSession) -> int:
    """Deletes failed sign-ins over a day old, which no limit counts any more."""
    return _deleted(await session.execute(delete(LoginAttempt).where(LoginAttempt.at < func.now() - DAY)))


def _deleted(result: object) -> int:
    assert isinstance(result, CursorResult)  # noqa: S101  (what a DELETE gives)
    return result.rowcount
