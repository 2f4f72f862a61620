import asyncio
import json
from typing import Any
from uuid import UUID

import psycopg
import pytest
from prometheus_client.registry import CollectorRegistry
from sqlalchemy import text

from tests.conftest import process
from tests.core.runtime.helpers import Given, Made, add, echo, events
from yeoul.core.auth.repository import SYSTEM_ID
from yeoul.core.db.database import Database
from yeoul.core.jobs import statistics_queries as queries
from yeoul.core.jobs.statistics import BUCKET_SECONDS, BUCKETS, SAMPLE, Kept, Statistics
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.settings import Settings


@handler("test.fails", max_attempts=1)
async def fails(ctx: Context, given: Given) -> Made:
    raise RuntimeError("on purpose")


def fill(urls: DatabaseUrls, owner: UUID, *, ended: int, queued: int) -> None:
    """Many jobs, without what writing them one by one takes; the ended ones over 60 days, 3 in 10,000 failed."""
    with psycopg.connect(urls.admin or "", autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET search_path = yeoul")
        connection.execute(
            """INSERT INTO jobs (id, owner_id, kind, status, priority, input, max_attempts, root_id, error,
                                 created_at, run_at, started_at, finished_at)
               SELECT uuidv7(), %s, 'test.echo', CASE WHEN n %% 3333 = 0 THEN 'failed' ELSE 'succeeded' END, 5,
                      '{"word": "hello"}', 3, gen_random_uuid(),
                      CASE WHEN n %% 3333 = 0 THEN '{"code": "internal", "message": "x"}'::jsonb END,
                      at, at, at + interval '20 ms', at + interval '1 second'
               FROM (SELECT n, now() - make_interval(secs => 86400.0 * 60 * n / %s) AS at
                     FROM generate_series(1, %s) n) x""",
            [owner, max(ended, 1), ended],
        )
        connection.execute(
            """INSERT INTO jobs (id, owner_id, kind, priority, input, max_attempts, root_id, fair_at, run_at)
               SELECT uuidv7(), %s, 'kind.' || n %% 4, n %% 3, '{"word": "hello"}', 3, gen_random_uuid(),
                      CASE WHEN n %% 10 > 0 THEN n END, now() - make_interval(secs => n / 1000.0)
               FROM generate_series(1, %s) n""",
            [owner, queued],
        )
        connection.execute("VACUUM ANALYZE jobs")


async def explain(database: Database, query: str, **values: object) -> dict[str, Any]:
    async with database.as_service("test: a plan") as session:
        await session.execute(text(queries.LIMITED))
        values["system"] = SYSTEM_ID
        found = (await session.execute(text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}"), values)).scalar_one()
    plan: dict[str, Any] = (json.loads(found) if isinstance(found, str) else found)[0]
    return plan


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


async def test_the_queue_by_kind_and_priority(settings: Settings, urls: DatabaseUrls, user_id: UUID) -> None:
    async with process(settings, urls, echo, fails) as (services, _):
        for priority in (3, 3, 7):
            await add(services, user_id, echo, priority=priority)
        await add(services, user_id, fails)
        registry = CollectorRegistry()
        services.statistics.register(registry)
        await services.before_metrics()
        seen = registry.get_sample_value
        place = {"kind": "test.echo", "priority": "3"}
        assert seen("yeoul_queue_ready_jobs", place) == 2
        assert seen("yeoul_queue_ready_jobs", {"kind": "test.echo", "priority": "7"}) == 1
        assert 0 < (seen("yeoul_queue_oldest_ready_seconds", place) or 0) < 60
        assert seen("yeoul_workers_alive") == 0
    async with process(settings, urls, echo, fails, workers=1, concurrency=7) as (services, _):
        fresh = Statistics(services.database)
        queue = await fresh.queue.get()
        assert [(w.concurrency, w.alive, "/" in w.host) for w in queue.workers] == [(7, True, False)]


async def test_the_last_hour(settings: Settings, urls: DatabaseUrls, user_id: UUID) -> None:
    async with process(settings, urls, echo, fails, workers=1) as (services, _):
        for kind in (echo, echo, fails):
            await events(services, user_id, await add(services, user_id, kind))
        hour = await Statistics(services.database).last_hour.get()
    assert (hour.whole.jobs, hour.whole.failed, hour.whole.canceled) == (3, 1, 0)
    assert len(hour.slices) == BUCKETS
    assert sum(slice_.jobs for slice_ in hour.slices[-2:]) == 3  # the newest is last; a minute may turn meanwhile
    assert hour.kinds["test.fails"].failed == 1
    assert hour.whole.start_p50 is not None
    assert hour.whole.run_p95 is not None
    assert 0 <= hour.whole.start_p50 < 30
    assert 0 <= hour.whole.run_p95 < 30


async def test_an_empty_installation(settings: Settings, urls: DatabaseUrls) -> None:
    async with process(settings, urls, echo) as (services, _):
        hour = await services.statistics.last_hour.get()
        assert hour.whole.jobs == 0
        assert hour.whole.start_p95 is None
        assert (await services.statistics.queue.get()).waiting == []


async def test_a_queue_of_100_000_stays_cheap(urls: DatabaseUrls, database: Database, user_id: UUID) -> None:
    fill(urls, user_id, ended=100_000, queued=100_000)
    plan = await explain(database, queries.QUEUE)
    scans = [node for node in nodes(plan["Plan"]) if node.get("Relation Name") == "jobs"]
    assert {node["Node Type"] for node in scans} & {"Seq Scan"} == set(), "what has ended must cost nothing"
    assert plan["Execution Time"] < 1000  # 60 ms here
    queue = await Statistics(database).queue.get()
    assert sum(row.ready for row in queue.waiting) == 90_000
    assert sum(row.later for row in queue.waiting) == 10_000
    assert len(queue.waiting) == 12


async def test_the_last_hour_reads_a_bounded_sample(urls: DatabaseUrls, database: Database, user_id: UUID) -> None:
    fill(urls, user_id, ended=100_000, queued=0)
    values = {"buckets": BUCKETS, "seconds": BUCKET_SECONDS, "sample": SAMPLE}
    plan = await explain(database, queries.LAST_HOUR, **values)
    scans = [node for node in nodes(plan["Plan"]) if node.get("Relation Name") == "jobs"]
    assert {node.get("Index Name") for node in scans} == {"jobs_ended"}
    assert plan["Execution Time"] < 1000
    with psycopg.connect(urls.admin or "", autocommit=True) as connection:  # all of them at once, just now
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "UPDATE yeoul.jobs SET finished_at = now() - interval '1 s'"
            " WHERE id IN (SELECT id FROM yeoul.jobs LIMIT 20000)"
        )
    hour = await Statistics(database).last_hour.get()
    assert hour.slices[-1].jobs == SAMPLE
    assert hour.slices[-1].capped
    assert hour.whole.capped


async def test_those_who_ask_at_once_share_one_reading() -> None:
    readings = 0

    async def read() -> int:
        nonlocal readings
        readings += 1
        await asyncio.sleep(0)
        return readings

    kept = Kept(read, seconds=60)
    assert await asyncio.gather(*(kept.get() for _ in range(20))) == [1] * 20
    soon_old = Kept(read, seconds=-1)
    assert (await soon_old.get(), await soon_old.get()) == (2, 3)


async def test_metrics_without_a_database_have_no_queue(
    settings: Settings, urls: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Database("postgresql://nobody@127.0.0.1:9/none", "postgresql://nobody@127.0.0.1:9/none")
    statistics, registry = Statistics(away), CollectorRegistry()
    statistics.register(registry)
    await statistics.refresh()
    assert registry.get_sample_value("yeoul_workers_alive") is None
    await away.close()
