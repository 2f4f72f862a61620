"""Versions of prompts: listing, labelling and comparing them."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.base.pagination import Page, decode_cursor, page
from yeoul.playground import service
from yeoul.playground.errors import LabelNotFound
from yeoul.playground.schemas import PromptOut
from yeoul.playground.tables import Prompt
from yeoul.playground.versions import repository
from yeoul.playground.versions.schemas import Version


async def listing(session: AsyncSession, either: UUID, *, cursor: str | None, limit: int) -> Page[Version]:
    """A page of the versions of a prompt's family, newest first."""
    found = await service.prompt(session, either)
    given = decode_cursor(cursor)
    before = None if given is None else given.int
    rows = await repository.versions(session, found.family_id, before=before, limit=limit + 1)
    items = [
        Version(**PromptOut.model_validate(prompt).model_dump(), executions=executions) for prompt, executions in rows
    ]
    return page(items, limit, [UUID(int=prompt.version) for prompt, _ in rows])


async def put_label(session: AsyncSession, either: UUID, label: str) -> PromptOut:
    """Puts a label on a version, and takes it off the version of its family that bore it."""
    found = await service.prompt(session, either)
    await repository.put_label(session, found, label)
    await session.refresh(found, ["labels"])
    return PromptOut.model_validate(found)


async def remove_label(session: AsyncSession, either: UUID, label: str) -> None:
    """Takes a label off a version. Raises ``LabelNotFound``."""
    found = await service.prompt(session, either)
    if not await repository.remove_label(session, found, label):
        raise LabelNotFound(f"Version {found.version} does not bear the label `{label}`.")


async def pair(session: AsyncSession, before: UUID, after: UUID) -> tuple[Prompt, Prompt]:
    """Two prompts by their ids, or their executions'."""
    return await service.prompt(session, before), await service.prompt(session, after)
