"""An application of the rooms ``core/http`` and ``core/auth`` alone, and ways to talk to it."""

from collections.abc import AsyncIterator, Mapping, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import FastAPI

from yeoul.core.auth.middleware import OpeningsMiddleware
from yeoul.core.auth.router import router as auth_router
from yeoul.core.base.readiness import Check
from yeoul.core.db.database import Database
from yeoul.core.http.body_limit import Admit
from yeoul.core.http.install import install
from yeoul.settings import Settings

HOST = "http://yeoul.test"

_CONNECT_AND_LEAVE: tuple[dict[str, Any], ...] = (
    {"type": "websocket.connect"},
    {"type": "websocket.disconnect", "code": 1000},
)


@dataclass
class SmallServices:
    settings: Settings
    database: Database | None = None
    readiness: dict[str, Check] = field(default_factory=dict)

    async def before_metrics(self) -> None:
        pass


def settings_with(**values: Any) -> Settings:
    """Settings that read nothing from this machine."""
    given = {"secret_key": "0123456789abcdef0123456789abcdef", "database_url": "postgresql://nowhere"}
    return Settings(_env_file=None, **{**given, "allowed_hosts": ["*"], **values})


def small_app(
    settings: Settings,
    database: Database | None = None,
    *,
    larger_bodies: dict[str, int] | None = None,
    admit: Admit | None = None,
) -> FastAPI:
    app = FastAPI()
    app.state.services = SmallServices(settings, database)
    app.add_middleware(OpeningsMiddleware)
    install(app, settings, larger_bodies=larger_bodies, admit=admit)
    app.include_router(auth_router)
    return app


@asynccontextmanager
async def client_of(app: FastAPI, address: str = "127.0.0.1", **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A program (no browser) at an address."""
    transport = httpx.ASGITransport(app, client=(address, 4321))
    async with httpx.AsyncClient(transport=transport, base_url=HOST, **options) as client:
        yield client


async def open_websocket(
    app: FastAPI, path: str, headers: Mapping[str, str] | None = None, *, query: str = "", denial: bool = True
) -> list[MutableMapping[str, Any]]:
    """What the application sends to a WebSocket that connects and then leaves."""
    sent: list[MutableMapping[str, Any]] = []
    incoming = iter(_CONNECT_AND_LEAVE)

    async def receive() -> MutableMapping[str, Any]:
        return next(incoming)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(k.lower().encode(), v.encode()) for k, v in {"host": "yeoul.test", **(headers or {})}.items()],
        "client": ("127.0.0.1", 4321),
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}} if denial else {},
    }
    await app(scope, receive, send)
    return sent


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Checks that this is the problem document of that code, and returns it."""
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    assert problem["type"] == f"/docs/errors#{code}"
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == response.headers["x-request-id"]
    return problem
