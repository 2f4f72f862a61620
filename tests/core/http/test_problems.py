import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import psycopg
import pytest
import sqlalchemy.exc
from fastapi import FastAPI, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, SecretStr
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocket
from structlog.testing import capture_logs

from tests.core.http.small_app import assert_problem, client_of, open_websocket, settings_with, small_app
from yeoul.core.base.errors import Conflict, InvalidInput, Unauthenticated, Unavailable, YeoulError
from yeoul.core.http.ratelimit import Policy, RateLimited


class Login(BaseModel):
    model_config = {"extra": "forbid"}

    name: Annotated[str, Field(min_length=3)]
    password: Annotated[SecretStr, Field(min_length=8)]


class Odd(YeoulError):
    """A fault of ours that has words."""


RAISED: dict[str, Exception] = {
    "conflict": Conflict("Busy. Wait until it ends.", job="j1"),
    "unauthenticated": Unauthenticated("Sign in first."),
    "unavailable": Unavailable("Come back.", retry_after=1.2),
    "fields": InvalidInput("Mend it.", errors=[{"loc": ["body", "x"], "message": "no"}]),
    "limited": RateLimited("Slow down.", policy=Policy("sign-in", 10, 900), retry_after=30.5),
    "odd": Odd("Our own words."),
    "teapot": HTTPException(418, "I'm a teapot"),
    "bug": RuntimeError("password=hunter2"),
    "database": sqlalchemy.exc.OperationalError("SELECT", {}, psycopg.OperationalError("server closed")),
    "pool": sqlalchemy.exc.TimeoutError("QueuePool limit"),
    "driver": psycopg.OperationalError("connection failed"),
}


@pytest.fixture
def app() -> FastAPI:
    app = small_app(settings_with())

    @app.get("/raise/{name}")
    async def raise_it(name: str) -> None:
        raise RAISED[name]

    @app.post("/login")
    async def login(body: Login, page: Annotated[int, Query(ge=1)] = 1) -> str:
        return body.name

    @app.get("/half")
    async def half() -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"half"
            raise RuntimeError("mid-stream")

        return StreamingResponse(body())

    @app.websocket("/ws/{name}")
    async def socket(websocket: WebSocket, name: str, accept: bool = True) -> None:
        if accept:
            await websocket.accept()
        raise RAISED[name]

    return app


async def get(app: FastAPI, path: str) -> httpx.Response:
    async with client_of(app) as client:
        return await client.get(path)


async def test_unknown_path(app: FastAPI) -> None:
    problem = assert_problem(await get(app, "/nowhere"), 404, "not_found")
    assert "/nowhere" in problem["detail"]


async def test_wrong_method_names_the_right_ones(app: FastAPI) -> None:
    async with client_of(app) as client:
        response = await client.delete("/login")
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


async def test_own_error_with_members(app: FastAPI) -> None:
    problem = assert_problem(await get(app, "/raise/conflict"), 409, "conflict")
    assert problem["detail"] == "Busy. Wait until it ends."
    assert problem["job"] == "j1"
    assert "errors" not in problem


async def test_own_error_with_fields(app: FastAPI) -> None:
    problem = assert_problem(await get(app, "/raise/fields"), 422, "invalid_input")
    assert problem["errors"] == [{"loc": ["body", "x"], "message": "no"}]


async def test_401_says_how_to_authenticate(app: FastAPI) -> None:
    response = await get(app, "/raise/unauthenticated")
    assert_problem(response, 401, "unauthenticated")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_retry_after_is_whole_seconds_never_too_early(app: FastAPI) -> None:
    response = await get(app, "/raise/unavailable")
    assert_problem(response, 503, "unavailable")
    assert response.headers["retry-after"] == "2"


async def test_rate_limit_headers(app: FastAPI) -> None:
    response = await get(app, "/raise/limited")
    assert_problem(response, 429, "rate_limited")
    assert response.headers["retry-after"] == "31"
    assert response.headers["ratelimit-policy"] == '"sign-in";q=10;w=900'
    assert response.headers["ratelimit"] == '"sign-in";r=0;t=31'


async def test_framework_refusal(app: FastAPI) -> None:
    assert_problem(await get(app, "/raise/teapot"), 418, "im_a_teapot")


@pytest.mark.parametrize("name", ["database", "pool", "driver"])
async def test_database_down_is_503_and_logged(app: FastAPI, name: str) -> None:
    with capture_logs() as logs:
        response = await get(app, f"/raise/{name}")
    assert_problem(response, 503, "unavailable")
    assert response.headers["retry-after"]
    assert [line["log_level"] for line in logs if "database" in line["event"]] == ["error"]


