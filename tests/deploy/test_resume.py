"""A stream outlives the processes it runs through: the API it was opened at, and the worker it tells of."""

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import aclosing

import httpx
import pytest

from tests.deploy.conftest import Fleet, Said, events, submit

pytestmark = [
    pytest.mark.timeout(240),  # the first test waits for the whole fleet to start
    pytest.mark.xdist_group("fleet"),
]

ENDLESS = "100000 words, 20 ms"


async def follow(client: httpx.AsyncClient, job_id: str, served_by: list[str]) -> AsyncGenerator[Said]:
    """A job's events to its end, as a browser reads them: connecting again from the last id whenever it is cut off."""
    last = 0
    while True:
        headers = {"Last-Event-ID": str(last)} if last else {}
        try:
            async with client.stream("GET", f"/api/jobs/{job_id}/events", headers=headers) as answer:
                assert answer.status_code in {200, 503}, answer.status_code
                if answer.status_code == 200:
                    served_by.append(answer.headers["x-served-by"].split(", ")[-1])
                async for event in events(answer):
                    if event.seq:
                        last = event.seq
                        yield event
                    if event.type in {"succeeded", "failed", "canceled"}:
                        return
        except (httpx.RemoteProtocolError, httpx.ReadError):
            continue  # the API died in the middle


@pytest.mark.faults
async def test_a_stream_outlives_api_and_worker(fleet: Fleet, client: httpx.AsyncClient) -> None:
    """kill -9 of the API, then of the worker; then both are told to stop. Each comes back while the stream goes on."""
    job_id = await submit(client, ENDLESS)
    said: list[Said] = []
    served_by: list[str] = []

    async with asyncio.timeout(200), aclosing(follow(client, job_id, served_by)) as stream:

        async def read(*, attempt: int, streams: int) -> None:
            """Reads until ten pieces of a new attempt have come, over a new connection."""
            pieces = 0
            async for event in stream:
                said.append(event)
                begun = sum(event.type == "started" for event in said)
                pieces += event.type == "text" and begun == attempt and len(served_by) >= streams
                if pieces == 10:
                    return

        await read(attempt=1, streams=1)
        for round_, how in enumerate((signal.SIGKILL, signal.SIGTERM), 1):
            api = fleet.apis[served_by[-1]]
            await asyncio.to_thread(api.stop, how)
            await read(attempt=round_, streams=len(served_by) + 1)
            assert fleet.apis[served_by[-1]] is not api, "the other API goes on"
            worker = fleet.worker_of(job_id)
            await asyncio.to_thread(worker.stop, how)
            await asyncio.gather(*(asyncio.to_thread(each.start) for each in (worker, api)))
            await read(attempt=round_ + 1, streams=1)
        await client.post(f"/api/jobs/{job_id}/cancel")
        said += [event async for event in stream]

    assert [event.seq for event in said] == list(range(1, len(said) + 1)), "every event once, in order"
    assert said[-1].type == "canceled"
    (*_, last) = [event for event in said if event.type == "started"]
    fresh = [event for event in said if event.type == "text" and event.seq > last.seq]
    words = "".join(event.data["delta"] for event in fresh).split()
    assert words == [f"word{number}" for number in range(1, len(words) + 1)]
    assert set(served_by) == set(fleet.apis)
    attempts = [event.data["attempt"] for event in said if event.type == "started"]
    assert attempts == [1, 2, 2], "kill -9 costs an attempt, a stop that is announced does not"


async def test_any_api_follows_any_worker(fleet: Fleet, client: httpx.AsyncClient) -> None:
    """More jobs than two workers can take: all three work, and every stream is whole, wherever it was opened."""
    served_by: list[str] = []
    jobs = [await submit(client, ENDLESS) for _ in range(6)]

    async def some(job_id: str) -> list[int]:
        async with aclosing(follow(client, job_id, served_by)) as stream:
            said: list[Said] = []
            async for event in stream:
                said.append(event)
                if len(said) == 5:
                    await together.wait()  # six streams are open at once
                    break
        return [event.seq for event in said]

    together = asyncio.Barrier(len(jobs))
    async with asyncio.timeout(60):
        assert await asyncio.gather(*map(some, jobs)) == [[1, 2, 3, 4, 5]] * len(jobs)
    busy = fleet.row("SELECT count(DISTINCT worker_id) FROM yeoul.jobs WHERE status = 'running'")
    assert busy["count"] == len(fleet.workers)
    assert set(served_by) == set(fleet.apis)
    for job_id in jobs:
        canceled = await client.post(f"/api/jobs/{job_id}/cancel", params={"wait": 10})
        assert canceled.json()["status"] == "canceled"
