"""``/api/ws`` over a real connection: many streams, bad messages, slow clients."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NoReturn
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.conftest import Account, Register
from tests.core.events.reading import gate, script
from tests.core.runtime.helpers import Given, Made, until
from yeoul.core.http import connection
from yeoul.core.jobs.kinds import Kinds
from yeoul.core.runtime import sockets
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler
from yeoul.core.runtime.sockets import MAX_STREAMS
from yeoul.settings import Settings

QUICK: dict[str, Any] = {"steps": [{"do": "text", "n": 1}, {"do": "emit", "n": 1}]}
HELD: dict[str, Any] = {"steps": [{"do": "text", "n": 1}, {"do": "gate"}, {"do": "text", "n": 1}]}


class Large(Given):
    """How much to say, in megabytes."""

    megabytes: int = 24


@handler("test.large")
async def large(ctx: Context, given: Large) -> Made:
    for _ in range(given.megabytes * 5):
        await ctx.emit("component", "x" * 200_000)
    return Made(word="large")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"drain_seconds": 0.05})


@pytest.fixture
def kinds() -> Kinds:
    kinds = Kinds()
    kinds.add(script)
    kinds.add(large)
    return kinds


class Socket:
    """A client's end."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(20):
            message: dict[str, Any] = json.loads(await self.connection.recv())
        return message

    async def rest(self, seqs: list[int]) -> NoReturn:
        """Adds the seqs of what comes until the connection is closed, and raises how."""
        while True:
            message = await self.next()
            seqs += [message["seq"]] if message["seq"] else []

    async def until(self, kind: str, stream: str | None = None) -> list[dict[str, Any]]:
        """What comes until a message of this type (of this stream), that one included."""
        messages = []
        while True:
            messages.append(await self.next())
            if messages[-1]["type"] == kind and (stream is None or messages[-1].get("stream") == stream):
                return messages


Open = Callable[..., AbstractAsyncContextManager[Socket]]


@pytest.fixture
async def mina(register: Register) -> Account:
    return await register("mina")


@pytest.fixture
def opened(address: str, mina: Account) -> Open:
    """Opens a connection as mina."""

    @asynccontextmanager
    async def make(**options: Any) -> AsyncGenerator[Socket]:
        url = address.replace("http", "ws", 1) + "/api/ws"
        async with connect(url, additional_headers=mina.headers, **options) as connection:
            yield Socket(connection)

    return make


