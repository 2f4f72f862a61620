"""``follow``: replay, then live, as one thing.

A subscription is a cursor. The hub reads what comes after the cursors of woken streams, all in one query, and hands it
out; a new subscription is simply a cursor far behind. So there is no seam between replay and live, and no connection is
held by an open stream: a process has one query under way however many subscriptions there are.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Sequence
from types import TracebackType
from typing import NoReturn, Self
from uuid import UUID

import psycopg
import structlog
from prometheus_client import Gauge, Histogram

from yeoul.core.base.tasks import cancel
from yeoul.core.db.database import Database
from yeoul.core.db.listen import STREAMS_GREW, ListenHub
from yeoul.core.events import queries
from yeoul.core.events.schemas import TERMINAL, TRANSITIONS, Event, begins, reset

log = structlog.get_logger(__name__)

BUFFER = 512
"""Events a subscription holds before the hub stops reading for it: a slow client costs no more than this and a page."""
BUFFER_CHARS = 1_000_000
"""The same in characters of data."""
PAGE = 256
"""Events read for one cursor at a time."""
PAGE_CHARS = 1_000_000
"""The same in characters of data, before the event that passes it."""
READ_CHARS = 16_000_000
"""Characters one query brings at most, whatever the number of cursors; each still gets one event."""
CURSORS = 1000
"""Cursors served by one query."""
LOOK_SECONDS = 1.0
"""How often every subscription is looked at without a ring: the price of a lost one."""

LAG_EVERY_SECONDS = 0.5
"""How often a reading is timed: each event's age has its price, and some say enough."""

