"""What one has open: ``/api/auth/sessions`` and ``/api/keys``. For people: no API key may look or change anything."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from yeoul.core.auth.cookies import clear_cookies
from yeoul.core.auth.dependencies import Person, SessionsDep, services_of
from yeoul.core.auth.keys.schemas import KeyMade, KeyOut, KeyRequest
from yeoul.core.auth.keys.service import ApiKeys
from yeoul.core.auth.schemas import SessionOut
from yeoul.core.base.pagination import Limit, Page

router = APIRouter()


def api_keys(request: Request) -> ApiKeys:
    """The rules of API keys."""
    return ApiKeys(services_of(request).database)


KeysDep = Annotated[ApiKeys, Depends(api_keys)]


@router.get("/auth/sessions")
async def list_sessions(
    person: Person,
    service: SessionsDep,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[Limit, Query()] = 20,
) -> Page[SessionOut]:
    """Where you are signed in, newest first. `last_used_at` is when a session last got new tokens."""
    return await service.listing(person, cursor, limit)


@router.delete("/auth/sessions/{session_id}", status_code=204)
async def end_session(
    session_id: UUID, person: Person, service: SessionsDep, request: Request, response: Response
) -> None:
    """Signs you out there. What its last access token may, it may until that expires."""
    await service.end(person, session_id)
    if person.via == "cookie" and session_id == person.session_id:
        clear_cookies(request, response)


@router.post("/keys", status_code=201)
async def make_key(body: KeyRequest, person: Person, service: KeysDep, response: Response) -> KeyMade:
    """A key for a program, shown this once. It is sent as `Authorization: Bearer yk_…`."""
    response.headers["Cache-Control"] = "no-store"
    return await service.make(person, body)


@router.get("/keys")
async def list_keys(person: Person, service: KeysDep) -> Page[KeyOut]:
    """Your keys, newest first, all on one page."""
    return await service.listing(person)


@router.delete("/keys/{key_id}", status_code=204)
async def revoke_key(key_id: UUID, person: Person, service: KeysDep) -> None:
    """Ends a key, at once and for good; what it has open ends within seconds."""
    await service.revoke(person, key_id)
