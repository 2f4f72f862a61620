from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.types import Message, Receive, Scope, Send

from tests.core.http.small_app import assert_problem, client_of, settings_with, small_app
from yeoul.core.base.errors import Unauthenticated
from yeoul.core.http.body_limit import BodyLimitMiddleware, _RefusedError

LIMIT = 1024


@pytest.fixture
def app() -> FastAPI:
    app = small_app(settings_with(max_body_bytes=LIMIT), larger_bodies={"/large": 3 * LIMIT})
    app.state.reads = 0

    @app.post("/json")
    async def take_json(body: dict[str, Any]) -> int:
        app.state.reads += 1
        return len(body["text"])

    @app.post("/raw")
    async def take_raw(request: Request) -> int:
        return len(await request.body())

    @app.post("/large")
    async def take_large(request: Request) -> int:
        return len(await request.body())

    @app.post("/ignore")
    async def ignore() -> str:
        return "fine"

    return app


async def pieces(total: int, size: int = 100) -> AsyncIterator[bytes]:
    for start in range(0, total, size):
        yield b"x" * min(size, total - start)


async def test_stated_length_over_the_limit_is_refused_unread(app: FastAPI) -> None:
    async with client_of(app) as client:
        response = await client.post("/json", json={"text": "x" * LIMIT})
    problem = assert_problem(response, 413, "too_large")
    assert "1,024" in problem["detail"]
    assert app.state.reads == 0


async def test_a_path_that_takes_more(app: FastAPI) -> None:
    async with client_of(app) as client:
        assert (await client.post("/large", content=b"x" * 3 * LIMIT)).json() == 3 * LIMIT
        response = await client.post("/large", content=b"x" * (3 * LIMIT + 1))
    assert "3,072" in assert_problem(response, 413, "too_large")["detail"]


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize(("size", "asked"), [(LIMIT, 0), (LIMIT + 1, 1), (3 * LIMIT, 1)])
async def test_more_is_read_only_for_whom_it_may_be(stated: bool, size: int, asked: int) -> None:
    """A visitor gets as far as anybody, and is told who may go on."""
    allowed, looked, read = False, 0, 0

    async def admit(_request: Request) -> None:
        nonlocal looked
        looked += 1
        if not allowed:
            raise Unauthenticated("Sign in first.")

    async def told() -> AsyncIterator[bytes]:
        nonlocal read
        async for piece in pieces(size):
            read += len(piece)
            yield piece

    app = small_app(settings_with(max_body_bytes=LIMIT), larger_bodies={"/large": 3 * LIMIT}, admit=admit)

    @app.post("/large")
    async def take_large(request: Request) -> int:
        return len(await request.body())

    async with client_of(app) as client:
        headers = {"Content-Length": str(size)} if stated else {}
        response = await client.post("/large", content=told(), headers=headers)
        if asked:
            assert_problem(response, 401, "unauthenticated")
            assert read <= (0 if stated else LIMIT + 100)
        else:
            assert response.json() == size
        assert looked == asked
        allowed, looked = True, 0
        assert (await client.post("/large", content=told(), headers=headers)).json() == size
        assert looked == asked


@pytest.mark.parametrize("path", ["/raw", "/json"])
async def test_chunks_over_the_limit_are_refused_when_they_pass_it(app: FastAPI, path: str) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'{"text": "'
        while True:
            sent += 100
            assert sent < 10 * LIMIT
            yield b"x" * 100

    async with client_of(app) as client:
        response = await client.post(path, content=endless(), headers={"content-type": "application/json"})
    assert_problem(response, 413, "too_large")
    assert sent <= LIMIT + 100
    assert app.state.reads == 0


@pytest.mark.parametrize("chunked", [True, False])
async def test_the_limit_itself_is_allowed(app: FastAPI, chunked: bool) -> None:
    async with client_of(app) as client:
        exact = await client.post("/raw", content=pieces(LIMIT) if chunked else b"x" * LIMIT)
        over = await client.post("/raw", content=pieces(LIMIT + 1) if chunked else b"x" * (LIMIT + 1))
    assert exact.json() == LIMIT
    assert_problem(over, 413, "too_large")


async def test_body_nobody_reads_costs_nothing(app: FastAPI) -> None:
    async with client_of(app) as client:
        response = await client.post("/ignore", content=pieces(10 * LIMIT))
    assert response.json() == "fine"


async def test_limit_passed_in_mid_answer_cuts_it() -> None:
    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": (await receive())["body"], "more_body": True})

    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"x" * 100, "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(_RefusedError):
        await BodyLimitMiddleware(echo, limit=250)({"type": "http", "path": "/", "headers": []}, receive, send)
    assert [m["type"] for m in sent] == ["http.response.start", "http.response.body", "http.response.body"]


@pytest.mark.parametrize(("path", "most"), [("/images", 500), ("/small", 100), ("/images/", 100), ("/", 100)])
async def test_paths_with_limits_of_their_own(path: str, most: int) -> None:
    async def read(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def status(size: int) -> int:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"x" * size, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        limited = BodyLimitMiddleware(read, limit=100, larger={"/images": 500, "/small": 50})
        await limited({"type": "http", "path": path, "headers": [(b"content-length", b"%d" % size)]}, receive, send)
        found: int = sent[0]["status"]
        return found

    assert [await status(size) for size in (most, most + 1)] == [200, 413]
