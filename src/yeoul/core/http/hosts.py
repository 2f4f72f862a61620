"""Which names this server answers to, against DNS rebinding.

A page on a name of an attacker's may have that name lead to this machine, and is then, to the browser, of the same
origin as we are: on a machine of one's own it could use a server that listens on the loopback interface alone. What it
cannot change is the name, which stands in the header ``Host``. An address in numbers is no name, and always answered.
"""

from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from yeoul.core.base.errors import YeoulError
from yeoul.core.http import problems
from yeoul.setting_types import is_loopback
from yeoul.settings import Settings

_ALWAYS = frozenset({"/health", "/up", "/ready"})
"""What a balancer or a container asks, by whatever name: it tells nothing worth a name."""


class UnknownHost(YeoulError):
    """The request is for a name that is not ours."""

    status, code, title = 421, "unknown_host", "Not a name of this server"


def allowed_hosts(settings: Settings) -> frozenset[str] | None:
    """The names to answer to, in lower case; null for any.

    ``allowed_hosts`` where it is set; else the name in ``public_url``; else none but this machine's own while the
    server listens on the loopback interface alone, and any when it does not.
    """
    names = settings.allowed_hosts or ([urlsplit(settings.public_url).hostname or ""] if settings.public_url else [])
    if "*" in names or (not names and not is_loopback(f"http://{_bracketed(settings.host)}")):
        return None
    return frozenset(name.lower() for name in names)


class HostMiddleware:
    """Refuses requests and WebSocket handshakes for other names than these."""

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or refuses it."""
        if scope["type"] == "lifespan" or scope["path"] in _ALWAYS or self._answers_to(_name(scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: 403
        else:
            error = UnknownHost(
                "This server does not answer to the name in the header Host. If it should, add the name to "
                "YEOUL_ALLOWED_HOSTS, or set YEOUL_PUBLIC_URL to the address browsers use."
            )
            await problems.render(error, HTTPConnection(scope))(scope, receive, send)

    def _answers_to(self, name: str) -> bool:
        if name in self._names or name == "localhost" or name.endswith(".localhost"):
            return True
        with suppress(ValueError):
            return bool(ip_address(name))
        return False


def _name(scope: Scope) -> str:
    try:
        return (urlsplit(f"//{Headers(scope=scope).get('host', '')}").hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
