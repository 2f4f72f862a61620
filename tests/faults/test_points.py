"""Processes that die at the worst moments, each named by the code itself (core/base/faultpoints)."""

import asyncio
import signal
from uuid import uuid4

import httpx
import psutil
import pytest

from tests.core.runtime.helpers import until
from tests.faults.system import Follower, Process, System
from yeoul.core.base.faultpoints import VARIABLE

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(240),  # the first test waits for what they share
    pytest.mark.xdist_group("faults points"),
]

STEPS = {"words": 3, "ms": 5, "times": 2}


def doomed(system: System, point: str, action: str = "kill", command: str = "worker") -> Process:
    """A process that reaches a point and goes no further."""
    port = ("--port", "0") if command == "api" else ()
    return system.start(command, *port, **{VARIABLE: f"{point}:{action}"})


async def death(process: Process) -> None:
    """Waits until a process has died at its point."""
    assert await asyncio.to_thread(process.process.wait, 30) == -signal.SIGKILL, process.log
    assert process.said("fault point"), process.log


@pytest.fixture
async def signed_in(answering: System, client: httpx.AsyncClient) -> httpx.AsyncClient:
    await answering.register(client)
    return client


@pytest.mark.parametrize(
    ("point", "attempts", "reused"),
    [
        ("job.claimed", 2, 0),
        ("flush.written", 2, 0),
        ("step.run", 2, 0),
        ("step.stored", 2, 1),
        ("job.ending", 2, 2),
        ("job.ended", 1, 0),
    ],
)
async def test_a_worker_that_dies_there(
    answering: System, signed_in: httpx.AsyncClient, point: str, attempts: int, reused: int
) -> None:
    """The next one goes on: what was finished is not done again, and what was told stays told."""
    first = doomed(answering, point).wait_ready()
    watched = Follower(answering, signed_in, await answering.submit_kind(signed_in, "faults.steps", STEPS))
    await death(first)
    second = answering.start("worker").wait_ready()
    await watched.to_the_end()
    await watched.checked()
    job = await answering.job(signed_in, watched.job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", attempts)
    assert job["output"]["text"] == answering.stepped(watched.job_id)
    assert sum(data.get("status") == "reused" for _, kind, data in watched.events if kind == "step") == reused
    assert second.end(signal.SIGTERM) == 0


async def test_a_sweeper_that_dies_before_it_rings(answering: System, signed_in: httpx.AsyncClient) -> None:
    """It has taken a dead worker's job, and nobody was told: the next one finds it by looking."""
    first = doomed(answering, "job.claimed").wait_ready()
    watched = Follower(answering, signed_in, await answering.submit_kind(signed_in, "faults.text", {"words": 2}))
    await death(first)
    await death(doomed(answering, "lost.taken"))
    assert answering.query("SELECT status FROM jobs WHERE id = %s", watched.job_id) == [("queued",)]
    last = answering.start("worker").wait_ready()
    await watched.to_the_end()
    assert watched.kinds == ["started", "retrying", "started", "succeeded"]
    assert last.end(signal.SIGTERM) == 0


async def test_a_worker_that_dies_while_it_drains(answering: System, signed_in: httpx.AsyncClient) -> None:
    """As if it had been killed at once: the job costs an attempt and nothing else."""
    first = doomed(answering, "drain.begun").wait_ready()
    watched = Follower(
        answering, signed_in, await answering.submit_kind(signed_in, "faults.text", {"words": 30, "ms": 30})
    )
    await watched.until("text")
    first.send(signal.SIGTERM)
    await death(first)
    last = answering.start("worker").wait_ready()
    await watched.to_the_end()
    await watched.checked()
    assert (await answering.job(signed_in, watched.job_id))["attempt"] == 2
    assert last.end(signal.SIGTERM) == 0


async def test_an_api_that_dies_before_it_answers(answering: System, signed_in: httpx.AsyncClient) -> None:
    """The job is there and its client does not know: the same key at another API finds it, and makes no second one."""
    other = doomed(answering, "commit.unrung", command="api").wait_ready()
    body = {"kind": "faults.nothing", "input": {}}
    key = {"Idempotency-Key": uuid4().hex}
    with pytest.raises(httpx.TransportError):
        await signed_in.post(f"{other.url}/api/jobs", json=body, headers=key)
    await death(other)
    answer = await signed_in.post(answering.path("/api/jobs"), json=body, headers=key)
    assert answer.headers["Idempotency-Replayed"] == "true"
    jobs = (await signed_in.get(answering.path("/api/jobs"))).json()["items"]
    assert [job["id"] for job in jobs] == [answer.json()["id"]]
    watched = Follower(answering, signed_in, answer.json()["id"])
    worker = answering.start("worker").wait_ready()
    await watched.to_the_end()
    assert watched.kinds[-1] == "succeeded"
    assert worker.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("point", ["job.ending", "flush.written"])
async def test_a_worker_paused_there_past_its_lease(
    answering: System, signed_in: httpx.AsyncClient, point: str
) -> None:
    """With the end in its hands, or a flush half told: it wakes up when another has the job, and changes nothing."""
    paused = doomed(answering, point, "stop").wait_ready()
    watched = Follower(answering, signed_in, await answering.submit_kind(signed_in, "faults.text", {"words": 3}))
    await until(lambda: psutil.Process(paused.pid).status() == psutil.STATUS_STOPPED)
    other = answering.start("worker").wait_ready()
    await watched.to_the_end()
    await watched.checked()
    before = answering.query("SELECT status, epoch, attempt, output FROM jobs WHERE id = %s", watched.job_id)
    assert before[0][:3] == ("succeeded", 2, 2)
    paused.send(signal.SIGCONT)
    await until(lambda: paused.said("lost the lease"))
    assert answering.query("SELECT status, epoch, attempt, output FROM jobs WHERE id = %s", watched.job_id) == before
    assert answering.query("SELECT max(seq) FROM events WHERE stream_id = %s", watched.job_id) == [
        (watched.events[-1][0],)
    ]
    for worker in (paused, other):
        assert worker.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("point", ["cancel.heard", "job.ended"])
async def test_a_worker_that_dies_of_a_cancel(answering: System, signed_in: httpx.AsyncClient, point: str) -> None:
    """Between the wish and its fulfilment, or just after: nobody runs the job again, it is canceled."""
    first = doomed(answering, point).wait_ready()
    given = {"words": 1000, "ms": 20}
    watched = Follower(answering, signed_in, await answering.submit_kind(signed_in, "faults.text", given))
    await watched.until("text")
    url = answering.path(f"/api/jobs/{watched.job_id}/cancel")
    asking = asyncio.create_task(signed_in.post(url, params={"wait": 30}))
    await death(first)
    second = answering.start("worker").wait_ready()
    answer = await asking
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    await watched.to_the_end()
    assert watched.kinds == ["started", "canceled"]
    assert answering.query("SELECT epoch FROM jobs WHERE id = %s", watched.job_id) == [(1,)]
    assert second.end(signal.SIGTERM) == 0
