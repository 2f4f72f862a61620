"""The doorbell seam: how workers hear that jobs are ready.

A bell carries nothing. A lost ring costs latency, since every worker also looks by the clock; a ring too many costs one
empty claim. So whatever a transport loses, delays or doubles never matters, and none of them can hold up a submit.
"""

from collections.abc import Callable
from typing import Protocol


class Doorbell(Protocol):
    """Wakes workers, on whatever transport."""

    @property
    def trouble(self) -> str | None:
        """What keeps rings from being heard, and what it means, for a person; null while they are heard."""

    def ring(self) -> None:
        """Says that jobs may be ready, to every process, this one included. Never blocks, never fails."""

    def on_ring(self, callback: Callable[[], None]) -> None:
        """Calls ``callback`` on the event loop at every ring, and after every (re)connection, when some may be lost.

        Rings that follow each other closely may be heard as one. Before the process's listening connection starts.
        """

    async def start(self) -> None:
        """Begins to hear, without waiting for a broker that does not answer: it is tried again until ``stop``."""

    async def stop(self) -> None:
        """Sends a ring that is waiting, if it can be sent within a second, and stops hearing."""
