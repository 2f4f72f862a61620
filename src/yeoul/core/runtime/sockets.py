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
from contextlib import aclosing, suppress
from typing import Annotated, Literal, NoReturn
from uuid import UUID

import structlog
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from yeoul.core.auth.dependencies import CurrentPrincipal
from yeoul.core.auth.principal import Principal
from yeoul.core.base import json
from yeoul.core.base.errors import InvalidInput, TooManyRequests, Unavailable, YeoulError
from yeoul.core.events.schemas import Event
from yeoul.core.jobs import service
from yeoul.core.jobs.service import Watch
from yeoul.core.runtime.dependencies import CurrentServices
from yeoul.core.runtime.services import Services

log = structlog.get_logger(__name__)
router = APIRouter(tags=["jobs"])

MAX_STREAMS = 256
MAX_MESSAGE_CHARS = 4096
SEND_SECONDS = 20.0
CLOSE_SECONDS = 20.0
"""How long a client that has stopped reading may take to read why it is closed."""
TRY_AGAIN_LATER = 1013

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
        connection = _Connection(websocket, principal, services, group)
        try:
            await connection.serve()
        finally:
            connection.close()


class _TooSlow(Exception):
    """The client has stopped reading."""


class _Connection:
    def __init__(
        self, websocket: WebSocket, principal: Principal, services: Services, group: asyncio.TaskGroup
    ) -> None:
        self._websocket = websocket
        self._principal = principal
        self._services = services
        self._group = group
        self._following: dict[UUID | str, asyncio.Task[None]] = {}
        self._sending = asyncio.Lock()
        self._patience = asyncio.timeout(None)

    async def serve(self) -> None:
        """Takes messages until either side closes. A client that has stopped reading is told so, if it ever looks."""
        try:
            async with self._patience:
                await self._listen()
        except WebSocketDisconnect:
            pass
        except (TimeoutError, _TooSlow):
            self.close()
            with suppress(TimeoutError, WebSocketDisconnect):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._websocket.close(
                        TRY_AGAIN_LATER, "You read too slowly. Connect again and resume from your cursors."
                    )

    def close(self) -> None:
        """Stops following."""
        for task in self._following.values():
            task.cancel()

    async def _listen(self) -> NoReturn:
        while True:
            frame = await self._websocket.receive()
            if frame["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(frame["code"])
            text: str | None = frame.get("text")
            if text is None:
                await self._problem(None, InvalidInput("Send JSON as text, not as bytes."))
                continue
            if len(text) > MAX_MESSAGE_CHARS:
                error = InvalidInput(f"A message has at most {MAX_MESSAGE_CHARS:,} characters.")
                await self._problem(None, error)
                continue
            try:
                message = _message.validate_json(text)
            except ValidationError:
                error = InvalidInput("Send {type: subscribe | unsubscribe | ping, stream, after}.")
                await self._problem(None, error)
            else:
                await self._take(message)

    async def _take(self, message: Subscribe | Unsubscribe | Ping) -> None:
        if isinstance(message, Ping):
            await self._send('{"type":"pong"}')
            return
        if (task := self._following.pop(message.stream, None)) is not None:
            task.cancel()
        if isinstance(message, Subscribe):
            if len(self._following) >= MAX_STREAMS:
                error = TooManyRequests(f"One connection follows at most {MAX_STREAMS} streams; open another.")
                await self._problem(message.stream, error)
            else:
                self._following[message.stream] = self._group.create_task(self._follow_quietly(message))

    async def _follow_quietly(self, message: Subscribe) -> None:
        try:
            await self._follow(message)
        except WebSocketDisconnect:
            pass
        except _TooSlow:
            with suppress(RuntimeError):  # another stream was quicker to say so
                self._patience.reschedule(0)
        finally:
            if self._following.get(message.stream) is asyncio.current_task():
                del self._following[message.stream]

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
        await self._send(
            json.dumps({"type": "subscribed", "stream": message.stream, "after": watch.subscription.last_seq})
        )
        await self._send_events(message.stream, watch.before)
        if not watch.over:
            async with watch.subscription, aclosing(watch.subscription.batches()) as batches:
                async for batch in batches:
                    await self._send_events(message.stream, batch)
        if watch.over or watch.subscription.over:
            await self._send(json.dumps({"type": "closed", "stream": message.stream}))

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
            await self._send(f'{head},"data":{event.data}}}')

    async def _problem(self, stream: UUID | str | None, error: YeoulError) -> None:
        problem = {"status": error.status, "code": error.code, "title": error.title, "detail": error.detail}
        await self._send(json.dumps({"type": "error", "stream": stream, "problem": problem}))

    async def _send(self, text: str) -> None:
        """Sends; raises ``_TooSlow`` when the client does not read. It can have what it misses from its cursor."""
        try:
            async with asyncio.timeout(SEND_SECONDS), self._sending:
                await self._websocket.send_text(text)
        except TimeoutError:
            raise _TooSlow from None
