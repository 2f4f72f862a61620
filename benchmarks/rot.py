"""What a million finished jobs do to the queue: a small database and a full one, measured in turns.

python -m benchmarks.rot    # ROT_JOBS=1000000 ROT_DAYS=7 ROT_EVENTS=3 BENCH_ROUNDS=3

Both lie in one PostgreSQL, so that other work on the machine slows both. The small one holds some finished jobs, so
that every list has a whole page to show. Half of the finished jobs are the measured owner's. Old rows are made by
set-based SQL, over days with a partition each; then all but the newest two days are pruned as the maintenance job
does it, and everything is measured again.
"""

import asyncio
import os
import sys
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from pydantic import BaseModel

from benchmarks.common import ROUNDS, add_user, folder, median, percentile, postgres, settings, table, verdict
from yeoul.core.base.ids import new_id
from yeoul.core.db.database import Line
from yeoul.core.events import queries as event_queries
from yeoul.core.jobs import queries, service
from yeoul.core.jobs.kinds import Kinds
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler
from yeoul.core.runtime.services import DatabaseUrls, Services, open_services
from yeoul.core.runtime.submit import submit
from yeoul.core.runtime.worker import Worker

JOBS = int(os.environ.get("ROT_JOBS", "1000000"))
DAYS = int(os.environ.get("ROT_DAYS", "7"))
EVENTS = int(os.environ.get("ROT_EVENTS", "3"))
TIMES = 50
FEW = 1_400
KEEP_DAYS = 2
FLAT = 1.3

PARTITION = """
CREATE TABLE IF NOT EXISTS yeoul.{name} PARTITION OF yeoul.events
FOR VALUES FROM ('{first}') TO ('{last}')
"""

DAY = """
WITH made AS (
    INSERT INTO yeoul.jobs (id, owner_id, kind, status, input, output, attempt, max_attempts, root_id, created_at,
                            run_at, started_at, finished_at)
    SELECT i.id, CASE WHEN i.n %% 2 = 0 THEN %(owner)s ELSE (%(others)s::uuid[])[1 + i.n %% 100] END,
           CASE WHEN i.n %% 10 = 0 THEN 'rot.other' ELSE 'rot.noop' END,
           CASE WHEN i.n %% 50 = 0 THEN 'failed' ELSE 'succeeded' END,
           '{{"word": "hello"}}', '{{"word": "hello"}}', 1, 3, i.id, i.at, i.at, i.at, i.at + interval '1 second'
    FROM (SELECT n, at,
                 (substr(yeoul.uuid7_floor(at)::text, 1, 14) || '7' || substr(gen_random_uuid()::text, 16))::uuid AS id
          FROM (SELECT n, (now()::date - %(ago)s) + interval '1 day' * n / %(count)s AS at
                FROM generate_series(0, %(count)s - 1) n) t) i
    RETURNING id
)
INSERT INTO yeoul.events (stream_id, seq, type, data)
SELECT id, s, CASE s WHEN %(events)s THEN 'succeeded' ELSE 'text' END, '{{"delta": "some words of an answer"}}'
FROM made CROSS JOIN generate_series(1, %(events)s) s
"""


class Given(BaseModel):
    """Which job."""

    number: int


started: dict[int, asyncio.Future[float]] = {}


@handler("rot.noop")
async def noop(_: Context, given: Given) -> None:
    """Says that it has begun."""
    if (waiting := started.get(given.number)) is not None and not waiting.done():
        waiting.set_result(time.perf_counter())


@dataclass
class Side:
    """One of the two databases."""

    services: Services
    owner: UUID
    recent: UUID


async def timed(work: Callable[[], Awaitable[Any]]) -> float:
    """Milliseconds."""
    begun = time.perf_counter()
    await work()
    return (time.perf_counter() - begun) * 1000


async def ask(side: Side, number: int) -> UUID:
    """Submits one job."""
    async with side.services.database.as_user(side.owner) as session:
        return (await submit(session, side.services, noop, Given(number=number))).id


