"""Maintenance as it runs: ordinary jobs of the installation's own, seen by nobody who did not ask."""

from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.conftest import Register, process
from tests.core.jobs.queue import KIND, Queue
from tests.core.maintenance.test_retention import DAY, job, left, partition
from tests.core.runtime.helpers import echo, read, until
from tests.core.schedules.helpers import sql
from yeoul.core.auth import administration
from yeoul.core.auth import repository as accounts
from yeoul.core.auth.errors import UserNotFound
from yeoul.core.auth.repository import SYSTEM_ID
from yeoul.core.auth.tables import User
from yeoul.core.base.ids import new_id
from yeoul.core.db.database import Database
from yeoul.core.maintenance import handlers
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.core.runtime.submit import submit
from yeoul.settings import Settings


@pytest.fixture
def queue(urls: DatabaseUrls) -> Generator[Queue]:
    queue = Queue(urls)
    yield queue
    queue.close()


async def run(settings: Settings, urls: DatabaseUrls, number: int) -> dict[str, Any]:
    """Runs one kind of maintenance as the installation; its output."""
    kind = handlers.KINDS[number]
    pool = settings.model_copy(update={"worker_kinds": [kind.name]})  # what tests have queued stays queued
    async with process(pool, urls, *handlers.KINDS, echo, workers=1) as (services, _):
        async with services.database.as_service("test") as session:
            await accounts.ensure_system_user(session)
        async with services.database.as_user(SYSTEM_ID) as session:
            job_id = (await submit(session, services, kind, kind.parse({}))).id

        async def ended() -> bool:
            return (await read(services, SYSTEM_ID, job_id)).finished_at is not None

        await until(ended)
        done = await read(services, SYSTEM_ID, job_id)
        assert (done.status, done.error) == ("succeeded", None)
        return done.output or {}


async def test_queue(settings: Settings, urls: DatabaseUrls, queue: Queue) -> None:
    owner, worker = queue.user(), queue.worker()
    queue.backlog(owner, 3)
    for claimed in queue.claim(worker, 3):
        queue.finish(claimed)
    gone = queue.worker(-3600)
    queue.service.execute("UPDATE queue_flow SET finish = 0")
    await run(settings, urls, 0)
    cost = queue.service.execute("SELECT average_seconds FROM kind_costs WHERE kind = %s", [KIND]).fetchone()
    assert cost is not None
    assert 0 < cost["average_seconds"] < 10
    assert queue.service.execute("SELECT 1 FROM workers WHERE id = %s", [gone]).fetchone() is None
    assert (
        queue.service.execute("SELECT 1 FROM queue_flow WHERE owner_id = %s AND priority = 5", [owner]).fetchall() == []
    )


async def test_partitions(settings: Settings, urls: DatabaseUrls, queue: Queue) -> None:
    owner = queue.user()
    queue.backlog(owner, 2 * handlers.KEEP_SHARED_EVENTS + 10)
    day = datetime.now(UTC) + 2 * DAY
    assert (await run(settings, urls, 1)).keys() == {"made"}
    assert queue.service.execute("SELECT to_regclass(%s) AS t", [f"yeoul.events_{day:%Y%m%d}"]).fetchone() != {
        "t": None
    }
    assert len(queue.user_events(owner)) == handlers.KEEP_SHARED_EVENTS


async def test_forget(settings: Settings, urls: DatabaseUrls, queue: Queue) -> None:
    owner = queue.user()
    (job_id,) = queue.backlog(owner, 1)
    keep = "INSERT INTO idempotency_keys VALUES (%s, 'POST', '/', %s, '', %s, now() + make_interval(secs => %s))"
    session = (
        "INSERT INTO sessions (id, user_id, refresh_hash, expires_at, revoked_at, user_agent)"
        " VALUES (%s, %s, '', now() + make_interval(days => %s), now() - make_interval(days => %s), %s)"
    )
    for key, seconds in (("old", -1), ("young", 60)):
        queue.service.execute(keep, [owner, key, job_id, seconds])
    for name, expires, revoked in (("expired", -2, None), ("revoked", 5, 2), ("open", 5, None), ("just ended", 5, 0)):
        queue.service.execute(session, [new_id(), owner, expires, revoked, name])
    for days in (0, 2):
        attempt = "INSERT INTO login_attempts (subject, at) VALUES ('ip:1', now() - make_interval(days => %s))"
        queue.service.execute(attempt, [days])
    assert await run(settings, urls, 2) == {"idempotency_keys": 1, "sessions": 2, "sign_in_attempts": 1}
    names = queue.service.execute("SELECT user_agent FROM sessions ORDER BY 1").fetchall()
    assert [row["user_agent"] for row in names] == ["just ended", "open"]


