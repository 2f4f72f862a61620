"""Sharing: ``/api/prompts/{id}/share`` for a prompt's owner, ``/api/shared/prompts/{share id}`` for everybody."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response, status

from yeoul.core.auth.dependencies import CurrentPrincipal
from yeoul.core.llm.images import MOST_IMAGES
from yeoul.core.runtime.dependencies import CurrentServices
from yeoul.core.runtime.services import Services
from yeoul.playground.sharing import service
from yeoul.playground.sharing.schemas import Shared, ShareOut
from yeoul.playground.tables import Share

router = APIRouter(tags=["playground"])

ImageNumber = Annotated[int, Path(ge=1, le=MOST_IMAGES)]
_HEADERS = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex", "Referrer-Policy": "no-referrer"}
"""The address is the key to it: no cache, search engine or other page gets hold of it."""


@router.post("/api/prompts/{prompt_id}/share", status_code=status.HTTP_201_CREATED)
async def share(
    prompt_id: UUID, request: Request, response: Response, principal: CurrentPrincipal, services: CurrentServices
) -> ShareOut:
    """Makes an address under which everybody who has it reads this version and its latest executions.

    200 with the same one where there is one already.
    """
    async with services.database.as_user(principal.user_id) as session:
        found, made = await service.share(session, prompt_id)
    if not made:
        response.status_code = status.HTTP_200_OK
    return _shown(found, request, services)


@router.get("/api/prompts/{prompt_id}/share")
async def read_share(
    prompt_id: UUID, request: Request, principal: CurrentPrincipal, services: CurrentServices
) -> ShareOut:
    """The address of this version, where it is shared."""
    async with services.database.as_user(principal.user_id) as session:
        return _shown(await service.read(session, prompt_id), request, services)


@router.delete("/api/prompts/{prompt_id}/share", status_code=status.HTTP_204_NO_CONTENT)
async def end_share(prompt_id: UUID, principal: CurrentPrincipal, services: CurrentServices) -> None:
    """Ends it: the address leads nowhere from now on."""
    async with services.database.as_user(principal.user_id) as session:
        await service.end(session, prompt_id)


@router.get("/api/shared/prompts/{share_id}")
async def read_shared(share_id: UUID, response: Response, services: CurrentServices) -> Shared:
    """A shared prompt with its latest 10 executions, without signing in. It holds no id of its owner's."""
    response.headers.update(_HEADERS)
    return await service.shared(services, share_id)


@router.get("/api/shared/prompts/{share_id}/images/{number}", response_class=Response)
async def read_shared_image(share_id: UUID, number: ImageNumber, services: CurrentServices) -> Response:
    """An image of a shared prompt, from 1."""
    media_type, data = await service.shared_image(services, share_id, number)
    return Response(data, media_type=media_type, headers=_HEADERS)


def _shown(found: Share, request: Request, services: Services) -> ShareOut:
    base = (services.settings.public_url or str(request.base_url)).rstrip("/")
    return ShareOut(id=found.id, url=f"{base}/shared/{found.id}", created_at=found.created_at)