async def submit(client: httpx.AsyncClient, account: Account, body: Any, kind: str = "test.script") -> str:
    answer = await client.post("/api/jobs", json={"kind": kind, "input": body}, headers=account.headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def log(messages: list[dict[str, Any]], stream: str) -> list[tuple[int, str]]:
    return [(m["seq"], m["event"]) for m in messages if m["type"] == "event" and m["stream"] == stream and m["seq"]]


async def test_nobody_gets_in_without_a_token(address: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(address.replace("http", "ws", 1) + "/api/ws")
    assert refused.value.response.status_code == 401


async def test_many_streams_each_to_its_end(client: httpx.AsyncClient, mina: Account, opened: Open) -> None:
    ids = [await submit(client, mina, QUICK) for _ in range(20)]
    async with opened() as socket:
        for job_id in ids:
            await socket.send(type="subscribe", stream=job_id)
        messages: list[dict[str, Any]] = []
        while sum(message["type"] == "closed" for message in messages) < len(ids):
            messages.append(await socket.next())
    for job_id in ids:
        own = [message for message in messages if message["stream"] == job_id]
        assert own[0] == {"type": "subscribed", "stream": job_id, "after": 0}
        assert own[-1] == {"type": "closed", "stream": job_id}
        seqs = [seq for seq, _ in log(own, job_id)]
        assert seqs == list(range(1, len(seqs) + 1))
        assert log(own, job_id)[-1][1] == "succeeded"


async def test_without_its_events_a_job_tells_its_end(
    app: FastAPI, client: httpx.AsyncClient, mina: Account, opened: Open
) -> None:
    job_id = await submit(client, mina, QUICK)
    async with opened() as socket:
        await socket.send(type="subscribe", stream=job_id)
        whole = await socket.until("closed")
        async with app.state.services.database.service_connection() as connection:
            await connection.execute("DELETE FROM events WHERE stream_id = %s", [job_id])
        await socket.send(type="subscribe", stream=job_id)
        _, end, _ = await socket.until("closed")
    assert end == whole[-2] | {"seq": 1}


async def test_a_cursor_resumes(client: httpx.AsyncClient, mina: Account, opened: Open) -> None:
    job_id = await submit(client, mina, QUICK)
    async with opened() as socket:
        await socket.send(type="subscribe", stream=job_id, after=0)
        whole = log(await socket.until("closed"), job_id)
    async with opened() as socket:
        await socket.send(type="subscribe", stream=job_id, after=2)
        messages = await socket.until("closed")
        assert messages[0] == {"type": "subscribed", "stream": job_id, "after": 2}
        assert log(messages, job_id) == whole[2:]
        await socket.send(type="subscribe", stream=job_id, after=len(whole))
        assert [message["type"] for message in await socket.until("closed")] == ["subscribed", "closed"]
        await socket.send(type="subscribe", stream=job_id, after=1000)
        messages = await socket.until("closed")
        assert (messages[1]["event"], messages[1]["seq"]) == ("reset", None)
        assert log(messages, job_id) == whole


async def test_what_is_no_longer_wanted_stays_away(
    client: httpx.AsyncClient, mina: Account, opened: Open, app: FastAPI
) -> None:
    hub = app.state.services.events
    left, kept = [await submit(client, mina, HELD) for _ in range(2)]
    async with opened() as socket:
        for job_id in (left, kept):
            await socket.send(type="subscribe", stream=job_id)
        await until(lambda: len(hub._subscriptions) == 2)
        await socket.send(type="unsubscribe", stream=left)
        await socket.send(type="unsubscribe", stream=left)
        await until(lambda: len(hub._subscriptions) == 1)
        gate().set()
        messages = await socket.until("closed")
        assert messages[-1]["stream"] == kept
        await socket.send(type="subscribe", stream=left)  # and may be wanted again
        assert (await socket.until("closed"))[-1]["stream"] == left


async def test_subscribing_again_starts_again(client: httpx.AsyncClient, mina: Account, opened: Open) -> None:
    job_id = await submit(client, mina, HELD)
    async with opened() as socket:
        await socket.send(type="subscribe", stream=job_id)
        await socket.until("event")
        await socket.send(type="subscribe", stream=job_id)
        await socket.until("subscribed")
        gate().set()
        messages = await socket.until("closed")
        assert [seq for seq, _ in log(messages, job_id)] == [1, 2, 3, 4]


async def test_ping(opened: Open) -> None:
    async with opened() as socket:
        await socket.send(type="ping")
        assert await socket.next() == {"type": "pong"}


BAD: tuple[str | bytes, ...] = (
    "", "x", "[]", "{}", '{"type": "dance"}', '{"type": "subscribe"}', '{"type": "subscribe", "stream": "x"}',
    '{"type": "subscribe", "stream": "jobs", "after": -1}', '{"type": "subscribe", "stream": "jobs", "after": 1e30}',
    '{"type": "ping", "x": "' + "x" * 5000 + '"}', b"\x00\xff", b'{"type": "ping"}',
)  # fmt: skip


async def test_a_bad_message_is_answered_and_nothing_else_happens(opened: Open) -> None:
    async with opened() as socket:
        for message in BAD:
            await socket.connection.send(message)
            answer = await socket.next()
            assert (answer["type"], answer["stream"]) == ("error", None), message
            assert (answer["problem"]["status"], answer["problem"]["code"]) == (422, "invalid_input")
        await socket.send(type="ping")
        assert await socket.next() == {"type": "pong"}


async def test_anothers_job_is_not_there(
    client: httpx.AsyncClient, mina: Account, opened: Open, register: Register
) -> None:
    """Nor does asking for it use up anything."""
    job_id = await submit(client, await register("bob"), QUICK)
    async with opened() as socket:
        for stream in [job_id, *(str(uuid4()) for _ in range(MAX_STREAMS + 10))]:
            await socket.send(type="subscribe", stream=stream)
            answer = await socket.next()
            assert (answer["type"], answer["stream"], answer["problem"]["code"]) == ("error", stream, "job_not_found")
        own = await submit(client, mina, QUICK)
        await socket.send(type="subscribe", stream=own)
        assert (await socket.until("closed"))[-1]["stream"] == own


async def test_so_many_streams_a_connection(
    client: httpx.AsyncClient, mina: Account, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "MAX_STREAMS", 2)
    first, second, third = [await submit(client, mina, HELD) for _ in range(3)]
    async with opened() as socket:
        for job_id in (first, second):
            await socket.send(type="subscribe", stream=job_id)
            await socket.until("subscribed", job_id)
        await socket.send(type="subscribe", stream=third)
        (*_, refused) = await socket.until("error")
        assert (refused["stream"], refused["problem"]["status"]) == (third, 429)
        gate().set()
        await socket.until("closed")  # which makes room
        await socket.send(type="subscribe", stream=third)
        await socket.until("subscribed", third)


async def test_all_jobs_live(client: httpx.AsyncClient, mina: Account, opened: Open) -> None:
    async with opened() as socket:
        await socket.send(type="subscribe", stream="jobs")
        (subscribed,) = await socket.until("subscribed")
        job_id = await submit(client, mina, QUICK)
        told: list[dict[str, Any]] = []
        while not told or told[-1]["data"]["status"] != "succeeded":
            told.append(await socket.next())
        assert [(m["data"]["id"], m["data"]["status"]) for m in told] == [
            (job_id, status) for status in ("queued", "running", "succeeded")
        ]
        assert [m["seq"] for m in told] == [subscribed["after"] + n for n in (1, 2, 3)]
        await socket.send(type="subscribe", stream="jobs", after=subscribed["after"] + 1)
        await socket.until("subscribed")
        assert [(await socket.next())["data"]["status"] for _ in range(2)] == ["running", "succeeded"]
        await socket.send(type="subscribe", stream="jobs", after=10**6)
        assert [message.get("event") for message in await socket.until("event")] == [None, "reset"]


async def test_a_stopping_server_does_not_say_that_jobs_have_ended(
    client: httpx.AsyncClient, mina: Account, opened: Open, app: FastAPI
) -> None:
    job_id = await submit(client, mina, HELD)
    async with opened() as socket:
        await socket.send(type="subscribe", stream=job_id)
        await socket.until("event")
        app.state.services.events.end_all()
        await socket.send(type="ping")
        assert "closed" not in {message["type"] for message in await socket.until("pong")}


async def test_a_client_that_stops_reading_is_closed_and_resumes(
    client: httpx.AsyncClient, mina: Account, opened: Open, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs nothing meanwhile, is told why, and goes on from its cursor without losing anything."""
    monkeypatch.setattr(connection, "SEND_SECONDS", 0.3)
    hub = app.state.services.events
    job_id = await submit(client, mina, {}, "test.large")
    seqs: list[int] = []
    async with opened(max_queue=1, max_size=None, compression=None) as socket:
        await socket.send(type="subscribe", stream=job_id)
        assert (await socket.next())["type"] == "subscribed"
        await until(lambda: len(hub._subscriptions) == 1)
        await until(lambda: not hub._subscriptions)
        with pytest.raises(ConnectionClosed) as closed:
            await socket.rest(seqs)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, "resume" in closed.value.rcvd.reason) == (1013, True)
    monkeypatch.setattr(connection, "SEND_SECONDS", 20)
    async with opened(max_size=None, compression=None) as socket:
        await socket.send(type="subscribe", stream=job_id, after=seqs[-1])
        seqs += [message["seq"] for message in await socket.until("closed") if message.get("seq")]
    assert seqs == list(range(1, 24 * 5 + 3))


async def test_a_client_that_never_reads_again_is_let_go(
    client: httpx.AsyncClient, mina: Account, opened: Open, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SEND_SECONDS", 0.1)
    monkeypatch.setattr(connection, "CLOSE_SECONDS", 0.1)
    served = asyncio.all_tasks()
    job_id = await submit(client, mina, {}, "test.large")
    async with opened(max_queue=1, max_size=None, compression=None, close_timeout=0.1) as socket:
        await socket.send(type="subscribe", stream=job_id)
        assert (await socket.next())["type"] == "subscribed"

        def serving() -> bool:
            names = {str(task.get_coro()) for task in asyncio.all_tasks() - served}
            return any("_follow_quietly" in name or "WebSocketsSansIOProtocol.run_asgi" in name for name in names)

        await until(serving)
        await until(lambda: not serving())
        assert app.state.services.events._subscriptions == {}
        socket.connection.transport.abort()


async def test_a_client_that_vanishes_leaves_nothing(
    client: httpx.AsyncClient, mina: Account, opened: Open, app: FastAPI
) -> None:
    hub = app.state.services.events
    job_id = await submit(client, mina, HELD)
    async with opened() as socket:
        await socket.send(type="subscribe", stream=job_id)
        await socket.send(type="subscribe", stream="jobs")
        await until(lambda: len(hub._subscriptions) == 2)
        socket.connection.transport.abort()
        await until(lambda: not hub._subscriptions)
