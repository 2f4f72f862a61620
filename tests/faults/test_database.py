"""A database that dies, stays away and drops connections, under a server that streams."""

import asyncio
import fcntl
import os
import signal
import time
from collections.abc import Callable

import httpx
import pytest

from tests.core.runtime.helpers import until
from tests.faults.system import LEASE_SECONDS, Follower, System
from tests.faults.test_processes import words

pytestmark = pytest.mark.faults


async def test_a_database_that_dies_is_started_again(served: System, client: httpx.AsyncClient) -> None:
    """Within seconds, by the server that uses it. The answer goes on as one attempt, its stream never breaks."""
    await served.register(client)
    watched = Follower(served, client, await served.submit(client, "60 words, 40 ms"))
    await watched.until("text", 5)
    died = served.postgres
    assert died is not None
    os.kill(died, signal.SIGKILL)
    await until(lambda: served.postgres not in (None, died), seconds=10)
    await watched.to_the_end()
    assert watched.breaks == 0
    assert watched.kinds == ["started", "succeeded"]
    job = await served.job(client, watched.job_id)
    assert (job["attempt"], job["output"]["text"], watched.text()) == (1, words(60), words(60))


async def test_a_database_that_stays_away(served: System, client: httpx.AsyncClient) -> None:
    """For longer than leases last: the API says so, nothing is started again, and nothing is run twice."""
    await served.register(client)
    watched = Follower(served, client, await served.submit(client, "80 words, 50 ms"))
    waiting = [Follower(served, client, await served.submit(client, "100 words, 50 ms")) for _ in range(3)]
    await watched.until("text", 3)
    assert served.postgres is not None
    with (served.data_dir / "postgres.start.lock").open("wb") as nobody_starts_it:
        fcntl.flock(nobody_starts_it, fcntl.LOCK_EX)
        os.kill(served.postgres, signal.SIGKILL)

        async def said() -> bool:
            answer = await client.get(served.path("/api/jobs"))
            return answer.status_code == 503 and answer.json()["code"] == "unavailable"

        async def not_ready() -> bool:
            return (await client.get(served.path("/ready"))).status_code == 503

        await until(said)
        await until(not_ready)
        assert (await client.get(served.path("/health"))).status_code == 200
        await until(_later(2 * LEASE_SECONDS + 0.5))

    async def ready() -> bool:
        return (await client.get(served.path("/ready"))).status_code == 200

    await until(ready)
    for follower, count in ((watched, 80), *((follower, 100) for follower in waiting)):
        await follower.to_the_end()
        assert follower.kinds == ["started", "succeeded"]
        job = await served.job(client, follower.job_id)
        assert (job["attempt"], job["output"]["text"], follower.text()) == (1, words(count), words(count))
    after = Follower(served, client, await served.submit(client, "3 words, 1 ms"))
    await after.to_the_end()


async def test_processes_that_start_while_the_database_dies(served: System) -> None:
    """Twice, in the middle of their start: they wait for it, and none gives up."""
    workers = [served.start("worker") for _ in range(3)]
    for _ in range(2):
        died = served.postgres
        assert died is not None
        os.kill(died, signal.SIGKILL)
        await until(_another_than(served, died), seconds=30)
    for worker in workers:
        await asyncio.to_thread(worker.wait_ready)
    for worker in workers:
        assert await asyncio.to_thread(worker.end, signal.SIGTERM) == 0


async def test_connections_that_are_dropped(served: System, client: httpx.AsyncClient) -> None:
    """All of them at once, again and again."""
    await served.register(client)
    watched = Follower(served, client, await served.submit(client, "60 words, 40 ms"))
    for texts in (5, 15, 25):
        await watched.until("text", texts)
        dropped = served.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        assert len(dropped) >= 3  # some open again only when they are needed
    await watched.to_the_end()
    assert watched.breaks == 0
    assert watched.kinds == ["started", "succeeded"]
    job = await served.job(client, watched.job_id)
    assert (job["attempt"], job["output"]["text"], watched.text()) == (1, words(60), words(60))


def _another_than(system: System, died: int) -> Callable[[], bool]:
    """True once there is another PostgreSQL."""
    return lambda: system.postgres not in (None, died)


def _later(seconds: float) -> Callable[[], bool]:
    """True once so many seconds have passed."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end
