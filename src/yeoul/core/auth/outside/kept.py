"""Something fetched from a provider and kept: fetched once for all who wait, used on while the provider is down."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog

from yeoul.core.auth.errors import ProviderUnavailable

FRESH = 600.0
"""Seconds within which a value is used as it is; so a key that an issuer withdraws is good for this long at most."""

STALE = 86_400.0
"""Seconds within which it is used if the provider cannot be asked."""

COOLDOWN = 10.0
"""Seconds between two fetches, whatever happens: tokens with made-up key ids cause no more."""

Value = TypeVar("Value")

log = structlog.get_logger(__name__)


class Kept(Generic[Value]):
    """One value of a provider's, by the function that fetches it. Times are those of ``clock``, in seconds."""

    def __init__(self, fetch: Callable[[], Awaitable[Value]], clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._value: Value | None = None
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def get(self, *, but: Value | None = None) -> Value:
        """The value, a newer one than ``but`` if there is one to be had; raises ``ProviderUnavailable``."""
        if not self._will_do(but):
            if self._fetching is None and self._clock() - self._tried_at >= COOLDOWN:
                self._tried_at = self._clock()
                self._fetching = asyncio.create_task(self._renew())
            if self._fetching is not None:
                # Shielded: whoever asked first may hang up, the others still wait for it.
                await asyncio.shield(self._fetching)
        if self._value is None or self._clock() - self._fetched_at > STALE:
            raise ProviderUnavailable(COOLDOWN)
        return self._value

    def _will_do(self, but: Value | None) -> bool:
        is_fresh = self._value is not None and self._clock() - self._fetched_at <= FRESH
        return is_fresh and self._value is not but

    async def _renew(self) -> None:
        try:
            self._value = await self._fetch()
            self._fetched_at = self._clock()
        except ProviderUnavailable:
            if self._value is not None:
                log.warning("a provider is down, going on with what it said before")
        finally:
            self._fetching = None
