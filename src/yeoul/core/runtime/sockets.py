"""``/api/ws``: many streams over one WebSocket, each with its own cursor.

Client → server, JSON texts of at most 4 KB::

    {"type": "subscribe", "stream": "<job id>" | "jobs", "after": 0}
    {"type": "unsubscribe", "stream": …}
    {"type": "ping"}

Server → client::

    {"type": "subscribed", "stream": …, "after": 0}
    {"type": "event", "stream": …, "seq": 12, "event": "text", "data": {"delta": "…"}}      seq is null outside the log
    {"type": "closed", "stream": …}                                                       the job has ended
    {"type": "error", "stream": …, "problem": {…}}
    {"type": "pong"}

A client that does not read for 20 seconds is closed with 1013: it connects again and subscribes from its cursors. So it
does when the server closes first, without a ``closed`` for the stream.
"""

import asyncio
from contextlib import aclosing
from functools import partial
from typing import Annotated, Literal
from uuid import UUID

import structlog
from fastapi import APIRouter, WebSocket
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from yeoul.core.auth.dependencies import CurrentPrincipal
from yeoul.core.auth.principal import Principal
from yeoul.core.base import json
from yeoul.core.base.errors import InvalidInput, TooManyRequests, Unavailable, YeoulError
from yeoul.core.events.schemas import Event
from yeoul.core.http.connection import Connection
from yeoul.core.jobs import service
from yeoul.core.jobs.service import Watch
from yeoul.core.runtime.dependencies import CurrentServices
from yeoul.core.runtime.services import Services

log = structlog.get_logger(__name__)
router = APIRouter(tags=["jobs"])

MAX_STREAMS = 256
MAX_MESSAGE_CHARS = 4096

JOBS = "jobs"
"""The stream of every status change of the user's jobs."""


class Subscribe(BaseModel):
    """Begins to follow a stream from after a cursor; of `jobs`, without a cursor, from now on."""

    type: Literal["subscribe"]
    stream: UUID | Literal["jobs"]
    after: int | None = Field(default=None, ge=0, lt=2**63)


class Unsubscribe(BaseModel):
    """Stops following a stream."""

    type: Literal["unsubscribe"]
    stream: UUID | Literal["jobs"]


class Ping(BaseModel):
    """Asks for a pong."""

    type: Literal["ping"]


_message: TypeAdapter[Subscribe | Unsubscribe | Ping] = TypeAdapter(
    Annotated[Subscribe | Unsubscribe | Ping, Field(discriminator="type")]
)


@router.websocket("/api/ws")
async def follow(websocket: WebSocket, principal: CurrentPrincipal, services: CurrentServices) -> None:
    """Serves one connection until either side closes it."""
    await websocket.accept()
    async with asyncio.TaskGroup() as group:
        await _Connection(websocket, principal, services, group).serve()


class _Connection(Connection):
    def __init__(
        self, websocket: WebSocket, principal: Principal, services: Services, group: asyncio.TaskGroup
    ) -> None:
        super().__init__(websocket, group)
        self._principal = principal
        self._services = services

    async def take(self, text: str | None) -> None:
        """Subscribes, unsubscribes, answers; or says what is wrong with it."""
        if text is None:
            await self._problem(None, InvalidInput("Send JSON as text, not as bytes."))
            return
        if len(text) > MAX_MESSAGE_CHARS:
            await self._problem(None, InvalidInput(f"A message has at most {MAX_MESSAGE_CHARS:,} characters."))
            return
        try:
            message = _message.validate_json(text)
        except ValidationError:
            error = InvalidInput("Send {type: subscribe | unsubscribe | ping, stream, after}.")
            await self._problem(None, error)
        else:
            await self._take(message)

    async def _take(self, message: Subscribe | Unsubscribe | Ping) -> None:
        if isinstance(message, Ping):
            await self.send('{"type":"pong"}')
            return
        self.unfollow(message.stream)
        if isinstance(message, Subscribe):
            if self.streams >= MAX_STREAMS:
                error = TooManyRequests(f"One connection follows at most {MAX_STREAMS} streams; open another.")
                await self._problem(message.stream, error)
            else:
                self.follow(message.stream, partial(self._follow, message))

    async def _follow(self, message: Subscribe) -> None:
        try:
            watch = await self._watch(message)
        except YeoulError as error:
            await self._problem(message.stream, error)
            return
        except (SQLAlchemyError, OSError) as error:
            log.warning("could not open a stream", error=str(error).strip())
            problem = Unavailable("The database does not answer right now. Subscribe again in a few seconds.")
            await self._problem(message.stream, problem)
            return
        await self.send(
            json.dumps({"type": "subscribed", "stream": message.stream, "after": watch.subscription.last_seq})
        )
        await self._send_events(message.stream, watch.before)
        async with watch.subscription, aclosing(watch.subscription.batches()) as batches:
            async for batch in batches:
                await self._send_events(message.stream, batch)
        if watch.over or watch.subscription.over:
            await self.send(json.dumps({"type": "closed", "stream": message.stream}))

    async def _watch(self, message: Subscribe) -> Watch:
        services, user_id = self._services, self._principal.user_id
        if isinstance(message.stream, str):
            return await service.watch_all(services.database, services.events, user_id, message.after)
        async with services.database.as_user(user_id) as session:
            return await service.watch(session, services.events, message.stream, message.after or 0)

    async def _send_events(self, stream: UUID | str, events: list[Event]) -> None:
        for event in events:
            seq = "null" if event.seq is None else str(event.seq)
            head = f'{{"type":"event","stream":"{stream}","seq":{seq},"event":"{event.type}"'
            await self.send(f'{head},"data":{event.data}}}')

    async def _problem(self, stream: UUID | str | None, error: YeoulError) -> None:
        problem = {"status": error.status, "code": error.code, "title": error.title, "detail": error.detail}
        await self.send(json.dumps({"type": "error", "stream": stream, "problem": problem}))
