"""``/api/auth/*`` and ``/api/me``.

Programs get tokens in JSON. A page of ours also gets them as HttpOnly cookies and needs nothing else: who asks is told
by the headers browsers add (``core/http/csrf.py``). From its cookie a page never sees the refresh token again, so that
a script slipped into a page cannot carry the session away.
"""

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from yeoul.core.auth.dependencies import (
    ACCESS_COOKIE,
    REFRESH_COOKIE,
    CurrentPrincipal,
    bearer_token,
    services_of,
)
from yeoul.core.auth.errors import TokenInvalid
from yeoul.core.auth.schemas import Access, Credentials, RefreshToken, Registration, SignedIn, UserOut
from yeoul.core.auth.service import Accounts, Client
from yeoul.core.base.errors import Unauthenticated
from yeoul.core.http import problems
from yeoul.core.http.csrf import from_own_page, require_own_page

_REFRESH_PATH = "/api/auth"

router = APIRouter(prefix="/api", tags=["auth"])


def accounts(request: Request) -> Accounts:
    """The room's service."""
    services = services_of(request)
    return Accounts(services.database, services.settings)


def client(request: Request) -> Client:
    """Where a request comes from."""
    return Client(request.client.host if request.client else "unknown", request.headers.get("user-agent"))


AccountsDep = Annotated[Accounts, Depends(accounts)]
ClientDep = Annotated[Client, Depends(client)]


@router.post("/auth/register", status_code=201)
async def register(
    body: Registration, request: Request, response: Response, service: AccountsDep, origin: ClientDep
) -> SignedIn:
    """Makes an account and signs it in. The first account of an installation is its administrator's."""
    signed_in = await service.register(body, origin)
    _hand_over(signed_in, request, response)
    return signed_in


@router.post("/auth/login")
async def login(
    body: Credentials, request: Request, response: Response, service: AccountsDep, origin: ClientDep
) -> SignedIn:
    """Signs in with email and password."""
    signed_in = await service.login(body, origin)
    _hand_over(signed_in, request, response)
    return signed_in


@router.post("/auth/refresh", response_model=SignedIn | Access)
async def refresh(
    request: Request, response: Response, service: AccountsDep, body: RefreshToken | None = None
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
        refusal = problems.render(error, request)
        _clear_cookies(request, refusal)  # else every page would try again
        return refusal
    _set_cookies(signed_in, request, response)
    return Access.model_validate(signed_in.model_dump(exclude={"refresh_token"}))


@router.post("/auth/logout", status_code=204)
async def logout(request: Request, response: Response, service: AccountsDep, body: RefreshToken | None = None) -> None:
    """Ends the session by any of its tokens, even an expired one, and clears the cookies. Twice is fine.

    A token in the header or the body speaks for itself; without one the cookies do.
    """
    bearer, given = bearer_token(request), body.refresh_token if body else None
    if bearer or given:
        await service.logout(access_tokens=_some(bearer), refresh_tokens=_some(given))
    elif ACCESS_COOKIE in request.cookies or REFRESH_COOKIE in request.cookies:
        require_own_page(request, services_of(request).settings)
        with suppress(TokenInvalid):  # cookies of a former installation: there is only something to clear
            await service.logout(
                access_tokens=_some(request.cookies.get(ACCESS_COOKIE)),
                refresh_tokens=_some(request.cookies.get(REFRESH_COOKIE)),
            )
    _clear_cookies(request, response)


@router.get("/me")
async def me(principal: CurrentPrincipal, service: AccountsDep) -> UserOut:
    """The signed-in user."""
    return await service.me(principal)


def _some(token: str | None) -> list[str]:
    return [token] if token else []


def _hand_over(signed_in: SignedIn, request: Request, response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"
    if from_own_page(request, services_of(request).settings):
        _set_cookies(signed_in, request, response)


def _set_cookies(signed_in: SignedIn, request: Request, response: Response) -> None:
    """Both cookies live as long as the refresh token: an expired access cookie tells that a refresh is worth a try."""
    age = services_of(request).settings.refresh_token_days * 86_400
    for name, value, path in (
        (ACCESS_COOKIE, signed_in.access_token, "/"),
        (REFRESH_COOKIE, signed_in.refresh_token, _REFRESH_PATH),
    ):
        response.set_cookie(
            name, value, max_age=age, path=path, secure=_is_secure(request), httponly=True, samesite="lax"
        )


def _clear_cookies(request: Request, response: Response) -> None:
    for name, path in ((ACCESS_COOKIE, "/"), (REFRESH_COOKIE, _REFRESH_PATH)):
        response.delete_cookie(name, path=path, secure=_is_secure(request), httponly=True, samesite="lax")


def _is_secure(request: Request) -> bool:
    public_url = services_of(request).settings.public_url or ""
    return request.url.scheme == "https" or public_url.startswith("https://")
