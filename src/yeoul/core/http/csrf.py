"""Protection of cookie-authenticated requests against other sites' pages.

A browser adds our cookies to requests that foreign pages make; it also says, in headers no page can forge, where a
request comes from. What a cookie authenticates and what can change something must come from a page of ours. Programs
send a bearer token, which no browser adds by itself, and are exempt.
"""

from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from yeoul.core.base.errors import Forbidden
from yeoul.settings import Settings

_PORTS = {"http": 80, "https": 443}
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class CrossOrigin(Forbidden):
    """A cookie came along with a request that is not known to be from a page of ours."""

    code, title = "csrf", "Not from this site"


class Origin(NamedTuple):
    """A parsed origin; the port is always there."""

    scheme: str
    host: str
    port: int


def parse_origin(value: str) -> Origin | None:
    """The origin of an address, or null when it has none (``null``, ``*``, ``about:blank``)."""
    try:
        parts = urlsplit(value.strip())
        if parts.scheme not in _PORTS or not parts.hostname:
            return None
        return Origin(parts.scheme, parts.hostname.lower(), parts.port or _PORTS[parts.scheme])
    except ValueError:
        return None


def from_own_page(connection: HTTPConnection, settings: Settings) -> bool:
    """Whether a browser says that a page of ours (or of ``allowed_origins``) made this request.

    False as well for programs, which say nothing. ``Sec-Fetch-Site`` goes first: it is right even behind a proxy
    that changes ``Host``. Then ``Origin``, which browsers add to every unsafe request and WebSocket handshake;
    ``Referer`` is the fallback of old ones.
    """
    headers = connection.headers
    if headers.get("sec-fetch-site") == "same-origin":
        return True
    source = parse_origin(headers.get("origin") or headers.get("referer") or "")
    if source is None:
        return False
    trusted = (*settings.allowed_origins, settings.public_url or "")
    return source in map(parse_origin, trusted) or _is_own(source, connection)


def require_own_page(connection: HTTPConnection, settings: Settings) -> None:
    """Raises ``CrossOrigin`` for an unsafe request or a WebSocket handshake that no page of ours made."""
    if connection.scope.get("method") in SAFE_METHODS or from_own_page(connection, settings):
        return
    raise CrossOrigin(
        "This request carries a sign-in cookie but does not come from a page of this site. "
        "Programs send the header Authorization: Bearer instead; for pages elsewhere add their address to "
        "YEOUL_ALLOWED_ORIGINS, and behind a proxy set YEOUL_PUBLIC_URL."
    )


def _is_own(source: Origin, connection: HTTPConnection) -> bool:
    """Whether an origin is the very address this request was sent to.

    Where a proxy ends TLS we see http behind an https page, which is fine; an http page before an https site is not.
    """
    secure = connection.scope.get("scheme") in {"https", "wss"}
    if secure and source.scheme == "http":
        return False
    own = parse_origin(f"{source.scheme}://{connection.headers.get('host', '')}")
    return source == own
