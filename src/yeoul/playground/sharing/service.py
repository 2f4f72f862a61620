"""Sharing prompts: a random address under which one version and its latest executions can be read without signing in.

An address opens the version it was made for. Others of its family, labels and every id of the owner's stay closed.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.runtime.services import Services
from yeoul.playground import repository as playground
from yeoul.playground import service, statuses
from yeoul.playground.errors import ShareNotFound
from yeoul.playground.sharing import repository
from yeoul.playground.sharing.schemas import Shared, SharedPrompt, SharedStatus
from yeoul.playground.tables import Share

LATEST = 10


async def share(session: AsyncSession, either: UUID) -> tuple[Share, bool]:
    """Shares a prompt; also whether it was not before."""
    found = await service.prompt(session, either)
    made = await repository.make(session, found)
    return await _existing(session, found.id), made


async def read(session: AsyncSession, either: UUID) -> Share:
    """A prompt's share; raises ``ShareNotFound``."""
    return await _existing(session, (await service.prompt(session, either)).id)


async def end(session: AsyncSession, either: UUID) -> None:
    """Ends a prompt's share: its address leads nowhere from then on, and a new one is another."""
    await repository.remove(session, (await service.prompt(session, either)).id)


async def _existing(session: AsyncSession, prompt_id: UUID) -> Share:
    found = await repository.of_prompt(session, prompt_id)
    if found is None:
        raise ShareNotFound("This prompt is not shared.")
    return found


async def shared(services: Services, share_id: UUID) -> Shared:
    """What an address opens; raises ``ShareNotFound``."""
    async with _opened(services, share_id) as (session, prompt_id):
        prompt = await service.prompt(session, prompt_id)
        executions = await playground.executions(session, prompt_id, LATEST)
        found = [await statuses.status_of(session, one) for one in executions]
        return Shared(
            prompt=SharedPrompt.model_validate(prompt),
            executions=[SharedStatus.model_validate(one.model_dump()) for one in found],
        )


async def shared_image(services: Services, share_id: UUID, number: int) -> tuple[str, bytes]:
    """An image of the prompt that an address opens; raises ``ShareNotFound`` or ``ImageNotFound``."""
    async with _opened(services, share_id) as (session, prompt_id):
        return await service.image(session, prompt_id, number)


@asynccontextmanager
async def _opened(services: Services, share_id: UUID) -> AsyncGenerator[tuple[AsyncSession, UUID]]:
    """The owner's scope and the id of the one prompt that an address opens."""
    async with services.database.as_service("a shared prompt: whose it is, for who has its address") as session:
        found = await repository.find(session, share_id)
    if found is None:
        raise ShareNotFound("Nothing is shared here. Its owner may have ended it: ask them for a new address.")
    async with services.database.as_user(found.owner_id) as session:
        yield session, found.prompt_id
