"""A limit on request bodies, whether they state their length or come in chunks."""

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from yeoul.core.base.errors import TooLarge
from yeoul.core.http import problems


class _LimitPassedError(Exception):
    """Ends the reading of a body; never leaves this module."""


class BodyLimitMiddleware:
    """Answers 413 to bodies over ``limit`` bytes: at once where the length is stated, else when it is passed.

    ``larger`` are paths with limits of their own, where these are higher.
    """

    def __init__(self, app: ASGIApp, limit: int, larger: Mapping[str, int] | None = None) -> None:
        self._app = app
        self._least = limit
        self._larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, reading along."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = max(self._least, self._larger.get(scope["path"], 0))
        stated = Headers(scope=scope).get("content-length", "")
        if stated.isdecimal() and int(stated) > limit:
            await self._refuse(limit, scope, receive, send)
            return

        read = 0
        started = False

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise _LimitPassedError
            return message

        async def unless_passed(message: Message) -> None:
            nonlocal started
            if read > limit and not started:
                return  # whatever was made of the broken-off body, such as "unreadable", is not the reason
            started = True
            await send(message)

        try:
            await self._app(scope, counted, unless_passed)
        except Exception:
            if read <= limit or started:
                raise
        if read > limit and not started:
            await self._refuse(limit, scope, receive, send)

    async def _refuse(self, limit: int, scope: Scope, receive: Receive, send: Send) -> None:
        error = TooLarge(f"The body is over {limit:,} bytes, the most this server takes here. Send less at a time.")
        await problems.render(error, Request(scope))(scope, receive, send)
