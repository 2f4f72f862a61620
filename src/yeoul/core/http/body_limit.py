"""A limit on request bodies, whether they state their length or come in chunks."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from yeoul.core.base.errors import TooLarge, YeoulError
from yeoul.core.http import problems

Admit = Callable[[Request], Awaitable[object]]
"""Raises a ``YeoulError`` for whoever may not send more than anybody may."""


class _RefusedError(Exception):
    """Ends the reading of a body; never leaves this module."""


class BodyLimitMiddleware:
    """Answers 413 to bodies over ``limit`` bytes: at once where the length is stated, else when it is passed.

    ``larger`` are paths with limits of their own, where these are higher. What is over ``limit`` there is read only for
    those whom ``admit`` lets in: visitors could fill the memory with what is refused once it is read.
    """

    def __init__(
        self, app: ASGIApp, limit: int, larger: Mapping[str, int] | None = None, admit: Admit | None = None
    ) -> None:
        self._app = app
        self._limit = limit
        self._larger = larger or {}
        self._admit = admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, reading along."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive, send, self._why_not)
        stated = Headers(scope=scope).get("content-length", "")
        if stated.isdecimal():
            await body.look(int(stated))
        try:
            if body.refusal is None:
                await self._app(scope, body.receive, body.send)
        except Exception:
            if body.refusal is None or body.answered:
                raise
        if body.refusal is not None and not body.answered:
            await problems.render(body.refusal, Request(scope))(scope, receive, send)

    async def _why_not(self, scope: Scope, before: int, size: int) -> YeoulError | None:
        """What speaks against a body of ``size`` bytes, of which ``before`` were allowed."""
        most = max(self._limit, self._larger.get(scope["path"], 0))
        if size > most:
            return TooLarge(f"The body is over {most:,} bytes, the most this server takes here. Send less at a time.")
        if before <= self._limit < size and self._admit is not None:
            try:
                await self._admit(Request(scope))
            except YeoulError as error:
                return error
        return None


class _Body:
    """A request's body, as far as it is allowed, and the answer to the request."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send,
        why_not: Callable[[Scope, int, int], Awaitable[YeoulError | None]],
    ) -> None:  # fmt: skip
        self._scope = scope
        self._receive = receive
        self._send = send
        self._why_not = why_not
        self._allowed = self._read = 0
        self.refusal: YeoulError | None = None
        self.answered = False

    async def look(self, size: int) -> None:
        """Allows so many bytes, or refuses them."""
        if size > self._allowed and self.refusal is None:
            self.refusal = await self._why_not(self._scope, self._allowed, size)
            self._allowed = size

    async def receive(self) -> Message:
        """The next piece; raises when it is refused."""
        message = await self._receive()
        self._read += len(message.get("body", b""))
        await self.look(self._read)
        if self.refusal is not None:
            raise _RefusedError
        return message

    async def send(self, message: Message) -> None:
        """Passes an answer on, unless the body was refused before it began."""
        if self.refusal is not None and not self.answered:
            return  # whatever was made of the broken-off body, such as "unreadable", is not the reason
        self.answered = True
        await self._send(message)
