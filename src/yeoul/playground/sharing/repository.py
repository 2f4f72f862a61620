"""The SQL of shares."""

from uuid import UUID, uuid4

from sqlalchemy import Row, delete, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.playground.tables import Prompt, Share

_MAKE = text("""
    INSERT INTO yeoul.playground_shares (id, owner_id, prompt_id) VALUES (:id, :owner_id, :prompt_id)
    ON CONFLICT (prompt_id) DO NOTHING RETURNING id
""")

# Nothing but whose prompt it is and which: the rest is read as its owner.
_FIND = text("""
    SELECT s.owner_id, s.prompt_id FROM yeoul.playground_shares s JOIN yeoul.users u ON u.id = s.owner_id
    WHERE s.id = :id AND u.disabled_at IS NULL
""")


async def make(session: AsyncSession, found: Prompt) -> bool:
    """Shares a prompt; false when it is shared already."""
    values = {"id": uuid4(), "owner_id": found.owner_id, "prompt_id": found.id}
    return await session.scalar(_MAKE, values) is not None


async def of_prompt(session: AsyncSession, prompt_id: UUID) -> Share | None:
    """A prompt's share."""
    share: Share | None = await session.scalar(select(Share).where(Share.prompt_id == prompt_id))
    return share


async def remove(session: AsyncSession, prompt_id: UUID) -> None:
    """Ends a prompt's share."""
    await session.execute(delete(Share).where(Share.prompt_id == prompt_id))


async def find(session: AsyncSession, share_id: UUID) -> Row[tuple[UUID, UUID]] | None:
    """Whose prompt is shared under an id, and which: ``owner_id`` and ``prompt_id``."""
    return (await session.execute(_FIND, {"id": share_id})).one_or_none()
