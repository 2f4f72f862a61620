"""Processes that are killed, paused and told to stop in the middle of an answer."""

import asyncio
import os
import signal

import httpx
import psutil
import pytest

from tests.core.runtime.helpers import until
from tests.faults.system import LEASE_SECONDS, Follower, System

pytestmark = pytest.mark.faults


def words(count: int) -> str:
    return "".join(f"word{n} " for n in range(1, count + 1))


async def test_kill_9_in_the_middle_of_an_answer(system: System, client: httpx.AsyncClient) -> None:
    """Started again, everything finishes unasked; the client goes on from its cursor and shows each word once."""
    first = system.serve()
    await system.register(client)
    watched = Follower(system, client, await system.submit(client, "40 words, 80 ms"))
    others = [await system.submit(client, "20 words, 150 ms") for _ in range(20)]
    await watched.until("text", 5)
    await until(lambda: system.query("SELECT count(*) FROM jobs WHERE status = 'running'") == [(21,)])
    shown = watched.text()
    assert words(40).startswith(shown)
    first.end(signal.SIGKILL)
    second = system.serve()
    await watched.to_the_end()
    assert watched.breaks > 0
    assert watched.kinds == ["started", "retrying", "started", "succeeded"]
    (retrying,) = (data for _, kind, data in watched.events if kind == "retrying")
    assert (retrying["attempt"], retrying["void_after"], retrying["error"]["code"]) == (2, 0, "worker_lost")
    for job_id, text in ((watched.job_id, words(40)), *((job_id, words(20)) for job_id in others)):
        follower = Follower(system, client, job_id)
        await follower.to_the_end()
        job = await system.job(client, job_id)
        assert (job["status"], job["attempt"]) == ("succeeded", 2)
        assert job["output"]["text"] == follower.text() == text
    assert second.end(signal.SIGTERM) == 0
    assert system.postgres is None


async def test_everything_dies_at_once(system: System, client: httpx.AsyncClient) -> None:
    """The server and its database, as when the power goes: what was said before is still there, and it goes on."""
    first = system.serve()
    await system.register(client)
    watched = Follower(system, client, await system.submit(client, "30 words, 30 ms"))
    await watched.until("text", 5)
    before = watched.events
    assert system.postgres is not None
    os.kill(system.postgres, signal.SIGKILL)
    first.end(signal.SIGKILL)
    system.serve()
    await watched.to_the_end()
    assert watched.events[: len(before)] == before
    assert watched.kinds == ["started", "retrying", "started", "succeeded"]
    assert (await system.job(client, watched.job_id))["output"]["text"] == watched.text() == words(30)


async def test_told_to_stop_in_the_middle_of_an_answer(system: System, client: httpx.AsyncClient) -> None:
    """It gives the job back and leaves in time; the next start finishes it, and it has not cost an attempt."""
    first = system.serve()
    await system.register(client)
    watched = Follower(system, client, await system.submit(client, "40 words, 40 ms"))
    await watched.until("text", 3)
    began = asyncio.get_running_loop().time()
    assert await asyncio.to_thread(first.end, signal.SIGTERM) == 0
    assert asyncio.get_running_loop().time() - began < 10
    assert system.postgres is None
    system.serve()
    await watched.to_the_end()
    assert watched.kinds == ["started", "retrying", "started", "succeeded"]
    assert [data["attempt"] for _, kind, data in watched.events if kind == "started"] == [1, 1]
    job = await system.job(client, watched.job_id)
    assert (job["status"], job["attempt"], job["output"]["text"]) == ("succeeded", 1, words(40))
    assert watched.text() == words(40)


async def test_a_worker_paused_past_its_lease(system: System, client: httpx.AsyncClient) -> None:
    """It wakes up and goes on as if nothing had happened: its words, its result and its end come to nothing."""
    workers = {process.pid: process for process in (system.start("worker"), system.start("worker"))}
    system.serve("api")
    for worker in workers.values():
        worker.wait_ready()
    await system.register(client)
    watched = Follower(system, client, await system.submit(client, "40 words, 40 ms"))
    await watched.until("text", 3)
    ((pid,),) = system.query("SELECT pid FROM workers JOIN jobs ON worker_id = workers.id WHERE kind = 'llm.complete'")
    paused = workers.pop(pid)
    paused.send(signal.SIGSTOP)
    began = asyncio.get_running_loop().time()
    await watched.until("retrying")
    assert asyncio.get_running_loop().time() - began > LEASE_SECONDS / 2
    await watched.until("started", 2)
    paused.send(signal.SIGCONT)
    await until(lambda: any("lost the lease" in line for line in paused.log))
    await watched.to_the_end()
    assert watched.kinds == ["started", "retrying", "started", "succeeded"]
    job = await system.job(client, watched.job_id)
    assert (job["attempt"], job["output"]["text"], watched.text()) == (2, words(40), words(40))
    again = Follower(system, client, await system.submit(client, "3 words, 1 ms"))  # and it is of use again
    await again.to_the_end()
    assert {psutil.Process(p.pid).status() for p in system.processes} <= {psutil.STATUS_RUNNING, psutil.STATUS_SLEEPING}
    ((registered,),) = system.query("SELECT count(*) FROM workers WHERE expires_at > now()")
    assert registered == 2
