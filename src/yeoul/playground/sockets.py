"""``/cable``: the ActionCable protocol, so that ``@rails/actioncable`` follows executions.

A subscription's identifier is ``{"channel": "PromptChannel", "execution_id": …}`` as JSON text; with ``after``, a
cursor, it goes on from there. It is answered by the execution from its start: first ``{"type": "begin", …}``, which
tells a client that has connected again to forget what it holds, then what ``live`` says, each with its ``cursor``.
"""

import asyncio
import time
from contextlib import aclosing, suppress
from typing import Annotated, Any, Literal, NoReturn
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import HTTPConnection

from yeoul.core.auth.dependencies import current_principal
from yeoul.core.auth.principal import Principal
from yeoul.core.base import json
from yeoul.core.base.errors import Unauthenticated, YeoulError
from yeoul.core.runtime.dependencies import CurrentServices
from yeoul.core.runtime.services import Services
from yeoul.playground import live

PROTOCOL = "actioncable-v1-json"
PING_SECONDS = 3.0
"""What the client counts on: it takes a connection without two pings for dead."""
SEND_SECONDS = 20.0
MAX_SUBSCRIPTIONS = 64
MAX_MESSAGE_CHARS = 16_384
TRY_AGAIN_LATER = 1013

log = structlog.get_logger(__name__)
router = APIRouter(tags=["playground"])


class Command(BaseModel):
    """What a client says."""

    command: str
    identifier: str


class Identifier(BaseModel):
    """What a subscription is to."""

    model_config = ConfigDict(extra="ignore")

    channel: Literal["PromptChannel"]
    execution_id: UUID
    after: str | None = Field(default=None, max_length=8192)


async def _principal(websocket: WebSocket) -> Principal | None:
    """Who asks: by cookie, by header, or by ``?token=``, since browsers give a WebSocket no headers."""
    connection: HTTPConnection = websocket
    token = websocket.query_params.get("token")
    if token and "authorization" not in websocket.headers:
        bearer = (b"authorization", f"Bearer {token}".encode())
        connection = HTTPConnection({**websocket.scope, "headers": [*websocket.scope["headers"], bearer]})
    try:
        return await current_principal(connection, None)
    except Unauthenticated:
        return None


@router.websocket("/cable")
async def cable(
    websocket: WebSocket, principal: Annotated[Principal | None, Depends(_principal)], services: CurrentServices
) -> None:
    """Serves one connection until either side closes it."""
    spoken = websocket.scope.get("subprotocols", [])
    await websocket.accept(subprotocol=PROTOCOL if PROTOCOL in spoken else None)
    if principal is None:
        with suppress(WebSocketDisconnect):
            await websocket.send_text('{"type":"disconnect","reason":"unauthorized","reconnect":false}')
            await websocket.close()
        return
    async with asyncio.TaskGroup() as group:
        connection = _Connection(websocket, principal, services, group)
        try:
            await connection.serve()
        finally:
            connection.close()


class _Connection:
    def __init__(
        self, websocket: WebSocket, principal: Principal, services: Services, group: asyncio.TaskGroup
    ) -> None:
        self._websocket = websocket
        self._principal = principal
        self._services = services
        self._group = group
        self._following: dict[str, asyncio.Task[None]] = {}
        self._sending = asyncio.Lock()
        self._patience = asyncio.timeout(None)
        self._pinging: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Takes commands until either side closes. A client that has stopped reading is closed: it comes back."""
        try:
            async with self._patience:
                await self._send({"type": "welcome"})
                self._pinging = self._group.create_task(self._ping())
                await self._listen()
        except WebSocketDisconnect:
            pass
        except TimeoutError:
            self.close()
            with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
                async with asyncio.timeout(SEND_SECONDS):
                    await self._websocket.close(TRY_AGAIN_LATER, "You read too slowly. Connect again.")

    def close(self) -> None:
        """Stops following."""
        for task in self._following.values():
            task.cancel()
        if self._pinging is not None:
            self._pinging.cancel()

    async def _ping(self) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):
            while True:
                await self._send({"type": "ping", "message": int(time.time())})
                await asyncio.sleep(PING_SECONDS)

    async def _listen(self) -> NoReturn:
        while True:
            frame = await self._websocket.receive()
            if frame["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(frame["code"])
            text = frame.get("text")
            if text is None or len(text) > MAX_MESSAGE_CHARS:
                continue  # as Rails does: what it does not understand, it leaves out
            with suppress(ValidationError):
                await self._take(Command.model_validate_json(text))

    async def _take(self, said: Command) -> None:
        if said.command == "unsubscribe":
            if (task := self._following.pop(said.identifier, None)) is not None:
                task.cancel()
        elif said.command == "subscribe" and said.identifier not in self._following:
            if len(self._following) >= MAX_SUBSCRIPTIONS:
                await self._send({"identifier": said.identifier, "type": "reject_subscription"})
            else:
                self._following[said.identifier] = self._group.create_task(self._follow_quietly(said.identifier))

    async def _follow_quietly(self, identifier: str) -> None:
        try:
            await self._follow(identifier)
        except WebSocketDisconnect:
            pass
        except TimeoutError:
            with suppress(RuntimeError):  # another stream was quicker to say so
                self._patience.reschedule(0)

    async def _follow(self, identifier: str) -> None:
        try:
            wanted = Identifier.model_validate_json(identifier)
            reader = await live.follow(self._services, self._principal.user_id, wanted.execution_id, wanted.after)
        except (ValidationError, YeoulError):
            self._following.pop(identifier, None)
            await self._send({"identifier": identifier, "type": "reject_subscription"})
            return
        except (SQLAlchemyError, OSError) as error:
            log.warning("could not open an execution", error=str(error).strip())
            await self._reconnect()
            return
        await self._send({"identifier": identifier, "type": "confirm_subscription"})
        begin = {"type": "begin", "execution_id": str(reader.execution_id), "after": wanted.after}
        await self._send({"identifier": identifier, "message": begin})
        ended = False
        async with aclosing(reader.messages()) as batches:
            async for batch in batches:
                for message in batch:
                    await self._send({"identifier": identifier, "message": {**message.data, "cursor": message.cursor}})
                    ended = message.type == "end"
        if not ended:
            await self._reconnect()

    async def _reconnect(self) -> None:
        """The server stops, or cannot now: the client is to come back, and subscribes again by itself."""
        with suppress(RuntimeError):
            await self._send({"type": "disconnect", "reason": "server_restart", "reconnect": True})
            await self._websocket.close()

    async def _send(self, message: dict[str, Any]) -> None:
        async with asyncio.timeout(SEND_SECONDS), self._sending:
            await self._websocket.send_text(json.dumps(message))
