"""What doorbells on a message broker share: one connection kept for as long as the process runs, and the ringing."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import ClassVar, NoReturn, Protocol

import structlog

from yeoul.core.base.tasks import cancel

log = structlog.get_logger(__name__)

ANSWER_SECONDS = 5.0
"""How long a broker may take to answer before the connection counts as lost."""
QUIET_SECONDS = 10
"""How long a broker may say nothing before it is asked whether it still lives."""
STOP_SECONDS = 1.0
"""How long a stopping process tries to send its last ring."""
FIRST_DELAY, LONGEST_DELAY = 0.1, 2.0
"""Seconds between tries to connect: doubled from the first to the longest."""


class Link(Protocol):
    """One connection to a broker, subscribed."""

    async def publish(self) -> None:
        """Sends a ring; returns once the broker has it."""

    async def until_closed(self) -> None:
        """Hears rings until the connection is lost, then returns or raises."""


class BrokerDoorbell(ABC):
    """Rings through a broker; survives its death, says so once, and comes back by itself.

    ``name`` tells the channel that all processes of this installation share, and no others. It is asked while
    connecting, since it may need the database.
    """

    broker: ClassVar[str]

    def __init__(self, url: str, name: Callable[[], Awaitable[str]]) -> None:
        self._url = url
        self._name = name
        self._callbacks: list[Callable[[], None]] = []
        self._rung = asyncio.Event()
        self._sent = asyncio.Event()
        self._sent.set()
        self._connected = False
        self._lost_at: float | None = None
        self._task: asyncio.Task[NoReturn] | None = None

    @abstractmethod
    def _link(self, name: str, heard: Callable[[], None]) -> AbstractAsyncContextManager[Link]:
        """Connects and subscribes; leaving closes within a bounded time, whatever the broker does."""

    @property
    def trouble(self) -> str | None:
        """What keeps rings from being heard, and what it means."""
        if self._connected:
            return None
        return f"No connection to {self.broker}: jobs start up to a second later. The log says why."

    def ring(self) -> None:
        """Says that jobs may be ready. While the broker is away, the ring waits for it."""
        self._sent.clear()
        self._rung.set()

    def on_ring(self, callback: Callable[[], None]) -> None:
        """Calls ``callback`` at every ring and after every (re)connection."""
        self._callbacks.append(callback)

    async def start(self) -> None:
        """Begins to connect."""
        self._task = asyncio.create_task(self._run(), name="doorbell")

    async def stop(self) -> None:
        """Sends a ring that is waiting, then disconnects."""
        if self._task is None:
            return
        if self._lost_at is None:  # connected, or about to be for the first time
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._sent.wait()
        await cancel(self._task)
        self._connected = False

    async def _run(self) -> NoReturn:
        delay = FIRST_DELAY
        loop = asyncio.get_running_loop()
        while True:
            connected_at = None
            try:
                async with contextlib.AsyncExitStack() as stack:
                    async with asyncio.timeout(ANSWER_SECONDS):
                        link = await stack.enter_async_context(self._link(await self._name(), self._heard))
                    connected_at = loop.time()
                    self._up(connected_at)
                    await self._use(link)
            except Exception as error:  # noqa: BLE001  (whatever a broker or its client does, jobs go on without it)
                self._down(error, loop.time())
            # A broker that takes connections and ends them at once is not asked more often for that.
            if connected_at is not None and loop.time() - connected_at > LONGEST_DELAY:
                delay = FIRST_DELAY
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY)

    async def _use(self, link: Link) -> NoReturn:
        """Sends and hears until one of both fails; raises why."""
        tasks = asyncio.create_task(self._send(link)), asyncio.create_task(link.until_closed())
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            raise ConnectionError("the broker closed the connection")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, link: Link) -> NoReturn:
        """Sends a ring when asked to. What is rung while one is on its way becomes one more, however many they are."""
        while True:
            await self._rung.wait()
            self._rung.clear()
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await link.publish()
            except BaseException:
                self._rung.set()  # on the next connection
                raise
            if not self._rung.is_set():
                self._sent.set()

    def _heard(self) -> None:
        for callback in self._callbacks:
            try:
                callback()
            except Exception:
                log.exception("a listener to the doorbell failed")

    def _up(self, now: float) -> None:
        self._connected = True
        if self._lost_at is not None:
            log.info("the doorbell rings again", broker=self.broker, after_seconds=round(now - self._lost_at, 1))
            self._lost_at = None
        self._heard()  # anything may have been rung meanwhile

    def _down(self, error: Exception, now: float) -> None:
        self._connected = False
        if self._lost_at is None:  # once an outage, not once a try
            self._lost_at = now
            log.warning(
                "no doorbell: workers look by the clock until the broker is back",
                broker=self.broker,
                error=str(error).strip() or type(error).__name__,
            )