async def page(side: Side, **filters: str) -> None:
    """The first page of the owner's list."""
    async with side.services.database.as_user(side.owner) as session:
        await service.listing(session, status=filters.get("status"), kind=filters.get("kind"), cursor=None, limit=20)


async def measure(sides: dict[str, Side], took: dict[str, dict[str, list[float]]]) -> None:
    """Every figure ``TIMES`` times, one side after the other each time: what else the machine does meets both alike."""
    lines = {name: side.services.database.line("rot") for name, side in sides.items()}
    me = new_id()
    beat = {
        "id": me, "host": "rot", "pid": 1, "born": "b", "concurrency": 1000, "kinds": ["rot.noop"], "running": 0,
        "lease": 600,
    }  # fmt: skip
    for line in lines.values():
        await line.fetch(queries.HEARTBEAT, beat)
    for _ in range(TIMES):
        for name, side in sides.items():
            await measure_once(side, lines[name], me, took[name])
    for name, side in sides.items():
        async with side.services.database.service_connection() as connection:  # what was claimed above, ended
            await connection.execute(
                "UPDATE jobs SET status = 'canceled', worker_id = NULL, finished_at = now() WHERE worker_id = %s", [me]
            )
            await connection.execute(queries.LEAVE, [me])
        await lines[name].close()
    workers = [Worker(side.services, concurrency=10) for side in sides.values()]
    for side, worker in zip(sides.values(), workers, strict=True):
        await side.services.listen.stop()
        await side.services.listen.start()  # anew, so that this worker hears the bell
        await worker.start()
    for number in range(TIMES):
        for name, side in sides.items():
            waiting = started[number] = asyncio.get_running_loop().create_future()
            await ask(side, number)
            committed = time.perf_counter()
            took[name]["dispatch"].append((await asyncio.wait_for(waiting, 60) - committed) * 1000)
    for worker in workers:
        await worker.stop()
    started.clear()


async def measure_once(side: Side, line: Line, worker_id: UUID, took: dict[str, list[float]]) -> None:
    """One of each but dispatch."""
    told = {"slots": 1, **queries.claim_arguments(worker_id, ["rot.noop"], owner_share=0.8)}

    async def claim() -> None:
        if len(await line.fetch(queries.CLAIM, told)) != 1:
            raise RuntimeError("the claim found nothing: what was measured is no claim")

    read = {"ids": [side.recent], "afters": [0], "limit": 100, "chars": 100_000}
    took["submit"].append(await timed(lambda: ask(side, -1)))
    took["claim"].append(await timed(claim))
    took["list"].append(await timed(lambda: page(side)))
    took["list failed"].append(await timed(lambda: page(side, status="failed")))
    took["list running"].append(await timed(lambda: page(side, status="running")))
    took["list queued"].append(await timed(lambda: page(side, status="queued")))
    took["list of a kind"].append(await timed(lambda: page(side, kind="rot.other")))
    took["events of a job"].append(await timed(lambda: line.fetch(event_queries.READ, read)))


@asynccontextmanager
async def side_of(path: Path, urls: DatabaseUrls) -> AsyncGenerator[Side]:
    """A process on one database, with a job to read."""
    kinds = Kinds()
    kinds.add(noop)
    given = settings(path, database_url=urls.app, service_database_url=urls.service, max_queued_per_user=10_000_000)
    async with open_services(given, urls, kinds) as services:
        await services.listen.start()
        side = Side(services, await add_user(services.database), new_id())
        side.recent = await ask(side, -1)
        yield side


