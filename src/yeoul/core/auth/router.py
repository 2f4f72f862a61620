"""``/api/auth/*``, ``/api/keys`` and ``/api/me``: this module's routes, and those of ``own`` and ``outside``.

Programs get tokens in JSON. A page of ours also gets them as HttpOnly cookies and needs nothing else: who asks is told
by the headers browsers add (``core/http/csrf.py``). From its cookie a page never sees the refresh token again, so that
a script slipped into a page cannot carry the session away.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response

from yeoul.core.auth.cookies import clear_cookies, hand_over, set_cookies
from yeoul.core.auth.dependencies import (
    ACCESS_COOKIE,
    KEY_LOOKUP,
    REFRESH_COOKIE,
    ClientDep,
    CurrentPrincipal,
    SessionsDep,
    bearer_token,
    key_lookup,
    services_of,
)
from yeoul.core.auth.middleware import openings
from yeoul.core.auth.outside.router import providers_of
from yeoul.core.auth.outside.router import router as outside_router
from yeoul.core.auth.own.router import router as own_router
from yeoul.core.auth.schemas import Access, Credentials, RefreshToken, Registration, SignedIn, UserOut
from yeoul.core.auth.service import Accounts
from yeoul.core.base.errors import Unauthenticated
from yeoul.core.http import problems
from yeoul.core.http.csrf import require_own_page


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Makes what this room keeps for an application, and closes what was opened in the end."""
    providers_of(app)
    yield
    await openings(app).close()
    if hasattr(app.state, KEY_LOOKUP):
        await key_lookup(app).close()


router = APIRouter(prefix="/api", tags=["auth"], lifespan=lifespan)


def accounts(request: Request) -> Accounts:
    """The rules of accounts."""
    services = services_of(request)
    return Accounts(services.database, services.settings)


AccountsDep = Annotated[Accounts, Depends(accounts)]


@router.post("/auth/register", status_code=201)
async def register(
    body: Registration, request: Request, response: Response, service: AccountsDep, origin: ClientDep
) -> SignedIn:
    """Makes an account and signs it in. The first account of an installation is its administrator's."""
    signed_in = await service.register(body, origin)
    hand_over(signed_in, request, response)
    return signed_in


@router.post("/auth/login")
async def login(
    body: Credentials, request: Request, response: Response, service: AccountsDep, origin: ClientDep
) -> SignedIn:
    """Signs in with email and password."""
    signed_in = await service.login(body, origin)
    hand_over(signed_in, request, response)
    return signed_in


@router.post("/auth/refresh", response_model=SignedIn | Access)
async def refresh(
    request: Request, response: Response, service: SessionsDep, body: RefreshToken | None = None
) -> SignedIn | Access | Response:
    """The next pair of tokens, for a refresh token in the body or in the cookie. Each is good for one use.

    From the cookie: new cookies, and the answer holds no ``refresh_token``.
    """
    response.headers["Cache-Control"] = "no-store"
    if body is not None and body.refresh_token is not None:
        return await service.refresh(body.refresh_token)
    token = request.cookies.get(REFRESH_COOKIE)
    if not token:
        raise Unauthenticated("Send your refresh_token, or sign in.")
    require_own_page(request, services_of(request).settings)
    try:
        signed_in = await service.refresh(token)
    except Unauthenticated as error:
        return _cleared(error, request)  # else every page would try again
    set_cookies(signed_in, request, response)
    return Access.model_validate(signed_in.model_dump(exclude={"refresh_token"}))


@router.post("/auth/logout", status_code=204, response_model=None)
async def logout(
    request: Request,
    response: Response,
    service: SessionsDep,
    everywhere: Annotated[bool, Query(description="End every session of the user, on every device.")] = False,  # noqa: FBT002
    body: RefreshToken | None = None,
) -> Response | None:
    """Ends the session by any of its tokens, even an expired one, and clears the cookies. Twice is fine.

    A token in the header or the body speaks for itself; without one the cookies do. `everywhere` takes an open session.
    API keys stay.
    """
    bearer, given = bearer_token(request), body.refresh_token if body else None
    end = service.logout_everywhere if everywhere else service.logout
    if bearer or given:
        await end(access_tokens=_some(bearer), refresh_tokens=_some(given))
    elif ACCESS_COOKIE in request.cookies or REFRESH_COOKIE in request.cookies:
        require_own_page(request, services_of(request).settings)
        try:
            await end(
                access_tokens=_some(request.cookies.get(ACCESS_COOKIE)),
                refresh_tokens=_some(request.cookies.get(REFRESH_COOKIE)),
            )
        except Unauthenticated as error:  # cookies of a former installation, or of a session that is over
            if everywhere:
                return _cleared(error, request)
    elif everywhere:
        raise Unauthenticated("Sign in first: signing out everywhere takes an open session.")
    clear_cookies(request, response)
    return None


@router.get("/me")
async def me(principal: CurrentPrincipal, service: AccountsDep) -> UserOut:
    """The signed-in user."""
    return await service.me(principal)


def _cleared(error: Unauthenticated, request: Request) -> Response:
    refusal = problems.render(error, request)
    clear_cookies(request, refusal)
    return refusal


def _some(token: str | None) -> list[str]:
    return [token] if token else []


router.include_router(own_router)
router.include_router(outside_router)
