"""A model's answer, read in a task of its own."""

import asyncio
from contextlib import aclosing

from yeoul.core.base.tasks import cancel
from yeoul.core.llm.gateway import Gateway
from yeoul.core.llm.schemas import Completed, CompletionRequest, TextDelta


class Pump:
    """Reads a model's stream in a task of its own, so that waiting for it can be bounded and given up at any moment."""

    def __init__(self, gateway: Gateway, question: CompletionRequest, key: str | None = None) -> None:
        # Small: a client that reads slowly slows the provider down.
        self._items: asyncio.Queue[TextDelta | Completed | Exception] = asyncio.Queue(maxsize=16)
        self._first: TextDelta | Completed | None = None
        self._task = asyncio.create_task(self._run(gateway, question, key))

    async def _run(self, gateway: Gateway, question: CompletionRequest, key: str | None) -> None:
        try:
            async with aclosing(gateway.stream(question, key=key)) as items:
                async for item in items:
                    await self._items.put(item)
        except Exception as error:  # noqa: BLE001  (raised again where it is read)
            await self._items.put(error)

    async def opened(self, seconds: float) -> bool:
        """Waits for the first item, but no longer than this; raises what went wrong instead of it."""
        self._first = await self.next(seconds)
        return True

    async def next(self, seconds: float) -> TextDelta | Completed | None:
        """The next item; None when there was none for so long. Raises what ended the stream."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        try:
            async with asyncio.timeout(seconds):
                item = await self._items.get()
        except TimeoutError:
            return None
        if isinstance(item, Exception):
            raise item
        return item

    async def stop(self) -> None:
        """Ends the call to the provider."""
        await cancel(self._task)
