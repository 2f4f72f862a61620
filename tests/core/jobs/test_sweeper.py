"""What becomes of jobs whose worker is gone, and when it is safe to say so."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest
from prometheus_client import REGISTRY

from tests.core.jobs.queue import KIND, Queue
from tests.core.runtime.helpers import until
from yeoul.core.db.database import Database
from yeoul.core.db.listen import ListenHub, Ringer
from yeoul.core.events import queries as event_queries
from yeoul.core.jobs import queries
from yeoul.core.jobs.doorbells.postgres import PostgresDoorbell
from yeoul.core.jobs.hosts import born, this_host
from yeoul.core.jobs.sweeper import Sweeper
from yeoul.core.runtime.services import DatabaseUrls

Make = Callable[..., Sweeper]


@pytest.fixture
async def sweeper(database: Database) -> AsyncGenerator[Make]:
    """Makes a sweeper that listens; started or not by the test, stopped here."""
    listen, ringer = ListenHub(database), Ringer(database)
    made: list[Sweeper] = []

    def make(lease: float = 10) -> Sweeper:
        made.append(Sweeper(database, listen, ringer, PostgresDoorbell(listen, ringer), lease=lease))
        return made[-1]

    await listen.start()
    yield make
    for sweeper in made:
        await sweeper.stop()
    await ringer.stop()
    await listen.stop()


def lost(queue: Queue, owner: UUID, *, cancel: bool = False, max_attempts: int = 3) -> UUID:
    """A job whose worker's lease has run out."""
    job_id = queue.submit(owner, max_attempts=max_attempts)
    assert job_id is not None
    worker = queue.worker()
    assert [job.id for job in queue.claim(worker)] == [job_id]
    if cancel:
        queue.cancel(owner, job_id)
    queue.expire(worker)
    return job_id


def counted(status: str | None = None) -> float:
    """Attempts whose lease was lost, or that ended so, as metrics have it."""
    if status is None:
        return REGISTRY.get_sample_value("yeoul_worker_leases_lost_total") or 0
    return REGISTRY.get_sample_value("yeoul_worker_attempts_total", {"kind": KIND, "status": status}) or 0


def test_what_becomes_of_a_lost_job(queue: Queue) -> None:
    owner = queue.user()
    again = lost(queue, owner)
    used_up = lost(queue, owner, max_attempts=1)
    unwanted = lost(queue, owner, cancel=True)
    unwanted_and_used_up = lost(queue, owner, cancel=True, max_attempts=1)
    queue.backlog(owner, 1)
    (alive,) = queue.claim(queue.worker())
    place = queue.job(again)["fair_at"]
    assert queue.sweep() == {
        again: "queued",
        used_up: "failed",
        unwanted: "canceled",
        unwanted_and_used_up: "canceled",
    }
    assert queue.job(alive.id)["status"] == "running"
    assert queue.job(again)["fair_at"] == place
    assert queue.job(used_up)["error"]["code"] == "test"
    assert queue.job(unwanted)["error"] is None
    assert [kind for _, kind, _ in queue.events(again)] == ["started", "retrying"]
    assert [kind for _, kind, _ in queue.events(used_up)] == ["started", "failed"]
    assert [kind for _, kind, _ in queue.events(unwanted)] == ["started", "canceled"]
    assert queue.sweep() == {}


def test_a_worker_that_is_not_even_registered_is_gone(queue: Queue) -> None:
    owner, worker = queue.user(), queue.worker()
    (job_id,) = queue.backlog(owner, 1)
    queue.claim(worker)
    assert queue.sweep() == {}
    queue.service.execute(queries.LEAVE, [worker])
    assert queue.sweep() == {job_id: "queued"}


def test_forgetting_a_worker_keeps_those_with_jobs(queue: Queue) -> None:
    owner = queue.user()
    lost(queue, owner)
    queue.service.execute("UPDATE workers SET expires_at = now() - interval '1 hour'")
    queue.worker(-3600)
    fresh = queue.worker(-60)
    queue.service.execute(queries.FORGET_WORKERS)
    left = {row["id"] for row in queue.service.execute("SELECT id FROM workers").fetchall()}
    assert len(left) == 2
    assert fresh in left


async def test_leases_count_only_after_a_whole_one_of_listening(queue: Queue, sweeper: Make) -> None:
    """After an outage everybody's lease has run out; whoever lives gets the time to say so."""
    assert not await sweeper(lease=0.5)._leases_count()
    job_id = lost(queue, queue.user())
    began = asyncio.get_running_loop().time()
    await sweeper(lease=0.5).start()

    async def freed() -> bool:
        return bool(queue.job(job_id)["status"] == "queued")

    await until(freed)
    assert asyncio.get_running_loop().time() - began > 0.4


async def test_leases_do_not_count_while_nothing_is_heard(sweeper: Make) -> None:
    it = sweeper(lease=0.001)
    await asyncio.sleep(0.01)
    assert await it._leases_count()
    it._listen.connected_since = None
    assert not await it._leases_count()


