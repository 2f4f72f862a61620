"""The default doorbell: NOTIFY, over the connections the process has anyway."""

from collections.abc import Callable

from yeoul.core.db.listen import JOBS_READY, ListenHub, Ringer


class PostgresDoorbell:
    """Rings by the process's ringer and hears by its listening connection; both are started and stopped elsewhere."""

    def __init__(self, listen: ListenHub, ringer: Ringer) -> None:
        self._listen = listen
        self._ringer = ringer

    @property
    def trouble(self) -> str | None:
        """What keeps rings from being heard."""
        if self._listen.connected_since is not None:
            return None
        return "No listening connection to PostgreSQL: jobs start up to a second later. The log says why."

    def ring(self) -> None:
        """Says that jobs may be ready."""
        self._ringer.ring(JOBS_READY)

    def on_ring(self, callback: Callable[[], None]) -> None:
        """Calls ``callback`` at every ring."""
        self._listen.on(JOBS_READY, lambda _: callback())

    async def start(self) -> None:
        """Nothing to do: the listening connection is the process's own."""

    async def stop(self) -> None:
        """Nothing to do."""
