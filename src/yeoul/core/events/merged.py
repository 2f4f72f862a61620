"""Several streams read as one: what each has, as it comes, every stream in its own order."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self
from uuid import UUID

from yeoul.core.events.hub import EventHub, Subscription
from yeoul.core.events.schemas import Event


class Merged:
    """Subscriptions to several jobs' streams, each from its cursor. Read its ``batches`` inside ``async with``."""

    def __init__(self, hub: EventHub, cursors: Iterable[tuple[UUID, int]]) -> None:
        self._arrived = asyncio.Event()
        self._stack = AsyncExitStack()
        self.subscriptions: Sequence[Subscription] = [
            hub.subscribe(stream_id, after, arrived=self._arrived) for stream_id, after in cursors
        ]

    @property
    def over(self) -> bool:
        """Every job has ended, and its terminal event has been handed out or is next."""
        return all(one.over for one in self.subscriptions)

    async def __aenter__(self) -> Self:
        for one in self.subscriptions:
            await self._stack.enter_async_context(one)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def batches(self, silence: float | None = None) -> AsyncGenerator[list[Event]]:
        """What arrives, and an empty list after every ``silence`` seconds without anything; ends when all have."""
        while not all(one.ended and one.empty for one in self.subscriptions):
            try:
                async with asyncio.timeout(silence):
                    await self._arrived.wait()
            except TimeoutError:
                yield []
                continue
            self._arrived.clear()
            events = [event for one in self.subscriptions for event in one.take()]
            if events:
                yield events
