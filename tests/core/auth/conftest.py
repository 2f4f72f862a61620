"""The auth room's application on a fresh database, and how programs and pages talk to it."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import jwt
import psycopg
import pytest
from fastapi import FastAPI
from psycopg import sql
from sqlalchemy import delete
from starlette.requests import Request
from starlette.websockets import WebSocket

from tests.conftest import TEMPLATE
from tests.core.auth.issuer import AUDIENCE, FakeIssuer, fake_issuer
from tests.core.http.small_app import HOST, client_of, settings_with, small_app
from yeoul.core.auth.dependencies import AdminPrincipal, CurrentPrincipal, OptionalPrincipal, signed_in_before
from yeoul.core.auth.tables import LoginAttempt, User
from yeoul.core.auth.tokens import ACCESS, Tokens
from yeoul.core.base.ids import new_id
from yeoul.core.db import migrate
from yeoul.core.db.database import Database
from yeoul.core.db.embedded import EmbeddedServer

PASSWORD = "a long passphrase"
BROWSER = {"Origin": HOST, "Sec-Fetch-Site": "same-origin"}

Make = Callable[..., Awaitable[httpx.AsyncClient]]


def body(user: str = "mina", password: str = PASSWORD, **more: Any) -> dict[str, Any]:
    return {"email": f"{user}@example.com", "password": password, **more}


def auth_app(database: Database, **settings: Any) -> FastAPI:
    """The room, and routes that want a principal."""
    app = small_app(settings_with(**settings), database)

    @app.get("/who")
    @app.post("/who")
    async def who(principal: CurrentPrincipal) -> list[str]:
        return [str(principal.user_id), principal.role, principal.via]

    @app.api_route("/any", methods=["GET", "HEAD", "OPTIONS", "POST", "DELETE"], include_in_schema=False)
    async def anything(principal: CurrentPrincipal) -> str:
        return principal.via

    @app.get("/maybe")
    async def maybe(principal: OptionalPrincipal, request: Request) -> list[bool]:
        return [principal is not None, signed_in_before(request)]

    @app.get("/admin")
    async def admin(principal: AdminPrincipal) -> str:
        return principal.role

    @app.websocket("/ws")
    async def socket(websocket: WebSocket, principal: CurrentPrincipal) -> None:
        await websocket.accept()
        await websocket.send_text(f"{principal.user_id} {principal.via}")
        await websocket.close()

    return app


@asynccontextmanager
async def running(database: Database, **settings: Any) -> AsyncGenerator[FastAPI]:
    """The application from its start to its end."""
    app = auth_app(database, **settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture(scope="session")
def one_database(postgres: EmbeddedServer) -> str:
    """The name of one database for this whole folder: a fresh one per test would take longer than the tests."""
    name = f"auth_{new_id().hex}"
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(TEMPLATE))
    with psycopg.connect(postgres.url("postgres", "postgres"), autocommit=True) as connection:
        connection.execute(statement)
    return name


@pytest.fixture
async def database(postgres: EmbeddedServer, one_database: str) -> AsyncGenerator[Database]:
    """That database, without any account."""
    urls = (postgres.url(role, one_database) for role in (migrate.APP, migrate.SERVICE))
    database = Database(*urls, pool_size=4)
    async with database.as_service("test: start with nobody") as session:
        await session.execute(delete(User))
        await session.execute(delete(LoginAttempt))
    yield database
    await database.close()


@pytest.fixture
async def program(database: Database) -> AsyncGenerator[Make]:
    """Makes clients as programs are: ``await program(registration="closed")`` with settings of its own."""
    async with AsyncExitStack() as stack:

        async def make(address: str = "127.0.0.1", **settings: Any) -> httpx.AsyncClient:
            app = await stack.enter_async_context(running(database, **settings))
            return await stack.enter_async_context(client_of(app, address))

        yield make


@pytest.fixture
async def page(database: Database) -> AsyncGenerator[Make]:
    """Makes clients as pages of ours are: with the headers browsers add, and a cookie jar."""
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> httpx.AsyncClient:
            app = await stack.enter_async_context(running(database, **settings))
            return await stack.enter_async_context(client_of(app, headers=BROWSER))

        yield make


@pytest.fixture
async def issuer() -> AsyncGenerator[FakeIssuer]:
    """An outside provider."""
    async with fake_issuer() as running:
        yield running


def trusting(issuer: FakeIssuer, **more: Any) -> dict[str, Any]:
    """The settings that trust it."""
    return {"trusted_issuers": [{"issuer": issuer.url, "audience": AUDIENCE, **more}]}


async def registered(client: httpx.AsyncClient, user: str = "mina", **more: Any) -> dict[str, Any]:
    response = await client.post("/api/auth/register", json=body(user, **more))
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def expired(access_token: str) -> str:
    """The same token, well signed, of a time that is over."""
    claims = jwt.decode(access_token, options={"verify_signature": False})
    key = Tokens(settings_with().signing_key, 60)._keys[ACCESS]
    return jwt.encode({**claims, "exp": claims["iat"] - 10}, key, "HS256")
