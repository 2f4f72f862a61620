"""Streams and WebSockets end with the session or the key that opened them, and a session that has ended opens none.

A request is over before its credential's end matters; what stays open would go on for hours. So it is asked, for all of
a process in one query, whether those who opened it may still be here, and those who may not are told nothing more. An
access token outlives its session by minutes: where something is to stay open, it is asked before, too.
"""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import cast
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from yeoul.core.auth import repository
from yeoul.core.auth.errors import SessionEnded
from yeoul.core.auth.principal import Principal
from yeoul.core.base.tasks import cancel
from yeoul.core.db.database import Database
from yeoul.core.http import problems

OPENING = "yeoul.opening"
"""Key of the request's ``Opening`` in the ASGI scope."""
LOOK_SECONDS = 5.0
"""How often it is asked who may still be here."""
POLICY_VIOLATION = 1008

_END_SECONDS = 1.0
_GOODBYE: dict[str, Message] = {
    "http": {"type": "http.response.body", "body": b"", "more_body": False},
    "websocket": {"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "Sign in again."},
}

log = structlog.get_logger(__name__)


class Opening:
    """A request, and who made it once that is known. ``send`` refuses to say anything after ``end``."""

    def __init__(self, kind: str, send: Send) -> None:
        self.principal: Principal | None = None
        self.ended = False
        self._kind = kind
        self._send = send

    async def send(self, message: Message) -> None:
        """Passes a message on; raises after the end, as for a client that has left."""
        if self.ended and self._kind == "http":
            raise ClientDisconnect
        if self.ended:
            raise OSError("whoever opened this may no longer be here")
        await self._send(message)

    async def end(self) -> None:
        """Ends the answer: what a client of ours takes for an interruption, and comes back from to be refused."""
        self.ended = True
        with suppress(Exception):  # it may have ended by itself, or its client may have stopped reading
            async with asyncio.timeout(_END_SECONDS):
                await self._send(_GOODBYE[self._kind])


class Openings:
    """What stays open in this process, looked at while there is any."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._open: set[Opening] = set()
        self._looking: asyncio.Task[None] | None = None

    def add(self, opening: Opening) -> None:
        """Has an opening looked at, from now on."""
        self._open.add(opening)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_while_open(), name="openings")

    def remove(self, opening: Opening) -> None:
        """Forgets one that has ended."""
        self._open.discard(opening)

    async def admit(self, principal: Principal) -> None:
        """Raises ``SessionEnded`` for who may open nothing any more; nobody is refused while the database is away."""
        if principal.via == "key":
            return  # just looked up
        try:
            good = await self._good([principal])
        except (SQLAlchemyError, OSError):
            return
        if principal.credential_id not in good:
            raise SessionEnded

    async def close(self) -> None:
        """Looks no more."""
        await cancel(self._looking)

    async def _look_while_open(self) -> None:
        while self._open:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._look()
            except (SQLAlchemyError, OSError) as error:
                log.warning("could not look who may still be here, trying again", error=str(error).strip())

    async def _look(self) -> None:
        by_whom = {
            opening: opening.principal for opening in self._open if opening.principal is not None and not opening.ended
        }
        good = await self._good(by_whom.values())
        gone = [opening for opening, principal in by_whom.items() if principal.credential_id not in good]
        for user_id in {by_whom[opening].user_id for opening in gone}:
            log.info("streams of an ended session or key are closed", user_id=str(user_id))
        await asyncio.gather(*(opening.end() for opening in gone))

    async def _good(self, principals: Collection[Principal]) -> set[UUID | None]:
        credentials = {principal.credential_id for principal in principals}
        async with self._database.as_service("auth: who may still be here") as session:
            return await repository.good_credentials(session, credentials)


class OpeningsMiddleware:
    """Notes what stays open: WebSockets and event streams of somebody."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] not in _GOODBYE:
            await self._app(scope, receive, send)
            return
        opening = scope[OPENING] = Opening(scope["type"], send)
        noted: Openings | None = None

        async def noticed(message: Message) -> None:
            nonlocal noted
            if noted is None and opening.principal is not None and _stays_open(message):
                try:
                    await openings(scope["app"]).admit(opening.principal)
                except SessionEnded as error:
                    opening.ended = True
                    await _refuse(error, scope, receive, send)
                else:
                    noted = openings(scope["app"])
                    noted.add(opening)
            await opening.send(message)

        try:
            await self._app(scope, receive, noticed)
        except (ClientDisconnect, WebSocketDisconnect):
            if not opening.ended:
                raise
        finally:
            if noted is not None:
                noted.remove(opening)


def openings(app: Starlette) -> Openings:
    """The application's, made when first used."""
    if not hasattr(app.state, "openings"):
        app.state.openings = Openings(app.state.services.database)
    return cast("Openings", app.state.openings)


async def _refuse(error: SessionEnded, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await problems.render(error, Request(scope))(scope, receive, send)
        return
    websocket = WebSocket(scope, receive, send)
    websocket.client_state = WebSocketState.CONNECTED
    await problems.refuse(websocket, problems.render(error, websocket), error.code)


def _stays_open(message: Message) -> bool:
    if message["type"] == "http.response.start":
        return Headers(raw=message["headers"]).get("content-type", "").startswith("text/event-stream")
    return bool(message["type"] == "websocket.accept")