LAG = Histogram(
    "yeoul_event_lag_seconds",
    "From the write of an event to its delivery to those who follow it live; readings are sampled.",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
SUBSCRIPTIONS = Gauge("yeoul_event_subscriptions", "Streams being followed through this process.")


class Subscription:
    """A cursor on a stream, and what has been read for it. Read its ``batches`` inside ``async with``.

    They are lists of events, in order and without gaps, as many as are there; they end after a job's terminal event.
    """

    def __init__(
        self, hub: "EventHub", stream_id: UUID, after: int, *, ends: bool, arrived: asyncio.Event | None = None
    ) -> None:
        self._hub = hub
        self._arrived = arrived or asyncio.Event()
        self._buffer: deque[Event] = deque()
        self._ends = ends
        self.stream_id = stream_id
        self.last_seq = after
        """The last seq put into the buffer."""
        self.ended = False
        """Nothing more comes: the job has ended, or the server stops."""
        self.over = False
        """The job has ended, and its terminal event has been put into the buffer."""
        self.waiting = False
        """The job waits to be claimed, as far as the log has been read."""
        self._told = ""
        self._chars = 0
        self.since = 0.0
        """When the hub began to read for it, by the event loop's clock."""

    @property
    def wants_more(self) -> bool:
        """Whether the hub should read for it."""
        return not self.ended and len(self._buffer) < BUFFER and self._chars < BUFFER_CHARS

    def put(self, rows: Sequence[tuple[int, str, str]]) -> None:
        """Takes what was read after ``last_seq``, up to the first gap: what is missing has not been committed yet.

        A shared stream is committed in the order of its numbers: what is missing there has been pruned.
        """
        for seq, kind, data in rows:
            if seq != self.last_seq + 1 and not (self.last_seq == 0 and begins(seq)):
                if self._ends:
                    break
                self._buffer.append(reset(self.stream_id))
            self.last_seq = seq
            self._buffer.append(Event(self.stream_id, seq, kind, data))
            self._chars += len(data)
            if self._ends and kind in TRANSITIONS:
                self.waiting = kind == "retrying"
            if self._ends and kind in TERMINAL:
                self.ended = self.over = True
                break
        if self._buffer:
            self._arrived.set()

    def tell(self, kind: str, data: str) -> None:
        """Adds what is not part of the log, if it is news, and unless there is more to read first."""
        if data != self._told and not self._buffer and not self.ended:
            self._told = data
            self._buffer.append(Event(self.stream_id, None, kind, data))
            self._arrived.set()

    def end(self) -> None:
        """Has ``batches`` stop after what is in the buffer."""
        self.ended = True
        self._arrived.set()

    async def __aenter__(self) -> Self:
        self._hub.add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hub.remove(self)

    async def batches(self, silence: float | None = None) -> AsyncGenerator[list[Event]]:
        """What arrives, and an empty list after every ``silence`` seconds without anything (null: never)."""
        while True:
            try:
                async with asyncio.timeout(silence):
                    await self._arrived.wait()
            except TimeoutError:
                yield []
                continue
            self._arrived.clear()
            if events := self.take():
                yield events
            if self.ended and self.empty:  # more may have come while the reader was busy
                return

    @property
    def empty(self) -> bool:
        """Whether nothing has been read that is not taken yet."""
        return not self._buffer

    def take(self) -> list[Event]:
        """What has been read by now; the hub reads on."""
        was_full = not self.wants_more
        events = list(self._buffer)
        self._buffer.clear()
        self._chars = 0
        if was_full and not self.ended:
            self._hub.wake(self)
        return events


class EventHub:
    """Reads the log for every subscription of this process."""

    def __init__(self, database: Database, listen: ListenHub) -> None:
        self._line = database.line("events")
        self._subscriptions: dict[UUID, set[Subscription]] = defaultdict(set)
        self._woken: dict[Subscription, None] = {}
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[NoReturn]] = []
        self._closing = False
        self._timed_at = 0.0
        listen.on(STREAMS_GREW, self._rung)

    def subscribe(
        self, stream_id: UUID, after: int = 0, *, ends: bool = True, arrived: asyncio.Event | None = None
    ) -> Subscription:
        """A subscription to a stream from after a cursor. ``ends``: it is a job's, and closes with the job.

        ``arrived`` is set whenever there is something to take, for who reads several (see ``merged``).

        The caller has checked that whoever asked may read the stream, and that the cursor is not beyond its end.
        """
        return Subscription(self, stream_id, after, ends=ends, arrived=arrived)

    async def start(self) -> None:
        """Starts reading."""
        self._tasks = [
            asyncio.create_task(self._read_forever(), name="event hub"),
            asyncio.create_task(self._look_forever(), name="event hub clock"),
        ]

    async def stop(self) -> None:
        """Stops reading; subscriptions get nothing more."""
        for task in self._tasks:
            await cancel(task)
        await self._line.close()

    def end_all(self) -> None:
        """Ends every subscription, so that a stopping server need not wait for clients; they come back with cursors.

        Those that come back too soon are sent away again: one stream would hold up the whole server.
        """
        self._closing = True
        for subscriptions in list(self._subscriptions.values()):
            for subscription in subscriptions:
                subscription.end()

    def add(self, subscription: Subscription) -> None:
        """Begins to read for a subscription."""
        self._subscriptions[subscription.stream_id].add(subscription)
        SUBSCRIPTIONS.inc()
        subscription.since = asyncio.get_running_loop().time()
        if self._closing:
            subscription.end()
        else:
            self.wake(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Stops reading for a subscription."""
        others = self._subscriptions[subscription.stream_id]
        others.discard(subscription)
        if not others:
            del self._subscriptions[subscription.stream_id]
        self._woken.pop(subscription, None)
        SUBSCRIPTIONS.dec()

    def waiting(self) -> list[Subscription]:
        """The subscriptions to jobs that wait to be claimed."""
        return [one for several in self._subscriptions.values() for one in several if one.waiting and not one.ended]

    def wake(self, subscription: Subscription) -> None:
        """Has a subscription looked at."""
        self._woken[subscription] = None
        self._wake.set()

    def _rung(self, ids: list[UUID]) -> None:
        for stream_id in ids or list(self._subscriptions):
            for subscription in self._subscriptions.get(stream_id, ()):
                self.wake(subscription)

    async def _look_forever(self) -> NoReturn:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._rung([])

    async def _read_forever(self) -> NoReturn:
        while True:
            await self._wake.wait()
            try:
                await self._read_woken()
            except (psycopg.Error, OSError) as error:
                # The clock wakes everybody again; until then there is nothing to be read.
                log.warning("could not read the event log, trying again", error=str(error).strip())
                await asyncio.sleep(LOOK_SECONDS / 2)
            except Exception:
                log.exception("could not read the event log, trying again")
                await asyncio.sleep(LOOK_SECONDS / 2)

    async def _read_woken(self) -> None:
        cursors: dict[tuple[UUID, int], list[Subscription]] = defaultdict(list)
        while self._woken and len(cursors) < CURSORS:
            subscription, _ = self._woken.popitem()
            if subscription.wants_more:
                cursors[subscription.stream_id, subscription.last_seq].append(subscription)
        if not self._woken:
            self._wake.clear()
        if not cursors:
            return
        keys = list(cursors)
        chars = min(PAGE_CHARS, READ_CHARS // len(keys))
        now = asyncio.get_running_loop().time()
        timed = now - self._timed_at > LAG_EVERY_SECONDS
        rows = await self._line.fetch(
            queries.READ_TIMED if timed else queries.READ,
            {
                "ids": [stream_id for stream_id, _ in keys],
                "afters": [after for _, after in keys],
                "limit": PAGE,
                "chars": chars,
            },
        )
        pages: dict[int, list[tuple[int, str, str]]] = defaultdict(list)
        for n, seq, kind, data, *_ in rows:
            pages[n].append((seq, kind, data))
        if timed and rows:
            self._timed_at = now
            followed_since = {n: min(each.since for each in cursors[key]) for n, key in enumerate(keys, 1)}
            _observe_lag([(age, now - followed_since[n]) for n, *_, age in rows])
        for n, page in pages.items():
            for subscription in cursors[keys[n - 1]]:
                subscription.put(page)
                if len(page) == PAGE or sum(len(data) for _, _, data in page) >= chars:
                    self.wake(subscription)


def _observe_lag(ages: list[tuple[float, float]]) -> None:
    """Counts the ages of events, in seconds, that are younger than their follower: replay is no lag."""
    for age, followed in ages:
        if age < followed:
            LAG.observe(max(age, 0))