def fill(admin: str, owner: UUID, others: list[UUID], count: int) -> None:
    """Finished jobs and their events, a partition a day, without the triggers that would tell each owner."""
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("ALTER TABLE yeoul.jobs DISABLE TRIGGER USER")
        for ago in range(DAYS, 0, -1):
            connection.execute("SET ROLE yeoul_owner")
            row = connection.execute(
                "SELECT 'events_' || to_char(now()::date - %(ago)s, 'YYYYMMDD'),"
                " yeoul.uuid7_floor(now()::date - %(ago)s),"
                " yeoul.uuid7_floor(now()::date - %(ago)s + 1)",
                {"ago": ago},
            ).fetchone()
            assert row is not None
            connection.execute(PARTITION.format(name=row[0], first=row[1], last=row[2]).encode())
            connection.execute(
                f"ALTER TABLE yeoul.{row[0]} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY".encode()
            )
            connection.execute("RESET ROLE")
            values = {"owner": owner, "others": others, "ago": ago, "count": count // DAYS, "events": EVENTS}
            connection.execute(DAY.replace("{{", "{").replace("}}", "}").encode(), values)
        connection.execute("ALTER TABLE yeoul.jobs ENABLE TRIGGER USER")
        connection.execute("VACUUM (ANALYZE) yeoul.jobs, yeoul.events")


def prune(service_url: str) -> tuple[float, int, int]:
    """Seconds, days dropped and jobs deleted, as ``maintenance.retention`` does it."""
    begun, days, jobs = time.perf_counter(), 0, 0
    with psycopg.connect(service_url, autocommit=True, options="-c search_path=yeoul") as connection:
        while True:
            row = connection.execute(
                "SELECT drop_event_partition(now() - make_interval(days => %s))", [KEEP_DAYS]
            ).fetchone()
            if row is None or row[0] is None:
                break
            days += 1
        while True:
            row = connection.execute(
                "SELECT prune_jobs(now() - make_interval(days => %s), 500, NULL, %s)", [KEEP_DAYS, new_id()]
            ).fetchone()
            if row is None or not row[0]:
                break
            jobs += row[0]
    return time.perf_counter() - begun, days, jobs


def second_database(urls: DatabaseUrls) -> DatabaseUrls:
    """A copy of the migrated, empty database in the same server."""
    with psycopg.connect((urls.admin or "").replace("/yeoul?", "/postgres?"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE full_one TEMPLATE yeoul")
    named = [url.replace("/yeoul?", "/full_one?") for url in (urls.app, urls.service, urls.admin or "")]
    return DatabaseUrls(*named)


def figures(took: dict[str, dict[str, list[float]]], other: str, one: str) -> bool:
    """Prints the medians of one database beside another's; whether none is more than ``FLAT`` times as long."""
    ratios = {name: median(times) / median(took[other][name]) for name, times in took[one].items()}
    table(
        f"Medians in ms: {FEW} finished jobs, and {JOBS:,} of {DAYS} days ({TIMES * ROUNDS} times each)",
        ["", other, one, "ratio", f"{one}, p95"],
        [
            [name, median(took[other][name]), median(times), ratios[name], percentile(times, 0.95)]
            for name, times in took[one].items()
        ],
    )
    print()
    met = [verdict(f"{name}, {one} / {other}", ratio, FLAT) for name, ratio in ratios.items()]
    return all(met)


async def main() -> bool:
    """Fills, measures in turns, prunes, measures again; prints medians and ratios as they are known."""
    took: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with folder() as path:
        async with postgres(path) as urls:
            full_urls = second_database(urls)
            async with side_of(path, urls) as empty, side_of(path, full_urls) as full:
                begun = time.perf_counter()
                for side, at, count in ((empty, urls, FEW), (full, full_urls, JOBS)):
                    others = [await add_user(side.services.database) for _ in range(100)]
                    await asyncio.to_thread(fill, at.admin or "", side.owner, others, count)
                print(
                    f"{JOBS:,} jobs, {JOBS * EVENTS:,} events in {time.perf_counter() - begun:.0f} s", file=sys.stderr
                )
                for turn in range(ROUNDS):
                    print(f"round {turn + 1} of {ROUNDS}", file=sys.stderr, flush=True)
                    await measure({"small": empty, "full": full}, took)
                flat = figures(took, "small", "full")
                seconds, days, jobs = await asyncio.to_thread(prune, full_urls.service)
                print(f"\nPruned to {KEEP_DAYS} days: {days} days of events and {jobs:,} jobs in {seconds:.0f} s.")
                for _ in range(ROUNDS):
                    await measure({"small beside pruned": empty, "pruned": full}, took)
                return figures(took, "small beside pruned", "pruned") and flat


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
