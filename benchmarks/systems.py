"""The same no-op job on four systems: ours, a raw SKIP LOCKED loop with nothing else, procrastinate, celery on Redis.

Ours runs with each doorbell.

Each has ``prepare``, ``submit`` (returns when the job is durable, as the system understands it) and a worker process.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import celery
import procrastinate
import psycopg
import uvloop
from pydantic import BaseModel

from benchmarks.common import add_user, settings, stamp
from yeoul.core.db.database import Database, driver_url
from yeoul.core.http.logs import configure
from yeoul.core.jobs.kinds import Kinds
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler
from yeoul.core.runtime.services import DatabaseUrls, Services, open_services
from yeoul.core.runtime.submit import submit
from yeoul.core.runtime.worker import Worker

CONCURRENCY = 50


class System(Protocol):
    """One of them."""

    name: str

    def opened(self) -> Any:  # noqa: ANN401
        """An async context in which ``submit`` works; the schema is made anew."""

    async def submit(self, address: str, number: int) -> float:
        """Submits one job; returns the time it was durable."""

    def worker(self) -> tuple[Any, ...]:
        """Target and arguments of a worker process."""


class Stamped(BaseModel):
    """Where and what to stamp."""

    address: str
    number: int


@handler("bench.stamp")
async def stamped(_ctx: Context, given: Stamped) -> None:
    """Does nothing but say that it began."""
    stamp(given.address, given.number)


def _kinds() -> Kinds:
    kinds = Kinds()
    kinds.add(stamped)
    return kinds


def yeoul_worker(path: str, urls: DatabaseUrls, doorbell: str) -> None:
    """Our worker process."""

    async def main() -> None:
        given = settings(Path(path), doorbell=doorbell)
        configure(given)
        async with open_services(given, urls, _kinds()) as services:
            worker = Worker(services, concurrency=CONCURRENCY)
            await services.listen.start()
            await worker.start()
            await asyncio.Event().wait()

    uvloop.run(main())


class Yeoul:
    """Ours, whole: queue place, user's stream, lease, fence, events."""

    def __init__(self, path: Path, urls: DatabaseUrls, name: str = "yeoul", doorbell: str = "postgres") -> None:
        self.name = name
        self._path, self._urls, self._doorbell = path, urls, doorbell
        self._services: Services | None = None
        self._owner: UUID | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """A process that submits."""
        chosen = settings(self._path, doorbell=self._doorbell)
        async with open_services(chosen, self._urls, _kinds()) as services:
            self._services, self._owner = services, await add_user(services.database)
            yield

    async def submit(self, address: str, number: int) -> float:
        """One transaction, as the API does it."""
        assert self._services is not None
        assert self._owner is not None
        async with self._services.database.as_user(self._owner) as session:
            await submit(session, self._services, stamped, Stamped(address=address, number=number))
        return time.time()

    def worker(self) -> tuple[Any, ...]:
        """Our worker."""
        return yeoul_worker, str(self._path), self._urls, self._doorbell


RAW = """
DROP TABLE IF EXISTS raw_jobs;
CREATE TABLE raw_jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, status text NOT NULL DEFAULT 'queued',
                       address text NOT NULL, number int NOT NULL);
CREATE INDEX ON raw_jobs (id) WHERE status = 'queued';
"""
INSERT = "INSERT INTO raw_jobs (address, number) VALUES (%s, %s)"


def raw_worker(url: str) -> None:
    """LISTEN, claim with SKIP LOCKED, mark done: nothing else."""

    async def main() -> None:
        looks = asyncio.Event()

        async def listen() -> None:
            async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
                await connection.execute("LISTEN raw")
                async for _ in connection.notifies():
                    looks.set()

        listening = asyncio.create_task(listen())
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            while not listening.done():  # one job a claim: the textbook loop
                found = await connection.execute(
                    """UPDATE raw_jobs SET status = 'running' WHERE id IN (
                       SELECT id FROM raw_jobs WHERE status = 'queued'
                       ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id, address, number"""
                )
                rows = await found.fetchall()
                for _, address, number in rows:
                    stamp(address, number)
                if rows:
                    await connection.execute(
                        "UPDATE raw_jobs SET status = 'done' WHERE id = ANY (%s)", [[r[0] for r in rows]]
                    )
                    continue
                try:
                    async with asyncio.timeout(1):
                        await looks.wait()
                except TimeoutError:
                    pass
                looks.clear()

    uvloop.run(main())