@pytest.mark.parametrize("path", ["/raise/bug", "/raise/odd"])
async def test_our_faults_are_logged_with_traceback(app: FastAPI, path: str) -> None:
    with capture_logs() as logs:
        response = await get(app, path)
    problem = assert_problem(response, 500, "internal")
    assert "hunter2" not in response.text
    assert ("request id" in problem["detail"]) == (path == "/raise/bug")
    failed = [line for line in logs if line["event"] == "request failed"]
    assert len(failed) == 1
    assert failed[0]["exc_info"]


async def test_fault_in_mid_stream_cuts_the_connection(app: FastAPI) -> None:
    with capture_logs() as logs, pytest.raises((RuntimeError, ExceptionGroup)):
        await get(app, "/half")
    assert any(line["event"] == "request failed" for line in logs)


async def test_validation_names_fields_and_echoes_nothing(app: FastAPI) -> None:
    async with client_of(app) as client:
        response = await client.post(
            "/login?page=0", json={"name": "ab", "password": "secret!", "extra": "also secret!"}
        )
    problem = assert_problem(response, 422, "invalid_input")
    assert [e["loc"] for e in problem["errors"]] == [
        ["query", "page"],
        ["body", "name"],
        ["body", "password"],
        ["body", "extra"],
    ]
    assert all(set(e) == {"loc", "message"} and e["message"] for e in problem["errors"])
    assert "secret!" not in response.text
    assert problem["detail"].endswith("and 1 more")


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'{"name": ', "application/json", 422),
        (b"", "application/json", 422),
        (b"[1]", "application/json", 422),
        (b"null", "application/json", 422),
        (b'{"name":"abc","password":"12345678"}', "text/plain", 422),
        (b"\xff\xfe\xff", "application/json", 422),
        (b'{"\\ud800": 1, "name": "abc", "password": "12345678"}', "application/json", 422),
        (b'{"name": "\\ud800bcd", "password": "12345678"}', "application/json", 422),
        (b"[" * 100_000, "application/json", 400),
        (b'{"name": 1e999, "password": 12}', "application/json", 422),
    ],
)
async def test_unreadable_bodies(app: FastAPI, body: bytes, content_type: str, status: int) -> None:
    async with client_of(app) as client:
        response = await client.post("/login", content=body, headers={"content-type": content_type})
    if body.startswith(b"\xff"):
        status = response.status_code  # depends on how the framework decodes; it must be the client's fault
        assert 400 <= status < 500
    assert_problem(response, status, "invalid_input" if status == 422 else "bad_request")


async def test_websocket_refused_before_the_handshake_gets_the_problem(app: FastAPI) -> None:
    start, body = await open_websocket(app, "/ws/unauthenticated", query="accept=false")
    assert start["status"] == 401
    headers = dict(start["headers"])
    problem = json.loads(body["body"])
    assert problem["code"] == "unauthenticated"
    assert problem["request_id"].encode() == headers[b"x-request-id"]
    assert headers[b"content-type"] == b"application/problem+json"


async def test_websocket_without_denial_support_is_closed(app: FastAPI) -> None:
    sent = await open_websocket(app, "/ws/unauthenticated", query="accept=false", denial=False)
    assert [(m["type"], m["code"]) for m in sent] == [("websocket.close", 1008)]


@pytest.mark.parametrize(("name", "close"), [("conflict", 1008), ("odd", 1011), ("bug", 1011), ("driver", 1011)])
async def test_websocket_error_after_the_handshake_closes_it(app: FastAPI, name: str, close: int) -> None:
    with capture_logs():
        sent = await open_websocket(app, f"/ws/{name}")
    assert [m["type"] for m in sent] == ["websocket.accept", "websocket.close"]
    assert sent[1]["code"] == close
    assert "hunter2" not in sent[1]["reason"]


async def test_websocket_bug_before_the_handshake_is_a_500(app: FastAPI) -> None:
    with capture_logs() as logs:
        sent = await open_websocket(app, "/ws/bug", query="accept=false")
    assert sent[0]["status"] == 500
    assert any(line["event"] == "request failed" for line in logs)


async def test_unknown_websocket_path(app: FastAPI) -> None:
    sent = await open_websocket(app, "/ws-nowhere")
    assert sent[0]["type"] in {"websocket.close", "websocket.http.response.start"}


async def test_cancelled_request_is_no_error(app: FastAPI) -> None:
    """Only a server that stops cancels what it does: the client is told to come back, and nothing is called wrong."""
    entered, forever = asyncio.Event(), asyncio.Event()

    @app.get("/slow")
    async def slow() -> None:
        entered.set()
        await forever.wait()

    with capture_logs() as logs:
        task = asyncio.create_task(get(app, "/slow"))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [(line["event"], line["status"]) for line in logs] == [("request", 503)]
