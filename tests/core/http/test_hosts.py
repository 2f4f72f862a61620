"""Names this server answers to."""

import httpx
import pytest
from fastapi import FastAPI

from tests.core.http.small_app import open_websocket, settings_with
from yeoul.core.http.hosts import HostMiddleware, allowed_hosts


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, set()),
        ({"host": "::1"}, set()),
        ({"host": "localhost"}, set()),
        ({"host": "0.0.0.0"}, None),  # noqa: S104  (not bound)
        ({"host": "10.0.0.5"}, None),
        ({"host": "0.0.0.0", "public_url": "https://AI.example.com:8443/x"}, {"ai.example.com"}),  # noqa: S104
        ({"public_url": "https://ai.example.com", "allowed_hosts": "a.test, B.test"}, {"a.test", "b.test"}),
        ({"allowed_hosts": "*"}, None),
    ],
)
def test_which_names(fields: dict[str, str], names: set[str] | None) -> None:
    assert allowed_hosts(settings_with(**({"allowed_hosts": []} | fields))) == names


def app_for(*names: str) -> FastAPI:
    app = FastAPI()

    @app.get("/")
    @app.get("/health")
    def hello() -> str:
        return "hello"

    app.add_middleware(HostMiddleware, names=frozenset(names))
    return app


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        ("ai.example.com", "/", 200),
        ("AI.example.com:8000", "/", 200),
        ("ai.example.com.", "/", 200),
        ("localhost:8000", "/", 200),
        ("yeoul.localhost", "/", 200),
        ("127.0.0.1:8000", "/", 200),
        ("[::1]:8000", "/", 200),
        ("10.0.0.5", "/", 200),
        ("evil.example.com", "/", 421),
        ("evil.example.com:8000", "/", 421),
        ("127.0.0.1.evil.example.com", "/", 421),
        ("ai.example.com@evil.example.com", "/", 421),
        ("localhost.evil.example.com", "/", 421),
        ("2130706433", "/", 421),
        ("[", "/", 421),
        ("", "/", 421),
        ("evil.example.com", "/health", 200),
    ],
)
async def test_what_is_answered(host: str, path: str, status: int) -> None:
    transport = httpx.ASGITransport(app_for("ai.example.com"))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        answer = await client.get(path, headers={"Host": host})
    assert answer.status_code == status
    if status == 421:
        assert answer.json()["code"] == "unknown_host"
        assert "YEOUL_ALLOWED_HOSTS" in answer.json()["detail"]


async def test_a_websocket_is_refused_before_it_opens() -> None:
    app = app_for("ai.example.com")
    (refused,) = await open_websocket(app, "/ws", {"host": "evil.example.com"})
    assert refused["type"] == "websocket.close"


async def test_the_whole_server(client: httpx.AsyncClient) -> None:
    refused = await client.get("/signin", headers={"Host": "rebound.example.com"})
    assert refused.status_code == 421
    assert "content-security-policy" in refused.headers
    assert (await client.get("/signin")).status_code == 200
    assert (await client.get("/health", headers={"Host": "rebound.example.com"})).status_code == 200
