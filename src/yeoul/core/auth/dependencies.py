"""Who is asking, for routes: HTTP and WebSocket alike.

``CurrentPrincipal`` (401 without one), ``OptionalPrincipal`` (null without one), ``AdminPrincipal`` (403 for others),
``Person`` (403 for API keys). A bearer token or key goes before the cookie; what a cookie authenticates must come from
a page of ours where it can change something (``core/http/csrf.py``). What a key may do, its scopes say.
"""

from typing import Annotated, Protocol, cast

import structlog
from fastapi import Depends
from fastapi.security import HTTPBearer
from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from yeoul.core.auth.errors import AdminOnly, NotWithAKey, ScopeMissing, TokenInvalid
from yeoul.core.auth.keys.lookup import KeyLookup
from yeoul.core.auth.keys.text import looks_like_key
from yeoul.core.auth.middleware import OPENING
from yeoul.core.auth.principal import Principal, Scope
from yeoul.core.auth.sessions import Client, Sessions
from yeoul.core.auth.tokens import Tokens
from yeoul.core.base.errors import Unauthenticated
from yeoul.core.db.database import Database
from yeoul.core.http.csrf import SAFE_METHODS, require_own_page
from yeoul.core.http.middleware import USER_ID
from yeoul.settings import Settings

ACCESS_COOKIE = "yeoul_access"
REFRESH_COOKIE = "yeoul_refresh"
KEY_LOOKUP = "key_lookup"
ROLE = "yeoul.role"
"""Key of the principal's role in the ASGI scope, beside the user's id."""


class AuthServices(Protocol):
    """What this room needs of ``app.state.services``."""

    @property
    def settings(self) -> Settings:
        """The installation's settings."""

    @property
    def database(self) -> Database:
        """The database."""


def services_of(connection: HTTPConnection) -> AuthServices:
    """The application's services."""
    return cast("AuthServices", connection.app.state.services)


def bearer_token(connection: HTTPConnection) -> str | None:
    """The bearer token; null without an ``Authorization`` header. Raises ``TokenInvalid`` for any other scheme."""
    header = connection.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise TokenInvalid
    return token.strip()


def signed_in_before(connection: HTTPConnection) -> bool:
    """Whether this browser has an access cookie, expired or not.

    For pages: without a principal but with this, ``POST /api/auth/refresh`` is worth a try before the sign-in form.
    """
    return ACCESS_COOKIE in connection.cookies


async def current_principal(
    connection: HTTPConnection, _documented: Annotated[object, Depends(HTTPBearer(auto_error=False))]
) -> Principal:
    """The principal; raises ``Unauthenticated`` (or the kind that says what is wrong with the token)."""
    services = services_of(connection)
    token = bearer_token(connection)
    by_cookie = token is None
    token = connection.cookies.get(ACCESS_COOKIE) if by_cookie else token
    if not token:
        raise Unauthenticated("Sign in first, and send the access_token or an API key as Authorization: Bearer.")
    if not by_cookie and looks_like_key(token):
        principal = await key_lookup(connection.app).principal(token)
        _require_scope(connection, principal)
    else:
        claims = Tokens(services.settings.signing_key, services.settings.access_token_seconds).read_access(token)
        if by_cookie:
            require_own_page(connection, services.settings)
        principal = Principal(claims.user_id, claims.role, claims.session_id, "cookie" if by_cookie else "bearer")
    if (opening := connection.scope.get(OPENING)) is not None:
        opening.principal = principal
    connection.scope[USER_ID] = principal.user_id
    connection.scope[ROLE] = principal.role
    structlog.contextvars.bind_contextvars(user_id=str(principal.user_id))
    return principal


async def signed_in(connection: HTTPConnection) -> Principal:
    """The principal, for what comes before routes; raises as ``current_principal``."""
    return await current_principal(connection, None)


def key_lookup(app: Starlette) -> KeyLookup:
    """The application's way to look up keys, opened when first used."""
    if not hasattr(app.state, KEY_LOOKUP):
        setattr(app.state, KEY_LOOKUP, KeyLookup(app.state.services.database))
    found: KeyLookup = getattr(app.state, KEY_LOOKUP)
    return found


async def optional_principal(
    connection: HTTPConnection, documented: Annotated[object, Depends(HTTPBearer(auto_error=False))]
) -> Principal | None:
    """The principal, or null for a visitor. A bad bearer token is still an error; a cookie's end makes a visitor."""
    try:
        return await current_principal(connection, documented)
    except Unauthenticated:
        if "authorization" in connection.headers:
            raise
        return None


async def admin_principal(principal: Annotated[Principal, Depends(current_principal)]) -> Principal:
    """The principal, who is an administrator; raises ``AdminOnly``."""
    if not principal.is_admin:
        raise AdminOnly
    return principal


async def person(principal: Annotated[Principal, Depends(current_principal)]) -> Principal:
    """The principal, who has signed in; raises ``NotWithAKey`` for a program's key."""
    if principal.via == "key":
        raise NotWithAKey
    return principal


def _require_scope(connection: HTTPConnection, principal: Principal) -> None:
    # A WebSocket's handshake is a GET. Ours only follow streams; one that takes orders asks principal.scopes itself.
    scope: Scope = "read" if connection.scope.get("method", "GET") in SAFE_METHODS else "write"
    if scope not in principal.scopes:
        raise ScopeMissing(scope)


CurrentPrincipal = Annotated[Principal, Depends(current_principal)]
OptionalPrincipal = Annotated[Principal | None, Depends(optional_principal)]
AdminPrincipal = Annotated[Principal, Depends(admin_principal)]
Person = Annotated[Principal, Depends(person)]


def client(connection: HTTPConnection) -> Client:
    """Where a request comes from."""
    host = connection.client.host if connection.client else "unknown"
    return Client(host, connection.headers.get("user-agent"))


def sessions(connection: HTTPConnection) -> Sessions:
    """The rules of sessions."""
    services = services_of(connection)
    return Sessions(services.database, services.settings)


ClientDep = Annotated[Client, Depends(client)]
SessionsDep = Annotated[Sessions, Depends(sessions)]
