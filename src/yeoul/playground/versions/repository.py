"""The SQL of versions and labels."""

from uuid import UUID

from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.playground.tables import Execution, Label, Prompt

# On one version of a family: whoever bears it loses it.
_PUT_LABEL = text("""
    INSERT INTO yeoul.playground_labels (owner_id, family_id, label, prompt_id)
    VALUES (:owner_id, :family_id, :label, :prompt_id)
    ON CONFLICT (owner_id, family_id, label) DO UPDATE SET prompt_id = excluded.prompt_id, updated_at = now()
""")


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
    values = {"owner_id": found.owner_id, "family_id": found.family_id, "label": label, "prompt_id": found.id}
    await session.execute(_PUT_LABEL, values)


async def remove_label(session: AsyncSession, found: Prompt, label: str) -> bool:
    """Takes a label off a version; false when it was not on it."""
    query = delete(Label).where(Label.prompt_id == found.id, Label.label == label).returning(Label.label)
    return await session.scalar(query) is not None
