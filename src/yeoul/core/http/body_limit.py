"""A limit on request bodies, whether they state their length or come in chunks."""

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from yeoul.core.base.errors import TooLarge
from yeoul.core.http import problems


class _LimitPassedError(Exception):
    """Ends the reading of a body; never leaves this module."""


class BodyLimitMiddleware:
    """Answers 413 to bodies over ``limit`` bytes: at once where the length is stated, else when it is passed."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, reading along."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        stated = Headers(scope=scope).get("content-length", "")
        if stated.isdecimal() and int(stated) > self._limit:
            await self._refuse(scope, receive, send)
            return

        read = 0
        started = False

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit:
                raise _LimitPassedError
            return message

        async def unless_passed(message: Message) -> None:
            nonlocal started
            if read > self._limit and not started:
                return  # whatever was made of the broken-off body, such as "unreadable", is not the reason
            started = True
            await send(message)

        try:
            await self._app(scope, counted, unless_passed)
        except Exception:
            if read <= self._limit or started:
                raise
        if read > self._limit and not started:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = TooLarge(f"The body is over {self._limit:,} bytes, the most this server takes. Send less at a time.")
        await problems.render(error, Request(scope))(scope, receive, send)
