"""What WebSockets that follow many streams share: sends that take turns, and an end for clients that do not read."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from typing import NoReturn

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

SEND_SECONDS = 20.0
"""How long a client may leave unread what it is sent."""
CLOSE_SECONDS = 20.0
"""How long a client that has stopped reading may take to read why it is closed."""
TRY_AGAIN_LATER = 1013


class _TooSlow(Exception):
    """The client has stopped reading."""


class Connection(ABC):
    """An accepted WebSocket and the streams it follows, each in a task of ``group`` under a key of its own.

    A client that does not read for ``SEND_SECONDS`` is closed with 1013 and ``too_slow``, which tells it to come back.
    """

    too_slow = "You read too slowly. Connect again and resume from your cursors."

    def __init__(self, websocket: WebSocket, group: asyncio.TaskGroup) -> None:
        self.websocket = websocket
        self._group = group
        self._following: dict[Hashable, asyncio.Task[None]] = {}
        self._sending = asyncio.Lock()
        self._patience = asyncio.timeout(None)

    @abstractmethod
    async def take(self, text: str | None) -> None:
        """Does what a message asks; None stands for one of bytes."""

    async def serve(self) -> None:
        """Takes messages until either side closes."""
        try:
            async with self._patience:
                await self._listen()
        except WebSocketDisconnect:
            pass
        except (TimeoutError, _TooSlow):
            self.close()
            with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self.websocket.close(TRY_AGAIN_LATER, self.too_slow)
        finally:
            self.close()

    async def _listen(self) -> NoReturn:
        while True:
            frame = await self.websocket.receive()
            if frame["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(frame["code"])
            await self.take(frame.get("text"))

    @property
    def streams(self) -> int:
        """How many are followed."""
        return len(self._following)

    def follows(self, key: Hashable) -> bool:
        """Whether a stream is followed."""
        return key in self._following

    def follow(self, key: Hashable, stream: Callable[[], Awaitable[None]]) -> None:
        """Sends a stream beside the others, until it ends."""
        self._following[key] = self._group.create_task(self._quietly(key, stream))

    def unfollow(self, key: Hashable) -> None:
        """Stops one, if it is followed."""
        if (task := self._following.pop(key, None)) is not None:
            task.cancel()

    def close(self) -> None:
        """Stops all of them."""
        for task in self._following.values():
            task.cancel()

    async def send(self, text: str) -> None:
        """Sends. To be awaited in ``take`` and in what is followed: what it raises ends those well."""
        try:
            async with asyncio.timeout(SEND_SECONDS), self._sending:
                await self.websocket.send_text(text)
        except TimeoutError:
            raise _TooSlow from None

    async def _quietly(self, key: Hashable, stream: Callable[[], Awaitable[None]]) -> None:
        try:
            await stream()
        except WebSocketDisconnect:
            pass
        except _TooSlow:
            with suppress(RuntimeError):  # another stream was quicker to say so
                self._patience.reschedule(0)
        except RuntimeError:
            if self.websocket.application_state is not WebSocketState.DISCONNECTED:
                raise  # else another stream was quicker to hear that the client has left
        finally:
            if self._following.get(key) is asyncio.current_task():
                del self._following[key]