async def test_everything_is_kept_unless_a_setting_says_otherwise(
    settings: Settings, urls: DatabaseUrls, queue: Queue
) -> None:
    partition(urls, datetime.now(UTC) - 1000 * DAY)
    kept = job(queue, queue.user(), age=1000)
    assert await run(settings, urls, 3) == {"jobs": 0, "maintenance_jobs": 0, "days": []}
    assert kept in left(queue)
    assert len(queue.events(kept)) == 2


async def test_retention(settings: Settings, urls: DatabaseUrls, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "BATCH", 2)
    few = settings.model_copy(update={"keep_jobs_days": 30, "keep_events_days": 7})
    owner, now = queue.user(), datetime.now(UTC)
    days = {age: partition(urls, now - age * DAY) for age in (40, 10)}
    for _ in range(5):
        job(queue, owner, age=40)
    silent, young = job(queue, owner, age=10), job(queue, owner, age=1)
    waits = job(queue, owner, age=99, status="queued")
    done = await run(few, urls, 3)
    assert done == {"jobs": 5, "maintenance_jobs": 0, "days": [days[40], days[10]]}
    assert {silent, young, waits} <= left(queue)
    assert queue.events(silent) == []
    assert len(queue.events(young)) == len(queue.events(waits)) == 2


async def test_maintenance_jobs_are_kept_a_day(settings: Settings, urls: DatabaseUrls, queue: Queue) -> None:
    async with process(settings, urls) as (services, _), services.database.as_service("test") as session:
        await accounts.ensure_system_user(session)
    old, young = job(queue, SYSTEM_ID, age=3), job(queue, SYSTEM_ID, age=0.5)
    theirs = job(queue, queue.user(), age=3)
    assert (await run(settings, urls, 3))["maintenance_jobs"] == 1
    assert left(queue) >= {young, theirs}
    assert queue.events(old) == []


async def test_an_installation_looks_after_itself(
    client: httpx.AsyncClient, register: Register, database: Database
) -> None:
    """From the first start on, each kind once, and nobody's list shows it; who registers first is the administrator."""

    async def done() -> bool:
        rows = await sql(
            database, "SELECT kind FROM jobs WHERE status = 'succeeded' AND owner_id = %s ORDER BY kind", [SYSTEM_ID]
        )
        return [kind for (kind,) in rows] == sorted(kind.name for kind in handlers.KINDS)

    await until(done)
    first = await register("first")
    assert (await client.get("/api/me", headers=first.headers)).json()["role"] == "admin"
    assert (await client.get("/api/jobs", headers=first.headers)).json()["items"] == []
    assert (await client.get("/api/schedules", headers=first.headers)).json()["items"] == []
    shown = (await client.get("/api/jobs/kinds", headers=first.headers)).json()
    assert [kind["kind"] for kind in shown if kind["kind"].startswith("maintenance")] == []
    refused = await client.post("/api/jobs", json={"kind": "maintenance.retention", "input": {}}, headers=first.headers)
    assert refused.status_code == 422


async def test_nobody_signs_in_as_the_installation(
    client: httpx.AsyncClient, database: Database, register: Register
) -> None:
    async with database.as_service("test") as session:
        assert await accounts.ensure_system_user(session) == SYSTEM_ID
        assert await accounts.ensure_system_user(session) == SYSTEM_ID
        assert SYSTEM_ID not in [user.id for user in await administration.users(session)]
        system = await session.get(User, SYSTEM_ID)
        assert system is not None
        assert (system.role, administration.state(system)) == ("user", "disabled")
    with pytest.raises(UserNotFound):
        async with database.as_service("test") as session:
            await administration.set_disabled(session, accounts.SYSTEM_EMAIL, disabled=False)
    body = {"email": accounts.SYSTEM_EMAIL, "password": "correct horse battery"}
    assert (await client.post("/api/auth/login", json=body)).status_code in {401, 422}
    assert (await client.post("/api/auth/register", json=body)).status_code == 422


async def test_a_pool_of_other_kinds_does_the_housekeeping_too(settings: Settings, urls: DatabaseUrls) -> None:
    """Else an installation whose pools all name their kinds would never be looked after."""
    pool = settings.model_copy(update={"worker_kinds": [echo.name]})
    async with process(pool, urls, echo, *handlers.KINDS, workers=1) as (_, (worker,)):
        assert worker._kinds == sorted([echo.name, *(kind.name for kind in handlers.KINDS)])
