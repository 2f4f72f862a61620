"""Server-sent events over real HTTP."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from tests.core.events.reading import Reader, split
from tests.core.events.test_follow import submit
from tests.core.runtime.helpers import until
from yeoul.core.events import sse
from yeoul.core.events.schemas import Event
from yeoul.core.runtime.services import DatabaseUrls

QUICK: dict[str, Any] = {"steps": [{"do": "text", "n": 1}, {"do": "emit", "n": 2}]}
NEVER_ENDING: dict[str, Any] = {"steps": [{"do": "text", "n": 1}, {"do": "gate"}]}


async def finished(http: httpx.AsyncClient) -> tuple[str, list[bytes]]:
    """A job that has ended, and its whole stream."""
    url = f"/api/jobs/{await submit(http, QUICK)}/events"
    reader = Reader(http, url)
    assert await reader.read()
    return url, reader.frames


@asynccontextmanager
async def chunks(http: httpx.AsyncClient, url: str) -> AsyncGenerator[AsyncGenerator[bytes]]:
    async with asyncio.timeout(20), http.stream("GET", url) as answer:
        assert answer.status_code == 200

        async def each() -> AsyncGenerator[bytes]:
            async for chunk in answer.aiter_raw():
                yield chunk

        iterator = each()
        yield iterator
        await iterator.aclose()


def test_one_event_on_the_wire() -> None:
    assert sse.encode(Event(uuid4(), 7, "text", '{"delta":"a"}')) == 'id: 7\nevent: text\ndata: {"delta":"a"}\n\n'
    assert sse.encode(Event(uuid4(), None, "reset", "{}")) == "event: reset\ndata: {}\n\n"


async def test_a_stream_says_what_browsers_and_proxies_need(http: httpx.AsyncClient) -> None:
    url = f"/api/jobs/{await submit(http, QUICK)}/events"
    async with http.stream("GET", url) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-cache, no-transform"
        assert answer.headers["x-accel-buffering"] == "no"
        assert (await answer.aread()).startswith(b": open\n\n")


async def test_a_cursor_beyond_the_end_is_told_to_forget(http: httpx.AsyncClient) -> None:
    """After a restore: the client holds what no longer exists."""
    url, frames = await finished(http)
    answer = await http.get(url, params={"after": 1000})
    assert split(answer.content) == [b"event: reset\ndata: {}", *frames]


async def test_there_is_nothing_after_the_end(http: httpx.AsyncClient) -> None:
    url, frames = await finished(http)
    for after in range(len(frames)):
        assert split((await http.get(url, params={"after": after})).content) == frames[after:]
    answer = await http.get(url, params={"after": len(frames)})
    assert (answer.status_code, answer.content) == (204, b"")


async def test_without_its_events_a_job_tells_its_end(http: httpx.AsyncClient, urls: DatabaseUrls) -> None:
    """From the beginning alone: a browser that comes back by itself is told that there is nothing left."""
    url, frames = await finished(http)
    with psycopg.connect(urls.service, autocommit=True) as connection:
        connection.execute("DELETE FROM yeoul.events WHERE stream_id = %s", [url.split("/")[3]])
    (end,) = split((await http.get(url)).content)
    assert end.startswith(b"id: 1\nevent: succeeded\n")
    assert [json.loads(frame.partition(b"data: ")[2]) for frame in (end, frames[-1])] == [
        {"output": {"word": "end"}}
    ] * 2
    for after in ("1", str(len(frames))):
        assert (await http.get(url, headers={"Last-Event-ID": after})).status_code == 204


async def test_a_browsers_header_goes_before_the_address(http: httpx.AsyncClient) -> None:
    """A reconnecting browser asks the same address again and knows better by now."""
    url, frames = await finished(http)
    answer = await http.get(url, params={"after": 0}, headers={"Last-Event-ID": "2"})
    assert split(answer.content) == frames[2:]


@pytest.mark.parametrize("after", ["-1", "x", "1.5", str(2**63)])
async def test_nonsense_is_no_cursor(http: httpx.AsyncClient, after: str) -> None:
    url = f"/api/jobs/{uuid4()}/events"
    assert (await http.get(url, params={"after": after})).status_code == 422
    assert (await http.get(url, headers={"Last-Event-ID": after})).status_code == 422


async def test_a_silent_stream_is_kept_alive(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sse.HEARTBEAT_SECONDS <= 15
    monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", 0.02)
    url = f"/api/jobs/{await submit(http, NEVER_ENDING)}/events"
    beats = 0
    async with chunks(http, url) as stream:
        async for chunk in stream:
            beats += chunk.count(b": still here\n\n")
            if beats >= 2:
                break


async def test_who_waits_is_told_the_place(http: httpx.AsyncClient, urls: DatabaseUrls) -> None:
    """To watchers alone, without an id; it is no part of the log."""
    body = {"kind": "test.script", "input": QUICK, "run_at": "9000-01-01T00:00:00Z"}
    job_id = (await http.post("/api/jobs", json=body)).json()["id"]
    with psycopg.connect(urls.service, autocommit=True) as connection:
        connection.execute("UPDATE yeoul.jobs SET fair_at = 1, kind = 'unknown' WHERE id = %s", [job_id])
    async with chunks(http, f"/api/jobs/{job_id}/events") as stream:
        data = b""
        async for chunk in stream:
            data += chunk
            if b"position" in data:
                break
    (frame,) = split(data)
    head, body_line = frame.split(b"\n")
    assert head == b"event: queued"
    assert json.loads(body_line.removeprefix(b"data: ")) == {"position": 1, "eta_seconds": 0.0}


async def test_who_waits_is_told_when_the_place_changes(http: httpx.AsyncClient, urls: DatabaseUrls) -> None:
    """Once for each place, until it is claimed; one more connection for all who wait."""
    body = {"kind": "test.script", "input": QUICK, "run_at": "9000-01-01T00:00:00Z"}
    ids = [(await http.post("/api/jobs", json=body)).json()["id"] for _ in range(3)]
    with psycopg.connect(urls.service, autocommit=True) as connection:
        for place, job_id in enumerate(ids):
            connection.execute("UPDATE yeoul.jobs SET fair_at = %s, kind = 'unknown' WHERE id = %s", [place, job_id])
        async with chunks(http, f"/api/jobs/{ids[2]}/events") as stream:
            data, ahead = b"", ids[:2]
            async for chunk in stream:
                data += chunk
                if data.count(b"position") == 3 - len(ahead) and ahead:
                    connection.execute("DELETE FROM yeoul.jobs WHERE id = %s", [ahead.pop()])
                elif b'"position":1' in data.replace(b" ", b""):
                    connection.execute("UPDATE yeoul.jobs SET kind = 'test.script' WHERE id = %s", [ids[2]])
                    if b"event: succeeded" in data:
                        break
    frames = [frame.split(b"\n") for frame in split(data)]
    places = [json.loads(frame[1].removeprefix(b"data: "))["position"] for frame in frames if b"queued" in frame[0]]
    assert places == [3, 2, 1]
    assert next(frame[1] for frame in frames if b"queued" not in frame[0]) == b"event: started"


async def test_a_closed_stream_is_forgotten(http: httpx.AsyncClient, app: FastAPI) -> None:
    url = f"/api/jobs/{await submit(http, NEVER_ENDING)}/events"
    hub = app.state.services.events
    async with chunks(http, url) as stream:
        await anext(stream)
        await until(lambda: len(hub._subscriptions) == 1)
    await until(lambda: hub._subscriptions == {})


async def test_all_jobs_live(http: httpx.AsyncClient) -> None:
    """Every change of every job, from now on; and from a cursor what was missed."""
    async with chunks(http, "/api/jobs/live") as stream:
        assert await anext(stream) == b": open\n\n"
        job_id = str(await submit(http, QUICK))
        data = b""
        async for chunk in stream:
            data += chunk
            if b'"succeeded"' in data:
                break
    frames = split(data)
    told = [json.loads(frame.split(b"data: ", 1)[1]) for frame in frames]
    assert [(job["id"], job["status"]) for job in told] == [
        (job_id, status) for status in ("queued", "running", "succeeded")
    ]
    ids = [int(frame.split(b"\n", 1)[0].removeprefix(b"id: ")) for frame in frames]
    assert ids == list(range(ids[0], ids[0] + 3))
    async with chunks(http, f"/api/jobs/live?after={ids[0]}") as stream:
        data = b""
        async for chunk in stream:
            data += chunk
            if b'"succeeded"' in data:
                break
    assert split(data) == frames[1:]


@pytest.mark.parametrize("after", [0, 10**6])
async def test_a_live_cursor_that_is_gone_is_told_to_forget(
    http: httpx.AsyncClient, urls: DatabaseUrls, after: int
) -> None:
    await finished(http)
    with psycopg.connect(urls.service, autocommit=True) as connection:
        connection.execute("UPDATE yeoul.streams SET first_seq = 3")
        connection.execute("DELETE FROM yeoul.events WHERE seq < 3 AND stream_id IN (SELECT id FROM yeoul.streams)")
    async with chunks(http, f"/api/jobs/live?after={after}") as stream:
        data = b""
        async for chunk in stream:
            data += chunk
            if b"reset" in data:
                break
    assert split(data) == [b"event: reset\ndata: {}"]
