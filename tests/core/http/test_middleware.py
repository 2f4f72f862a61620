import asyncio
from collections.abc import MutableMapping
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.requests import Request
from starlette.websockets import WebSocket
from structlog.testing import capture_logs

from tests.core.http.small_app import assert_problem, client_of, open_websocket, settings_with, small_app
from yeoul.core.http.middleware import USER_ID
from yeoul.core.http.security_headers import CONTENT_SECURITY_POLICY


def routes(app: FastAPI) -> FastAPI:
    @app.get("/plain/{name}")
    async def plain(name: str, request: Request) -> str:
        request.scope[USER_ID] = UUID(int=7)
        return name

    @app.get("/own-policy")
    async def own_policy() -> HTMLResponse:
        return HTMLResponse("", headers={"Content-Security-Policy": "default-src 'none'"})

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("bug")

    @app.websocket("/ws")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_text()  # the client leaves instead

    return app


@pytest.fixture
def app() -> FastAPI:
    return routes(small_app(settings_with()))


async def test_every_request_gets_an_id_of_its_own(app: FastAPI) -> None:
    async with client_of(app) as client:
        ids = {(await client.get("/plain/a")).headers["x-request-id"] for _ in range(3)}
    assert len({UUID(i) for i in ids}) == 3


@pytest.mark.parametrize("wanted", ["abc", "0af7651916cd43dd8448eb211c80319c", "a.b:c_d-e", "x" * 128])
async def test_a_sane_id_is_kept(app: FastAPI, wanted: str) -> None:
    async with client_of(app) as client:
        assert (await client.get("/plain/a", headers={"X-Request-ID": wanted})).headers["x-request-id"] == wanted


@pytest.mark.parametrize("wanted", ["", "x" * 129, "a b", 'a"b', "<script>", "a\tb", "é"])
async def test_an_insane_id_is_replaced(app: FastAPI, wanted: str) -> None:
    async with client_of(app) as client:
        response = await client.get("/plain/a", headers={b"X-Request-ID": wanted.encode()})
    assert UUID(response.headers["x-request-id"])


async def test_one_line_per_request(app: FastAPI) -> None:
    async with client_of(app) as client:
        with capture_logs() as logs:
            await client.get("/plain/a%0Ab?token=secret")
    (line,) = logs
    assert line.pop("ms") >= 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "path": "/plain/a%0Ab",
        "status": 200,
        "user_id": str(UUID(int=7)),
    }


@pytest.mark.parametrize(
    ("path", "level"), [("/health", "debug"), ("/up", "debug"), ("/metrics", "debug"), ("/nowhere", "info")]
)
async def test_probes_are_logged_quietly(app: FastAPI, path: str, level: str) -> None:
    async with client_of(app) as client:
        with capture_logs() as logs:
            await client.get(path)
    assert [line["log_level"] for line in logs] == [level]


async def test_failed_requests_are_warnings(app: FastAPI) -> None:
    async with client_of(app) as client:
        with capture_logs() as logs:
            await client.get("/bug")
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("request failed", "error"),
        ("request", "warning"),
    ]


async def test_websocket_gets_an_id_and_a_line_and_may_leave(app: FastAPI) -> None:
    with capture_logs() as logs:
        sent = await open_websocket(app, "/ws", {"x-request-id": "mine"})
    assert (b"x-request-id", b"mine") in list(sent[0]["headers"])
    assert [(line["event"], line["method"], line["status"]) for line in logs] == [("request", "WEBSOCKET", 101)]


@pytest.mark.parametrize("path", ["/plain/a", "/nowhere", "/bug", "/up", "/too-large"])
async def test_security_headers_are_on_everything(app: FastAPI, path: str) -> None:
    async with client_of(app) as client:
        if path == "/too-large":
            response = await client.post(path, content=b"x" * 2_000_000)
            assert response.status_code == 413
        else:
            response = await client.get(path)
    assert response.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"
    assert response.headers["referrer-policy"] == "strict-origin-when-cross-origin"
    assert response.headers["cross-origin-opener-policy"] == "same-origin"
    assert "camera=()" in response.headers["permissions-policy"]
    assert "strict-transport-security" not in response.headers


async def test_a_route_may_have_its_own_policy(app: FastAPI) -> None:
    async with client_of(app) as client:
        response = await client.get("/own-policy")
    assert response.headers.get_list("content-security-policy") == ["default-src 'none'"]


async def test_hsts_where_the_public_address_is_https() -> None:
    async with client_of(small_app(settings_with(public_url="https://ai.example.com"))) as client:
        response = await client.get("/up")
    assert response.headers["strict-transport-security"] == "max-age=31536000"


async def test_no_cors_unless_set(app: FastAPI) -> None:
    async with client_of(app) as client:
        response = await client.get("/up", headers={"Origin": "https://app.example.com"})
    assert not [name for name in response.headers if name.startswith("access-control")]


async def test_cors_for_the_allowed_origins_alone() -> None:
    app = routes(small_app(settings_with(allowed_origins="https://app.example.com/, http://localhost:3000")))
    async with client_of(app) as client:
        for origin in ("https://app.example.com", "http://localhost:3000"):
            preflight = await client.options(
                "/plain/a",
                headers={
                    "Origin": origin,
                    "Access-Control-Request-Method": "POST",
                    "Access-Control-Request-Headers": "authorization,idempotency-key",
                },
            )
            assert preflight.status_code == 200
            assert preflight.headers["access-control-allow-origin"] == origin
            assert preflight.headers["access-control-allow-credentials"] == "true"
            failed = await client.get("/bug", headers={"Origin": origin})
            assert_problem(failed, 500, "internal")
            assert failed.headers["access-control-allow-origin"] == origin
            assert "X-Request-ID" in failed.headers["access-control-expose-headers"]
        foreign = await client.get("/plain/a", headers={"Origin": "https://evil.example.com"})
        assert "access-control-allow-origin" not in foreign.headers


async def test_cors_for_everybody_is_without_cookies() -> None:
    async with client_of(small_app(settings_with(allowed_origins="*"))) as client:
        response = await client.get("/up", headers={"Origin": "https://any.example.com"})
    assert response.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in response.headers


async def test_a_request_that_a_stopping_server_gives_up_is_told_to_come_again() -> None:
    """The server cancels it: it may have been done, so it is no 500, and the client asks again elsewhere."""
    app, begun = small_app(settings_with()), asyncio.Event()

    @app.get("/long")
    async def long() -> None:
        begun.set()
        await asyncio.Event().wait()

    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": "/long", "raw_path": b"/long", "query_string": b"", "headers": [],
        "client": ("127.0.0.1", 1), "server": ("yeoul.test", 80), "scheme": "http", "http_version": "1.1",
    }  # fmt: skip
    request = asyncio.create_task(app(scope, receive, send))
    await begun.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    start, body = sent
    assert start["status"] == 503
    assert (b"retry-after", b"2") in start["headers"]
    assert b'"unavailable"' in body["body"]
