"""Sealed secrets in the database. The tenant scope sees names and hints; what is sealed, the service alone."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import CursorResult, Row, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.vault.tables import Secret

Shown = Row[str, str, datetime, datetime | None]


async def own(session: AsyncSession) -> Sequence[Shown]:
    """Name, hint, when stored and when last used, of the user in scope."""
    query = select(Secret.name, Secret.hint, Secret.created_at, Secret.last_used_at).order_by(Secret.name)
    return (await session.execute(query)).all()


async def store(session: AsyncSession, owner_id: UUID, name: str, sealed: bytes, hint: str) -> None:
    """Stores or replaces; takes a service session."""
    values = {"sealed": sealed, "hint": hint, "created_at": func.now(), "last_used_at": None}
    query = insert(Secret).values(owner_id=owner_id, name=name, **values)
    await session.execute(query.on_conflict_do_update(index_elements=["owner_id", "name"], set_=values))


async def remove(session: AsyncSession, owner_id: UUID, name: str) -> bool:
    """Deletes; whether there was one."""
    result = await session.execute(delete(Secret).where(Secret.owner_id == owner_id, Secret.name == name))
    assert isinstance(result, CursorResult)  # noqa: S101  (what a DELETE gives)
    return result.rowcount > 0


async def sealed(session: AsyncSession, owner_id: UUID, name: str) -> bytes | None:
    """What is sealed; takes a service session. Says that it was used, once a minute at most."""
    query = select(Secret.sealed).where(Secret.owner_id == owner_id, Secret.name == name)
    found: bytes | None = await session.scalar(query)
    if found is not None:
        await session.execute(
            update(Secret)
            .where(Secret.owner_id == owner_id, Secret.name == name)
            .where(func.coalesce(Secret.last_used_at < func.now() - func.make_interval(0, 0, 0, 0, 0, 1), True))
            .values(last_used_at=func.now())
        )
    return found


async def page(
    session: AsyncSession, after: tuple[UUID, str] | None, limit: int, *, lock: bool = True
) -> Sequence[Secret]:
    """Sealed secrets of everybody, locked or not, in the order of their keys; takes a service session."""
    query = select(Secret).order_by(Secret.owner_id, Secret.name).limit(limit)
    if lock:
        query = query.with_for_update()
    if after is not None:
        query = query.where(tuple_(Secret.owner_id, Secret.name) > after)
    return (await session.scalars(query)).all()
