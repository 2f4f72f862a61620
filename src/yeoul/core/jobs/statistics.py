"""How the queue and its workers do: figures for metrics and for the Operations page.

Two reads, each bounded, each kept for a few seconds and shared by all who ask: many eyes cost as much as one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import structlog
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry
from sqlalchemy import text
from sqlalchemy.engine import Row
from sqlalchemy.exc import SQLAlchemyError

from yeoul.core.auth.repository import SYSTEM_ID
from yeoul.core.db.database import Database
from yeoul.core.jobs import statistics_queries as queries

log = structlog.get_logger(__name__)

KEEP_SECONDS = 5.0
"""How long figures are good for."""
BUCKETS = 12
"""Slices of the last hour."""
BUCKET_SECONDS = 300
SAMPLE = 1000
"""Ended jobs looked at in each slice, the newest: with more, figures are those of this sample."""

Figures = TypeVar("Figures")


@dataclass(frozen=True, slots=True)
class Waiting:
    """Jobs of one kind and priority that wait: ``ready`` ones for a worker, ``later`` ones for their time.

    ``oldest`` is how long the first of the ready has been ready, in seconds.
    """

    kind: str
    priority: int
    ready: int
    later: int
    oldest: float


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker process. ``silent``: seconds since its last heartbeat; without ``alive`` its lease has run out."""

    id: UUID
    host: str
    pid: int
    concurrency: int
    running: int
    kinds: Sequence[str]
    started_at: datetime
    silent: float
    alive: bool


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue now."""

    waiting: Sequence[Waiting]
    running: dict[str, int]
    workers: Sequence[WorkerState]


@dataclass(frozen=True, slots=True)
class Ended:
    """Attempts that ended: counts, and seconds from due to start and from start to end. Null: nothing ended.

    ``capped``: more ended than were looked at.
    """

    jobs: int
    failed: int
    canceled: int
    start_p50: float | None
    start_p95: float | None
    run_p50: float | None
    run_p95: float | None
    capped: bool


@dataclass(frozen=True, slots=True)
class LastHour:
    """What ended in the last hour: all of it, by slices of five minutes (the oldest first), and by kind."""

    whole: Ended
    slices: Sequence[Ended]
    kinds: dict[str, Ended]


class Kept(Generic[Figures]):
    """Figures that are read again once they are old; those who ask meanwhile share one reading."""

    def __init__(self, read: Callable[[], Awaitable[Figures]], seconds: float = KEEP_SECONDS) -> None:
        self._read = read
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._found: tuple[float, Figures] | None = None

    async def get(self) -> Figures:
        """The figures, a few seconds old at most."""
        clock = asyncio.get_running_loop().time
        async with self._lock:
            if self._found is None or clock() - self._found[0] > self._seconds:
                self._found = clock(), await self._read()
            return self._found[1]


class Statistics:
    """The figures of one installation."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.queue = Kept(self._queue)
        self.last_hour = Kept(self._last_hour)
        self._metrics = QueueMetrics()

    def register(self, registry: CollectorRegistry = REGISTRY) -> None:
        """Shows the queue among the process's metrics, as ``refresh`` last read it."""
        registry.register(self._metrics)

    def unregister(self, registry: CollectorRegistry = REGISTRY) -> None:
        """Takes it from there."""
        registry.unregister(self._metrics)

    async def refresh(self) -> None:
        """Reads the queue for the metrics. While the database does not answer they have no queue."""
        try:
            async with asyncio.timeout(queries.SECONDS):
                self._metrics.queue = await self.queue.get()
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            self._metrics.queue = None
            log.warning("could not read the queue for the metrics", error=type(error).__name__)

    async def _rows(self, query: str, **values: object) -> Sequence[Row[Any]]:
        async with self._database.as_service("statistics: everybody's jobs, counted") as session:
            await session.execute(text(queries.LIMITED))
            return (await session.execute(text(query), {**values, "system": SYSTEM_ID})).all()

    async def _queue(self) -> Queue:
        waiting, running, workers = [], {}, []
        for row in await self._rows(queries.QUEUE):
            found: dict[str, Any] = row.found
            if row.what == "waiting":
                waiting.append(Waiting(**found))
            elif row.what == "running":
                running[found["kind"]] = found["running"]
            else:
                started = datetime.fromisoformat(found.pop("started_at"))
                workers.append(WorkerState(**found | {"id": UUID(found["id"]), "started_at": started}))
        return Queue(waiting, running, workers)

    async def _last_hour(self) -> LastHour:
        none = Ended(0, 0, 0, None, None, None, None, capped=False)
        whole, slices, kinds = none, [none] * BUCKETS, {}
        for row in await self._rows(queries.LAST_HOUR, buckets=BUCKETS, seconds=BUCKET_SECONDS, sample=SAMPLE):
            (start_p50, start_p95), (run_p50, run_p95) = row.start or (None, None), row.run or (None, None)
            ended = Ended(
                jobs=row.jobs,
                failed=row.failed,
                canceled=row.canceled,
                start_p50=start_p50,
                start_p95=start_p95,
                run_p50=run_p50,
                run_p95=run_p95,
                capped=(row.most or 0) >= SAMPLE,
            )
            if row.bucket is not None:
                slices[BUCKETS - 1 - row.bucket] = ended
            elif row.kind is not None:
                kinds[row.kind] = ended
            else:
                whole = ended
        return LastHour(whole, slices, kinds)


class QueueMetrics(Collector):
    """The queue as Prometheus sees it. Series of what is empty by now vanish, as Prometheus wants it."""

    queue: Queue | None = None

    def collect(self) -> list[GaugeMetricFamily]:
        """The families; none while nothing is known."""
        if self.queue is None:
            return []
        by_place = ("kind", "priority")
        ready = GaugeMetricFamily("yeoul_queue_ready_jobs", "Jobs that wait for a worker.", labels=by_place)
        later = GaugeMetricFamily("yeoul_queue_later_jobs", "Jobs that wait for their time.", labels=by_place)
        age = GaugeMetricFamily(
            "yeoul_queue_oldest_ready_seconds", "How long the first of the ready jobs has waited.", labels=by_place
        )
        running = GaugeMetricFamily("yeoul_jobs_running", "Jobs that run, on all workers.", labels=("kind",))
        for row in self.queue.waiting:
            place = (row.kind, str(row.priority))
            ready.add_metric(place, row.ready)
            later.add_metric(place, row.later)
            age.add_metric(place, row.oldest)
        for kind, count in self.queue.running.items():
            running.add_metric((kind,), count)
        alive = [worker for worker in self.queue.workers if worker.alive]
        workers = GaugeMetricFamily("yeoul_workers_alive", "Worker processes whose lease runs.", value=len(alive))
        slots = GaugeMetricFamily(
            "yeoul_workers_slots", "Jobs they can run at a time.", value=sum(worker.concurrency for worker in alive)
        )
        return [ready, later, age, running, workers, slots]
