"""What keeps the queue true when machines die: due jobs, lost leases, and partitions for the log.

Every worker process runs one; whichever comes first does the work, the others find nothing.
"""

import asyncio
import contextlib
from typing import LiteralString, NoReturn
from uuid import UUID

import psycopg
import structlog
from prometheus_client import Counter

from yeoul.core.base import json
from yeoul.core.base.faultpoints import reach
from yeoul.core.base.tasks import cancel
from yeoul.core.db.database import Database, patiently
from yeoul.core.db.listen import STREAMS_GREW, ListenHub, Ringer
from yeoul.core.events import queries as event_queries
from yeoul.core.jobs import queries
from yeoul.core.jobs.attempt import ENDED
from yeoul.core.jobs.doorbells.base import Doorbell
from yeoul.core.jobs.hosts import lives, this_host

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
TIDY_SECONDS = 600.0

WORKER_LOST = json.dumps(
    {
        "code": "worker_lost",
        "message": "The worker that ran this job stopped answering. Retry it if it has failed for good.",
    }
)


LOST = Counter("yeoul_worker_leases_lost", "Attempts this process took from workers that stopped answering.")


class Sweeper:
    """Looks every second, and at every moment a waiting job falls due."""

    def __init__(
        self,
        database: Database,
        listen: ListenHub,
        ringer: Ringer,
        doorbell: Doorbell,
        *,
        lease: float,
    ) -> None:
        self._line = database.line("sweep")
        self._listen = listen
        self._ringer = ringer
        self._doorbell = doorbell
        self._lease = lease
        self._due = asyncio.Event()
        self._task: asyncio.Task[NoReturn] | None = None

    async def start(self) -> None:
        """Frees the jobs of workers of this host that are certainly dead, then starts looking."""
        await patiently(self._bury_the_dead)
        self._task = asyncio.create_task(self._run(), name="sweeper")

    async def stop(self) -> None:
        """Stops looking."""
        await cancel(self._task)
        await self._line.close()

    def due_in(self, seconds: float) -> None:
        """Has it look when a job that goes back to the queue falls due, rather than at the next tick."""
        asyncio.get_running_loop().call_later(seconds, self._due.set)

    async def _run(self) -> NoReturn:
        loop = asyncio.get_running_loop()
        tidied = -TIDY_SECONDS
        while True:
            pause = TICK_SECONDS
            try:
                pause = await self._ready_due()
                if await self._leases_count():
                    await self._sweep_lost()
                if loop.time() - tidied > TIDY_SECONDS:
                    await self._tidy()
                    tidied = loop.time()
            except (psycopg.Error, OSError) as error:
                log.warning("could not sweep, trying again", error=str(error).strip())
            except Exception:
                log.exception("could not sweep, trying again")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._due.wait()
            self._due.clear()

    async def _ready_due(self) -> float:
        """Queues what is due; returns the seconds until it should look again."""
        if await self._scalar(queries.READY_DUE):
            self._doorbell.ring()
        due = await self._scalar(queries.NEXT_DUE)
        return TICK_SECONDS if due is None else min(max(float(due), 0.01), TICK_SECONDS)

    async def _leases_count(self) -> bool:
        """Whether an expired lease means a dead worker: not when the database, or this process, was away."""
        since = self._listen.connected_since
        if since is None or asyncio.get_running_loop().time() - since < self._lease:
            return False
        return float(await self._scalar(queries.SERVER_UP_FOR) or 0) > self._lease

    async def _sweep_lost(self, workers: list[UUID] | None = None) -> None:
        while rows := await self._line.fetch(queries.SWEEP_LOST, {"error": WORKER_LOST, "workers": workers}):
            log.warning("took jobs from workers that stopped answering", jobs=[str(row[0]) for row in rows])
            reach("lost.taken")
            for *streams, kind, status in rows:
                LOST.inc()
                ENDED.labels(kind, status).inc()
                self._ringer.ring(STREAMS_GREW, streams)
            self._doorbell.ring()

    async def _bury_the_dead(self) -> None:
        """After kill -9 and a restart on the same machine nobody need wait for the lease: the process is gone."""
        workers = await self._line.fetch(queries.WORKERS_OF_HOST, [this_host()])
        dead = [worker_id for worker_id, pid, born in workers if not lives(pid, born)]
        if dead:
            await self._line.fetch(queries.EXPIRE_WORKERS, [dead])
            await self._sweep_lost(dead)  # theirs alone: others' leases may have run out while the database was away

    async def _tidy(self) -> None:
        """The net below the maintenance jobs: the log needs its partitions even while the queue stands still."""
        await self._line.fetch(event_queries.ENSURE_PARTITIONS)

    async def _scalar(self, query: LiteralString) -> float | None:
        rows = await self._line.fetch(query)
        return rows[0][0] if rows else None
