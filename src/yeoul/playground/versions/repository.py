"""The SQL of versions and labels."""

from uuid import UUID

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.playground.repository import lock_family
from yeoul.playground.tables import Execution, Label, Prompt


async def versions(
    session: AsyncSession, family_id: UUID, *, before: int | None, limit: int
) -> list[tuple[Prompt, int]]:
    """A family's versions before one, the newest first, and how often each has been executed."""
    count = select(func.count()).where(Execution.prompt_id == Prompt.id).correlate(Prompt).scalar_subquery()
    query = select(Prompt, count).where(Prompt.family_id == family_id).order_by(Prompt.version.desc()).limit(limit)
    if before is not None:
        query = query.where(Prompt.version < before)
    return [(prompt, executions) for prompt, executions in await session.execute(query)]


async def put_label(session: AsyncSession, found: Prompt, label: str) -> None:
    """Puts a label on a version, wherever in its family it was before."""
    await lock_family(session, found.family_id)
    await session.execute(delete(Label).where(Label.family_id == found.family_id, Label.label == label))
    values = {"owner_id": found.owner_id, "family_id": found.family_id, "label": label, "prompt_id": found.id}
    await session.execute(insert(Label).values(values))


async def remove_label(session: AsyncSession, found: Prompt, label: str) -> bool:
    """Takes a label off a version; false when it was not on it."""
    query = delete(Label).where(Label.prompt_id == found.id, Label.label == label).returning(Label.label)
    return await session.scalar(query) is not None
