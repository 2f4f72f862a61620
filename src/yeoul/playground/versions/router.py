"""``/api/prompts``: versions, labels and comparisons. An id in a path is a prompt's or an execution's."""

import asyncio
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, status

from yeoul.core.auth.dependencies import CurrentPrincipal
from yeoul.core.base.pagination import Limit, Page
from yeoul.core.runtime.dependencies import CurrentServices
from yeoul.playground import statuses
from yeoul.playground.schemas import PromptOut
from yeoul.playground.tables import Prompt
from yeoul.playground.versions import diff, service
from yeoul.playground.versions.schemas import Comparison, Diff, Version

router = APIRouter(prefix="/api/prompts", tags=["playground"])

LabelName = Annotated[
    str, Path(pattern=r"^[a-z0-9][a-z0-9._-]{0,39}$", description="Small letters, digits, dots, - and _; 40 at most.")
]


@router.get("/compare")
async def compare(
    principal: CurrentPrincipal,
    services: CurrentServices,
    left: Annotated[UUID, Query(description="An execution, or a prompt for its latest.")],
    right: Annotated[UUID, Query(description="Another.")],
) -> Comparison:
    """Two executions side by side, and what became of the left one's prompt in the right one's."""
    async with services.database.as_user(principal.user_id) as session:
        both = await statuses.status(session, left), await statuses.status(session, right)
        before, after = await service.pair(session, both[0].prompt_id, both[1].prompt_id)
    return Comparison(left=both[0], right=both[1], diff=await _diff(before, after))


@router.get("/{prompt_id}/versions")
async def list_versions(
    prompt_id: UUID,
    principal: CurrentPrincipal,
    services: CurrentServices,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[Limit, Query()] = 20,
) -> Page[Version]:
    """The versions of a prompt, newest first."""
    async with services.database.as_user(principal.user_id) as session:
        return await service.listing(session, prompt_id, cursor=cursor, limit=limit)


@router.get("/{prompt_id}/diff")
async def read_diff(
    prompt_id: UUID,
    principal: CurrentPrincipal,
    services: CurrentServices,
    against: Annotated[UUID, Query(description="The prompt it is compared with: what it was before.")],
) -> Diff:
    """What became of `against` in this prompt, line by line."""
    async with services.database.as_user(principal.user_id) as session:
        before, after = await service.pair(session, against, prompt_id)
    return await _diff(before, after)


@router.put("/{prompt_id}/labels/{label}")
async def put_label(
    prompt_id: UUID, label: LabelName, principal: CurrentPrincipal, services: CurrentServices
) -> PromptOut:
    """Puts a label on this version. It is on one version of a prompt: the one that bore it loses it."""
    async with services.database.as_user(principal.user_id) as session:
        return await service.put_label(session, prompt_id, label)


@router.delete("/{prompt_id}/labels/{label}", status_code=status.HTTP_204_NO_CONTENT)
async def remove_label(
    prompt_id: UUID, label: LabelName, principal: CurrentPrincipal, services: CurrentServices
) -> None:
    """Takes a label off this version."""
    async with services.database.as_user(principal.user_id) as session:
        await service.remove_label(session, prompt_id, label)


async def _diff(before: Prompt, after: Prompt) -> Diff:
    # In a thread: two long texts take a second.
    return Diff(before=before.id, after=after.id, fields=await asyncio.to_thread(diff.fields, before, after))
