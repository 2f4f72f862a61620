"""A worker whose clock is wrong by an hour: what is due, what is lost and what comes next are the database's to say."""

import asyncio
import os
import signal
import time
from collections.abc import Generator
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.faults.conftest import path_of
from tests.faults.nursery import Nursery
from tests.faults.system import LEASE_SECONDS, Follower, Process, System

LIBRARIES = [
    path for folder in ("/usr/lib", "/usr/lib64") for path in Path(folder).glob("**/faketime/libfaketimeMT.so.1")
]
pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed (scripts/system_packages.sh installs it)"),
]


@pytest.fixture
def elsewhen(product: Path) -> Generator[list[Nursery]]:
    """Processes whose clock is an hour ahead, and such an hour behind."""
    nurseries = [
        Nursery(
            PYTHONPATH=path_of(product),
            LD_PRELOAD=str(LIBRARIES[0]),
            FAKETIME=wrong,
            FAKETIME_DONT_FAKE_MONOTONIC="1",
        )
        for wrong in ("+1h", "-1h")
    ]
    yield nurseries
    for nursery in nurseries:
        nursery.close()


async def test_workers_with_wrong_clocks(system: System, elsewhen: list[Nursery], client: httpx.AsyncClient) -> None:
    """One ahead, one behind, on other machines as far as they can tell: two hours lie between them."""

    def start(number: int) -> Process:
        host = f"another{number}" if os.geteuid() == 0 else ""
        system.processes.append(Process(elsewhen[number], system.data_dir, "worker", host=host))
        return system.processes[-1]

    system.serve("api")  # first: whoever starts the database gives it its clock
    workers = [start(0), start(1)]
    for worker in workers:
        worker.wait_ready()
    await system.register(client)

    # Nothing runs before its time, which is the database's.
    ((now,),) = system.query("SELECT now()")
    due = now + timedelta(seconds=1.5)
    asked = [("faults.text", {"words": 2}, {"run_at": due.isoformat()})] * 4
    asked += [("faults.retry", {"words": 2, "times": 2}, {})] * 4
    watched = [
        Follower(system, client, await system.submit_kind(client, kind, given, **more)) for kind, given, more in asked
    ]
    for follower in watched:
        await follower.to_the_end()
        await follower.checked()
        assert follower.kinds[-1] == "succeeded"
    started = [datetime.fromisoformat((await system.job(client, each.job_id))["started_at"]) for each in watched[:4]]
    assert min(started) >= due

    # They keep their leases, though they think that these ran out long ago, or will last for hours.
    left = system.query("SELECT extract(epoch FROM expires_at - now())::float8 FROM workers")
    assert [0 < seconds <= LEASE_SECONDS for (seconds,) in left] == [True, True]

    # What one loses the other finds, neither too soon nor too late.
    for _ in range(2):
        given = {"words": 10_000, "ms": 50}
        follower = Follower(system, client, await system.submit_kind(client, "faults.text", given))
        await follower.until("text")
        assert follower.kinds == ["started"]
        dies = system.worker_of(follower.job_id)
        died_at = time.time()
        await asyncio.to_thread(dies.end, signal.SIGKILL)
        await follower.until("started", 2)
        ((again,),) = system.query(
            "SELECT extract(epoch FROM max(created_at))::float8 FROM events WHERE stream_id = %s AND type = 'started'",
            follower.job_id,
        )
        assert 0 < again - died_at < 15
        answer = await client.post(system.path(f"/api/jobs/{follower.job_id}/cancel"), params={"wait": 20})
        assert answer.json()["status"] == "canceled"
        await follower.to_the_end()
        assert follower.kinds == ["started", "retrying", "started", "canceled"]
        number = workers.index(dies)
        workers[number] = start(number)
        await asyncio.to_thread(workers[number].wait_ready)
