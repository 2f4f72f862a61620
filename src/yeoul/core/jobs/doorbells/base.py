"""The doorbell seam: how workers hear that jobs are ready.

A bell carries nothing. A lost ring costs latency, since every worker also looks by the clock; a ring too many costs one
empty claim.
"""

from collections.abc import Callable
from typing import Protocol


class Doorbell(Protocol):
    """Wakes workers, on whatever transport."""

    def ring(self) -> None:
        """Says that jobs may be ready. Never blocks, never fails."""

    def on_ring(self, callback: Callable[[], None]) -> None:
        """Calls ``callback`` on the event loop at every ring, and after every reconnection. Before ``start``."""

    async def start(self) -> None:
        """Begins to hear."""

    async def stop(self) -> None:
        """Stops hearing."""
