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

from tests.core.runtime.helpers import until
from tests.faults.conftest import path_of
from tests.faults.nursery import Nursery
from tests.faults.system import LEASE_SECONDS, Follower, Process, System

LIBRARIES = [path for folder in ("/usr/lib", "/usr/lib64") for path in Path(folder).glob("**/faketime/libfaketimeMT.so.1")]
WRONG = 3600

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed (scripts/system_packages.sh installs it)"),
]


@pytest.fixture(scope="module", params=["+1h", "-1h"])
def elsewhen(request: pytest.FixtureRequest, product: Path) -> Generator[Nursery]:
    """Processes whose clock is an hour ahead, or behind."""
    nursery = Nursery(
        PYTHONPATH=path_of(product),
        LD_PRELOAD=str(LIBRARIES[0]),
        FAKETIME=request.param,
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )
    yield nursery
    nursery.close()


async def test_a_worker_with_a_wrong_clock(
    answering: System, elsewhen: Nursery, client: httpx.AsyncClient, request: pytest.FixtureRequest
) -> None:
    """Beside one with the right time, on other machines as far as they can tell."""
    apart = "another" if os.geteuid() == 0 else ""

    def start_wrong() -> Process:
        answering.processes.append(Process(elsewhen, answering.data_dir, "worker", host=apart))
        return answering.processes[-1].wait_ready()

    wrong = start_wrong()
    await answering.register(client)

    # Nothing runs before its time, which is the database's.
    ((now,),) = answering.query("SELECT now()")
    due = now + timedelta(seconds=1.5)
    later = await answering.submit_kind(client, "faults.text", {"words": 2}, run_at=due.isoformat())
    retried = await answering.submit_kind(client, "faults.retry", {"words": 2, "times": 2})
    for job_id in (later, retried):
        watched = Follower(answering, client, job_id)
        await watched.to_the_end()
        await watched.checked()
        assert watched.kinds[-1] == "succeeded"
    assert datetime.fromisoformat((await answering.job(client, later))["started_at"]) >= due

    # It keeps its lease, though it thinks that it ran out long ago, or that it will last for an hour.
    ((left,),) = answering.query("SELECT extract(epoch FROM expires_at - now())::float8 FROM workers")
    assert 0 < left <= LEASE_SECONDS

    # What it loses is found in time, and what another loses it finds neither too soon nor too late.
    goes_on = wrong
    for start in (lambda: answering.start("worker").wait_ready(), start_wrong):
        given = {"words": 10_000, "ms": 50}
        watched = Follower(answering, client, await answering.submit_kind(client, "faults.text", given))
        await watched.until("text")
        dies, goes_on = goes_on, await asyncio.to_thread(start)
        assert watched.kinds == ["started"]
        died_at = time.time()
        await asyncio.to_thread(dies.end, signal.SIGKILL)
        await watched.until("started", 2)
        ((again,),) = answering.query(
            "SELECT extract(epoch FROM max(created_at))::float8 FROM events WHERE stream_id = %s AND type = 'started'",
            watched.job_id,
        )
        assert 0 < again - died_at < 15
        await client.post(answering.path(f"/api/jobs/{watched.job_id}/cancel"))
        await watched.to_the_end()
        assert watched.kinds == ["started", "retrying", "started", "canceled"]
    assert goes_on.end(signal.SIGTERM) == 0
