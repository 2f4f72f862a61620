"""One LISTEN connection per process, and the ringer that sends NOTIFY after commit.

A ring says "look now" and nothing else. A lost ring costs latency, never data: whoever waits also looks by the clock.
"""

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import NoReturn
from uuid import UUID

import psycopg
import structlog

from yeoul.core.base.tasks import cancel
from yeoul.core.db.database import Database, connect

log = structlog.get_logger(__name__)

JOBS_READY = "yeoul_jobs"
"""Jobs are ready to be claimed. No payload."""
JOBS_CANCELED = "yeoul_cancel"
"""Running jobs that were asked to stop: their ids."""
STREAMS_GREW = "yeoul_streams"
"""Streams with new events: their ids."""
SCHEDULES_CHANGED = "yeoul_schedules"
"""The next tick may be another one. No payload."""

PAYLOAD_BYTES = 7_900
"""NOTIFY's limit is 8,000."""

Listener = Callable[[list[UUID]], None]


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class ListenHub:
    """Dispatches notifications to listeners by channel, reconnecting for as long as it runs.

    After every (re)connection each listener is called with an empty list, which means "anything may have happened".
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: dict[str, list[Listener]] = {}
        self._task: asyncio.Task[NoReturn] | None = None
        self._connected = asyncio.Event()
        self.connected_since: float | None = None
        """Loop time of the present connection's start; null while there is none."""

    def on(self, channel: str, listener: Listener) -> None:
        """Calls ``listener`` with the payload's ids for every ring on the channel. Register before ``start``."""
        self._listeners.setdefault(channel, []).append(listener)

    async def start(self) -> None:
        """Starts listening; returns once connected."""
        self._task = asyncio.create_task(self._run(), name="listen hub")
        await self._connected.wait()

    async def stop(self) -> None:
        """Stops listening."""
        await cancel(self._task)

    async def _run(self) -> NoReturn:
        delay, away = 0.1, False
        while True:
            try:
                async with await connect(self._database.service_url, "listen") as connection:
                    for channel in self._listeners:
                        await connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel)))
                    self.connected_since = asyncio.get_running_loop().time()
                    self._connected.set()
                    if away:
                        log.info("listening again")
                    delay, away = 0.1, False
                    for channel in self._listeners:
                        self._dispatch(channel, "")
                    async for notification in connection.notifies():
                        self._dispatch(notification.channel, notification.payload)
                        await asyncio.sleep(0)  # who was woken goes first
            except (psycopg.Error, OSError) as error:
                # Once for each time it goes: the tries that follow have nothing new to say.
                tell = log.debug if away else log.warning
                tell("lost the listening connection, connecting again", error=str(error).strip(), delay=delay)
                away = True
            self.connected_since = None
            await asyncio.sleep(delay)
            delay = min(delay * 2, 2)

    def _dispatch(self, channel: str, payload: str) -> None:
        # Any login may ring, so a payload is what anybody likes: it must not end the listening.
        ids = [UUID(i) for i in payload.split(",") if _UUID.fullmatch(i)]
        if payload and not ids:
            return
        for listener in self._listeners.get(channel, ()):
            try:
                listener(ids)
            except Exception:
                log.exception("a listener failed", channel=channel)


class Ringer:
    """Sends rings from one connection at a time, many in one statement.

    A NOTIFY inside a writing transaction holds a global lock through its WAL flush; sent apart and coalesced it costs
    next to nothing. ``ring`` never blocks and never fails: what cannot be sent is dropped, and the clock makes
    up for it.
    """

    def __init__(self, database: Database) -> None:
        self._line = database.line("ring")
        self._waiting: dict[str, dict[str, None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def ring(self, channel: str, ids: Iterable[object] = ()) -> None:
        """Rings after the caller's commit."""
        waiting = self._waiting.setdefault(channel, {})
        waiting.update((str(i), None) for i in ids)
        if self._task is None and not self._closed:
            self._task = asyncio.create_task(self._send(), name="ringer")

    async def stop(self) -> None:
        """Sends what is waiting, then nothing more."""
        self._closed = True
        if self._task is not None:
            await self._task
        await self._line.close()

    async def _send(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, {}
                rings = [(channel, payload) for channel, ids in waiting.items() for payload in _payloads(ids)]
                if len(rings) == 1:  # mostly: in two thirds of the time, and a job waits for it
                    await self._line.fetch("SELECT pg_notify(%s, %s)", rings[0])
                    continue
                await self._line.fetch(
                    "SELECT pg_notify(c, p) FROM unnest(%s::text[], %s::text[]) r(c, p)",
                    [[channel for channel, _ in rings], [payload for _, payload in rings]],
                )
        except Exception as error:  # noqa: BLE001  (a ring is a courtesy: whatever went wrong, the clock makes up for it)
            log.warning("could not ring", error=str(error).strip())
        finally:
            self._task = None


def _payloads(ids: Iterable[str]) -> Iterable[str]:
    """Comma-separated ids in pieces that NOTIFY can carry; one empty payload when there are none."""
    piece: list[str] = []
    size = 0
    for i in ids:
        if size + len(i) + 1 > PAYLOAD_BYTES:
            yield ",".join(piece)
            piece, size = [], 0
        piece.append(i)
        size += len(i) + 1
    yield ",".join(piece)