class Raw:
    """The least a queue in PostgreSQL can do: one table, one connection for each step, NOTIFY after the commit."""

    name = "raw loop"

    def __init__(self, urls: DatabaseUrls) -> None:
        assert urls.admin is not None
        self._url = driver_url(urls.admin)
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._bell: psycopg.AsyncConnection[Any] | None = None
        self._ringing: set[asyncio.Task[object]] = set()

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """Its table, and its connections."""
        async with (
            await psycopg.AsyncConnection.connect(self._url, autocommit=True) as self._connection,
            await psycopg.AsyncConnection.connect(self._url, autocommit=True) as self._bell,
        ):
            await self._connection.execute(RAW)
            yield
            await asyncio.gather(*self._ringing)

    async def submit(self, address: str, number: int) -> float:
        """Insert; the ring goes out after the commit, without making the submitter wait."""
        assert self._connection is not None
        assert self._bell is not None
        await self._connection.execute(INSERT, [address, number])
        ringing = asyncio.create_task(self._bell.execute("NOTIFY raw"))
        self._ringing.add(ringing)
        ringing.add_done_callback(self._ringing.discard)
        return time.time()

    def worker(self) -> tuple[Any, ...]:
        """The loop."""
        return raw_worker, self._url


class RawInside(Raw):
    """The same with NOTIFY in the inserting transaction: sooner by a round trip, and all commits wait in one line."""

    name = "raw loop, NOTIFY inside the transaction"

    async def submit(self, address: str, number: int) -> float:
        """Insert and NOTIFY in one statement."""
        assert self._connection is not None
        await self._connection.execute(f"WITH i AS ({INSERT}) SELECT pg_notify('raw', '')", [address, number])
        return time.time()


def _procrastinate(url: str) -> procrastinate.App:
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))

    @app.task(name="stamped")
    async def stamped_task(address: str, number: int) -> None:
        stamp(address, number)

    return app


def procrastinate_worker(url: str) -> None:
    """Its worker, as its manual runs it."""

    async def main() -> None:
        app = _procrastinate(url)
        async with app.open_async():
            await app.run_worker_async(
                concurrency=CONCURRENCY, install_signal_handlers=False, fetch_job_polling_interval=1
            )

    asyncio.run(main())


class Procrastinate:
    """A ready-made PostgreSQL queue."""

    name = "procrastinate"

    def __init__(self, urls: DatabaseUrls) -> None:
        assert urls.admin is not None
        self._url = driver_url(urls.admin)
        self._app = _procrastinate(self._url)

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """Its schema, in `public`."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        self._app = _procrastinate(self._url)
        async with self._app.open_async():
            await self._app.schema_manager.apply_schema_async()
            yield

    async def submit(self, address: str, number: int) -> float:
        """Defer."""
        await self._app.configure_task("stamped").defer_async(address=address, number=number)
        return time.time()

    def worker(self) -> tuple[Any, ...]:
        """Its worker."""
        return procrastinate_worker, self._url


def _celery(url: str) -> celery.Celery:
    app = celery.Celery("bench", broker=url)
    app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)
    app.task(stamp, name="stamped")
    return app


def celery_worker(url: str) -> None:
    """Its worker, on threads: no-ops need no processes."""
    _celery(url).Worker(
        pool="threads", concurrency=CONCURRENCY, loglevel="ERROR", without_gossip=True, without_mingle=True
    ).start()


class Celery:
    """The usual answer, on Redis: not durable in PostgreSQL, and a killed worker's jobs come back after minutes."""

    name = "celery + redis"

    def __init__(self, url: str) -> None:
        self._url = url
        self._app = _celery(url)

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """An empty queue."""
        self._app.control.purge()
        yield

    async def submit(self, address: str, number: int) -> float:
        """Send; it blocks, as it does in a web server's thread."""
        await asyncio.to_thread(self._app.send_task, "stamped", (address, number))
        return time.time()

    def worker(self) -> tuple[Any, ...]:
        """Its worker."""
        return celery_worker, self._url


def systems(path: Path, urls: DatabaseUrls, redis_url: str | None, rabbit_url: str | None) -> list[System]:
    """All that can run here."""
    found: list[System] = [Yeoul(path, urls)]
    if redis_url is not None:
        found.append(Yeoul(path, urls, "yeoul, rung by redis", redis_url))
    if rabbit_url is not None:
        found.append(Yeoul(path, urls, "yeoul, rung by rabbitmq", rabbit_url))
    found += [Raw(urls), RawInside(urls), Procrastinate(urls)]
    return found if redis_url is None else [*found, Celery(redis_url)]


__all__ = ["Database", "System", "systems"]
