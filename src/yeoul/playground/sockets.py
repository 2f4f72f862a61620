"""``/cable``: the ActionCable protocol, so that ``@rails/actioncable`` follows executions.

A subscription's identifier is ``{"channel": "PromptChannel", "execution_id": …}`` as JSON text; with ``after``, a
cursor, it goes on from there. It is answered by the execution from its start: first ``{"type": "begin", …}``, which
tells a client that has connected again to forget what it holds, then what ``live`` says, each with its ``cursor``.
"""

import asyncio
import time
from contextlib import aclosing, suppress
from functools import partial
from typing import Annotated, Any, Literal
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
from yeoul.core.http.connection import Connection
from yeoul.core.runtime.dependencies import CurrentServices
from yeoul.core.runtime.services import Services
from yeoul.playground import live

PROTOCOL = "actioncable-v1-json"
PING_SECONDS = 3.0
"""What the client counts on: it takes a connection without two pings for dead."""
MAX_SUBSCRIPTIONS = 64
MAX_MESSAGE_CHARS = 16_384

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
        await _Connection(websocket, principal, services, group).serve()


class _Connection(Connection):
    too_slow = "You read too slowly. Connect again."

    def __init__(
        self, websocket: WebSocket, principal: Principal, services: Services, group: asyncio.TaskGroup
    ) -> None:
        super().__init__(websocket, group)
        self._principal = principal
        self._services = services
        self.follow("ping", self._ping)

    async def _ping(self) -> None:
        await self._say({"type": "welcome"})
        with suppress(RuntimeError):
            while True:
                await self._say({"type": "ping", "message": int(time.time())})
                await asyncio.sleep(PING_SECONDS)

    async def take(self, text: str | None) -> None:
        """Does what a command says. As Rails does: what it does not understand, it leaves out."""
        if text is None or len(text) > MAX_MESSAGE_CHARS:
            return
        with suppress(ValidationError):
            said = Command.model_validate_json(text)
            if said.command == "unsubscribe":
                self.unfollow(("to", said.identifier))
            elif said.command == "subscribe" and not self.follows(("to", said.identifier)):
                if self.streams > MAX_SUBSCRIPTIONS:  # the ping is one of them
                    await self._say({"identifier": said.identifier, "type": "reject_subscription"})
                else:
                    self.follow(("to", said.identifier), partial(self._follow, said.identifier))

    async def _follow(self, identifier: str) -> None:
        try:
            wanted = Identifier.model_validate_json(identifier)
            reader = await live.follow(self._services, self._principal.user_id, wanted.execution_id, wanted.after)
        except (ValidationError, YeoulError):
            await self._say({"identifier": identifier, "type": "reject_subscription"})
            return
        except (SQLAlchemyError, OSError) as error:
            log.warning("could not open an execution", error=str(error).strip())
            await self._reconnect()
            return
        await self._say({"identifier": identifier, "type": "confirm_subscription"})
        begin = {"type": "begin", "execution_id": str(reader.execution_id), "after": wanted.after}
        await self._say({"identifier": identifier, "message": begin})
        ended = False
        async with aclosing(reader.messages()) as batches:
            async for batch in batches:
                for message in batch:
                    await self._say({"identifier": identifier, "message": {**message.data, "cursor": message.cursor}})
                    ended = message.type == "end"
        if not ended:
            await self._reconnect()

    async def _reconnect(self) -> None:
        """The server stops, or cannot now: the client is to come back, and subscribes again by itself."""
        with suppress(RuntimeError):
            await self._say({"type": "disconnect", "reason": "server_restart", "reconnect": True})
            await self.websocket.close()

    async def _say(self, message: dict[str, Any]) -> None:
        await self.send(json.dumps(message))
