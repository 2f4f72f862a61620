"""Open providers: one connection with the installation's key each, and some with users' own keys."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256

import structlog

from yeoul.core.llm.providers.base import Connection, Provider
from yeoul.core.llm.providers.registry import connect
from yeoul.settings import Settings

MOST_OWN = 64
"""Connections with users' own keys that stay open while nobody uses them."""

log = structlog.get_logger(__name__)


@dataclass
class _Own:
    """A connection with a user's own key, and how many calls use it."""

    connection: Connection
    users: int = 0


class Connections:
    """Opens providers on first use, and keeps them. ``most_own``: how many with users' own keys stay open unused."""

    def __init__(self, settings: Settings, *, most_own: int | None = None) -> None:
        self._settings = settings
        self._most_own = MOST_OWN if most_own is None else most_own
        self._ours: dict[str, Connection] = {}
        self._own: OrderedDict[tuple[str, bytes], _Own] = OrderedDict()
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def use(self, provider: Provider, key: str | None) -> AsyncGenerator[Connection]:
        """A provider's connection, for as long as it is needed; with a key, one that no other key shares."""
        if key is None:
            yield await self._opened(provider)
            return
        own = await self._opened_own(provider, key)
        own.users += 1
        try:
            yield own.connection
        finally:
            own.users -= 1
            await self._shrink()

    async def aclose(self) -> None:
        """Ends every connection."""
        connections = [*self._ours.values(), *(own.connection for own in self._own.values())]
        self._ours, self._own = {}, OrderedDict()
        await asyncio.gather(*(connection.aclose() for connection in connections))

    async def _opened(self, provider: Provider) -> Connection:
        if (known := self._ours.get(provider.name)) is not None:
            return known
        async with self._opening:
            if provider.name not in self._ours:
                # In a thread: the SDK's import takes seconds, which the event loop does not have.
                self._ours[provider.name] = await asyncio.to_thread(connect, provider, self._settings)
            return self._ours[provider.name]

    async def _opened_own(self, provider: Provider, key: str) -> _Own:
        name = provider.name, sha256(key.encode()).digest()
        if name not in self._own:
            async with self._opening:
                if name not in self._own:
                    settings = provider.with_key(self._settings, key)
                    connection = await asyncio.to_thread(connect, provider, settings)
                    connection.leave_account()
                    self._own[name] = _Own(connection)
        self._own.move_to_end(name)
        return self._own[name]

    async def _shrink(self) -> None:
        """Closes those unused for longest, until no more than so many are open; what is in use stays."""
        for name in [name for name, own in self._own.items() if not own.users][: len(self._own) - self._most_own]:
            closing = self._own.pop(name)
            try:
                await closing.connection.aclose()
            except Exception as error:  # noqa: BLE001  (the call that was made with another one went well)
                log.warning("could not close a connection", provider=name[0], error=type(error).__name__)