async def test_leases_do_not_count_when_the_server_has_just_started(queue: Queue, sweeper: Make) -> None:
    row = queue.service.execute(queries.SERVER_UP_FOR).fetchone()
    assert row is not None
    up = row["extract"]
    for lease, count in ((up - 1, True), (up + 60, False)):
        it = sweeper(lease=lease)
        it._listen.connected_since = asyncio.get_running_loop().time() - 2 * lease
        assert await it._leases_count() is count


async def test_the_dead_of_this_host_are_buried_at_once(queue: Queue, sweeper: Make) -> None:
    """Nobody waits for their lease. Nobody else's is touched: it may have run out while the database was away."""
    owner, jobs = queue.user(), {}
    pid, own = os.getpid(), born(os.getpid()) or ""
    for name, host, number, since in (
        ("alive", this_host(), pid, own),
        ("dead", this_host(), 2**22 + 1, own),
        ("another with its number", this_host(), pid, str(int(own) - 1)),
        ("elsewhere", "elsewhere", 2**22 + 1, own),
    ):
        (jobs[name],) = queue.backlog(owner, 1)
        queue.claim(queue.worker(60, host=host, pid=number, born=since))
    last = queue.submit(owner, max_attempts=1)
    assert last is not None
    jobs["dead in its last attempt"] = last
    queue.claim(queue.worker(60, host=this_host(), pid=2**22 + 2, born=own))
    jobs["expired elsewhere"] = lost(queue, owner)
    before = [counted(), counted("queued"), counted("failed")]
    await sweeper(lease=60).start()
    assert [counted() - before[0], counted("queued") - before[1], counted("failed") - before[2]] == [3, 2, 1]
    assert {name: queue.job(job_id)["status"] for name, job_id in jobs.items()} == {
        "alive": "running",
        "dead": "queued",
        "another with its number": "queued",
        "dead in its last attempt": "failed",
        "elsewhere": "running",
        "expired elsewhere": "running",
    }


async def test_any_number_of_lost_jobs_is_taken_at_once(queue: Queue, sweeper: Make) -> None:
    worker = queue.worker(60, host=this_host(), pid=2**22 + 1)
    queue.backlog(queue.user(), 501)
    while queue.claim(worker, 50):
        pass
    await sweeper(lease=60).start()
    assert queue.service.execute("SELECT count(*) FROM jobs WHERE status = 'running'").fetchone() == {"count": 0}


async def test_due_jobs_are_readied_on_time(queue: Queue, sweeper: Make) -> None:
    owner, it = queue.user(), sweeper()
    await it.start()
    job_id = queue.submit(owner, run_at="9998-01-01T00:00:00Z")
    assert job_id is not None
    queue.service.execute("UPDATE jobs SET run_at = now() WHERE id = %s", [job_id])
    it.due_in(0)

    async def ready() -> bool:
        return bool(queue.job(job_id)["fair_at"] is not None)

    await until(ready)


async def test_a_sweeper_survives_a_database_that_goes(queue: Queue, sweeper: Make) -> None:
    it = sweeper()
    await it.start()
    await it._line.fetch("SELECT 1")
    backend = it._line._connection.info.backend_pid if it._line._connection else 0
    queue.service.execute("SELECT pg_terminate_backend(%s, 5000)", [backend])
    job_id = queue.submit(queue.user(), run_at="9998-01-01T00:00:00Z")
    queue.service.execute("UPDATE jobs SET run_at = now() WHERE id = %s", [job_id])
    it.due_in(0)

    async def ready() -> bool:
        return job_id is not None and queue.job(job_id)["fair_at"] is not None

    await until(ready)


async def test_the_log_has_its_partitions_without_any_job(queue: Queue, sweeper: Make, urls: DatabaseUrls) -> None:
    """The net below the maintenance jobs: a queue that stands still must not cost the log its partitions."""
    today = f"events_{datetime.now(UTC):%Y%m%d}"
    with psycopg.connect(urls.admin or "", autocommit=True) as connection:
        connection.execute(f"DROP TABLE yeoul.{today}".encode())
    await sweeper().start()

    def there() -> bool:
        return queue.service.execute("SELECT to_regclass(%s) AS t", [f"yeoul.{today}"]).fetchone() != {"t": None}

    await until(there)


def test_shared_streams_are_pruned_and_keep_their_numbers(queue: Queue) -> None:
    owner = queue.user()
    queue.backlog(owner, 25)
    queue.service.execute(event_queries.PRUNE_SHARED, {"keep": 10})
    assert [seq for seq, _, _ in queue.user_events(owner)] == list(range(16, 26))
    queue.service.execute(event_queries.PRUNE_SHARED, {"keep": 10})
    queue.backlog(owner, 1)
    assert [seq for seq, _, _ in queue.user_events(owner)] == list(range(16, 27))
    row = queue.service.execute("SELECT first_seq, last_seq FROM streams").fetchone()
    assert row == {"first_seq": 16, "last_seq": 26}
