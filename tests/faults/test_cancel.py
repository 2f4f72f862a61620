"""Cancel is a fact in the row before it is a message: from any API, of a job in any state, whatever dies meanwhile."""

import asyncio
import json
import random
import signal
import time
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.core.runtime.helpers import until
from tests.faults.fleet import ModelServer
from tests.faults.system import Follower, Process, System

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(240),  # the first test waits for what they share
    pytest.mark.xdist_group("faults cancel"),
]


@pytest.fixture(scope="module")
def model(answering: System) -> Generator[ModelServer]:
    """A model over HTTP that notices when its client hangs up."""
    server = ModelServer(answering.data_dir)
    server.start()
    yield server
    server.end()


@pytest.fixture(scope="module")
def other(answering: System) -> Process:
    """Another API than the one that streams."""
    return answering.start("api", "--port", "0").wait_ready()


@pytest.fixture(scope="module")
def worker(answering: System, model: ModelServer) -> Generator[Process]:
    """One that works through the module."""
    settings = {"YEOUL_COMPATIBLE_BASE_URL": f"http://127.0.0.1:{model.port}/v1", "YEOUL_LEASE_SECONDS": "20"}
    process = answering.start("worker", **settings).wait_ready()
    yield process
    assert process.end(signal.SIGTERM) == 0


@pytest.fixture
async def signed_in(answering: System, client: httpx.AsyncClient) -> httpx.AsyncClient:
    await answering.register(client)
    return client


async def cancel(client: httpx.AsyncClient, api: Process, job_id: str, wait: float = 10) -> httpx.Response:
    """Asks that API; the answer waits for the end, for so long."""
    return await client.post(f"{api.url}/api/jobs/{job_id}/cancel", params={"wait": wait})


async def canceled(client: httpx.AsyncClient, api: Process, watched: Follower) -> list[str]:
    """Cancels; the answer, the stream and the row say the same. Returns what the stream said."""
    answer = await cancel(client, api, watched.job_id)
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled"), answer.text
    await watched.to_the_end()
    await watched.checked()
    assert watched.kinds[-1] == "canceled"
    return watched.kinds


async def test_waiting(answering: System, other: Process, signed_in: httpx.AsyncClient) -> None:
    """Ready and not yet taken, or not due for an hour: at once, at an API that does not stream it."""
    for more in ({}, {"run_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}):
        job_id = await answering.submit_kind(signed_in, "faults.text", {}, **more)
        watched = Follower(answering, signed_in, job_id)
        assert await canceled(signed_in, other, watched) == ["canceled"]


async def test_running(
    answering: System, other: Process, worker: Process, model: ModelServer, signed_in: httpx.AsyncClient
) -> None:
    """The model's server sees its client hang up within a second."""
    job_id = await answering.submit(signed_in, "1000 words, 20 ms, of one that runs", model="compatible/m")
    watched = Follower(answering, signed_in, job_id)
    await watched.until("text", 3)
    asked_at = time.time()
    assert await canceled(signed_in, other, watched) == ["started", "canceled"]

    def hung_up() -> list[dict[str, Any]]:
        said = [json.loads(line) for line in model.said.read_text().splitlines()]
        return [line for line in said if line["what"] == "gone" and "one that runs" in line["prompt"]]

    await until(lambda: bool(hung_up()))
    assert hung_up()[0]["at"] - asked_at < 1


async def test_waiting_to_be_tried_again(
    answering: System, other: Process, worker: Process, signed_in: httpx.AsyncClient
) -> None:
    given = {"words": 1, "times": 5, "backoff": 600}
    watched = Follower(answering, signed_in, await answering.submit_kind(signed_in, "faults.retry", given))
    await watched.until("retrying")
    assert await canceled(signed_in, other, watched) == ["started", "retrying", "canceled"]


async def test_just_finishing(answering: System, other: Process, worker: Process, signed_in: httpx.AsyncClient) -> None:
    """A race that either may win: the answer is what became of the job, and there is one end."""
    chance = random.Random(7)

    async def race(longest: float) -> tuple[str, str]:
        given = {"words": 1, "ms": chance.uniform(0, longest)}
        job_id = await answering.submit_kind(signed_in, "faults.text", given)
        watched = Follower(answering, signed_in, job_id)
        await watched.until("started")
        await asyncio.sleep(chance.uniform(0, longest / 1000))
        answer = await cancel(signed_in, chance.choice((other, answering.api or other)), job_id)
        assert answer.status_code == 200
        await watched.to_the_end()
        await watched.checked()
        return answer.json()["status"], watched.kinds[-1]

    ends: list[tuple[str, str]] = []
    for longest in (10, 20, 40, 80, 160, 320, 640, 1280, 2560):  # until both have won: machines differ
        ends += await asyncio.gather(*(race(longest) for _ in range(12)))
        if {end for _, end in ends} == {"canceled", "succeeded"}:
            break
    assert all(told == end for told, end in ends)
    assert {end for _, end in ends} == {"canceled", "succeeded"}


async def test_twice_and_after_the_end(
    answering: System, other: Process, worker: Process, signed_in: httpx.AsyncClient
) -> None:
    """Both askers hear the same; what has ended stays as it ended."""
    given = {"words": 1000, "ms": 20}
    watched = Follower(answering, signed_in, await answering.submit_kind(signed_in, "faults.text", given))
    await watched.until("text")
    answers = await asyncio.gather(*(cancel(signed_in, api, watched.job_id) for api in (other, answering.api or other)))
    assert {(answer.status_code, answer.json()["status"]) for answer in answers} == {(200, "canceled")}
    again = await cancel(signed_in, other, watched.job_id)
    assert again.json() == answers[0].json()
    await watched.to_the_end()
    done = Follower(answering, signed_in, await answering.submit_kind(signed_in, "faults.nothing", {}))
    await done.to_the_end()
    before = await answering.job(signed_in, done.job_id)
    late = await cancel(signed_in, other, done.job_id)
    assert (late.status_code, late.json()) == (200, before)
    assert before["status"] == "succeeded"
    assert not before["cancel_requested"]


async def test_a_handler_that_does_not_listen(
    answering: System, other: Process, worker: Process, signed_in: httpx.AsyncClient
) -> None:
    """An answer that does not wait says what is so: asked, not yet canceled. Then the job ends without its handler."""
    given = {"words": 400, "ms": 50}
    watched = Follower(answering, signed_in, await answering.submit_kind(signed_in, "faults.deaf", given))
    await watched.until("text")
    answer = await cancel(signed_in, other, watched.job_id, wait=0)
    assert answer.status_code == 202
    assert (answer.json()["status"], answer.json()["cancel_requested"]) == ("running", True)
    assert (await canceled(signed_in, other, watched))[-1] == "canceled"
