"""Streams and WebSockets end with the session or the key that opened them, and with no other."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import update
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.conftest import Account, Register
from tests.core.runtime.helpers import until
from yeoul.core.auth import middleware
from yeoul.core.auth.tables import User

Headers = dict[str, str]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "LOOK_SECONDS", 0.05)


@pytest.fixture
async def admin(register: Register) -> Account:
    return await register("admin")


@pytest.fixture
async def mina(admin: Account, register: Register) -> Account:
    return await register("mina")


@asynccontextmanager
async def stream(address: str, headers: Headers) -> AsyncGenerator[Callable[[], Awaitable[object]]]:
    """An open event stream; gives what waits for its end."""
    async with (
        httpx.AsyncClient(base_url=address, headers=headers, timeout=20) as client,
        client.stream("GET", "/api/jobs/live") as response,
    ):
        assert response.status_code == 200, (await response.aread()).decode()
        chunks = response.aiter_bytes()
        assert await anext(chunks) == b": open\n\n"

        async def over() -> object:
            return [chunk async for chunk in chunks]

        yield over


@asynccontextmanager
async def socket(address: str, headers: Headers) -> AsyncGenerator[Callable[[], Awaitable[object]]]:
    """The same of a WebSocket that follows something; its end is why it was closed."""
    async with connect(address.replace("http", "ws", 1) + "/api/ws", additional_headers=headers) as connection:
        await connection.send('{"type": "subscribe", "stream": "jobs"}')
        assert json.loads(await connection.recv())["type"] == "subscribed"

        async def over() -> object:
            with suppress(ConnectionClosed):
                await connection.recv()
            return (connection.close_code, connection.close_reason)

        yield over


async def again(client: httpx.AsyncClient, account: Account) -> Headers:
    """Another sign-in of theirs."""
    response = await client.post("/api/auth/login", json={"email": account.email, "password": "correct horse battery"})
    return {"Authorization": f"Bearer {response.json()['access_token']}"}


async def key(client: httpx.AsyncClient, account: Account) -> tuple[Headers, UUID]:
    made = (await client.post("/api/keys", json={"name": "x"}, headers=account.headers)).json()
    return {"Authorization": f"Bearer {made['key']}"}, UUID(made["id"])


async def still_open(over: Callable[[], Awaitable[object]]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await over()


@pytest.mark.parametrize("opened", [stream, socket])
async def test_signing_out_ends_what_that_session_opened(
    client: httpx.AsyncClient, address: str, mina: Account, opened: Callable[..., object]
) -> None:
    other = await again(client, mina)
    async with opened(address, mina.headers) as over, opened(address, other) as others:  # type: ignore[attr-defined]
        await client.post("/api/auth/logout", headers=mina.headers)
        async with asyncio.timeout(10):
            assert await over() in ([], (1008, "Sign in again."))
        await still_open(others)


@pytest.mark.parametrize("opened", [stream, socket])
async def test_a_session_that_has_ended_opens_nothing(
    client: httpx.AsyncClient, address: str, mina: Account, opened: Callable[..., object]
) -> None:
    """Its access token is good for some minutes more, for requests that are over at once."""
    await client.post("/api/auth/logout", headers=mina.headers)
    assert (await client.get("/api/me", headers=mina.headers)).status_code == 200
    with pytest.raises((AssertionError, InvalidStatus), match=r'"code": "session_ended"|HTTP 401'):
        async with opened(address, mina.headers):  # type: ignore[attr-defined]
            pass


async def test_signing_out_everywhere_ends_everything(
    app: FastAPI, client: httpx.AsyncClient, address: str, admin: Account, mina: Account
) -> None:
    other = await again(client, mina)
    async with (
        stream(address, mina.headers) as first,
        socket(address, other) as second,
        stream(address, admin.headers) as somebody,
    ):
        await client.post("/api/auth/logout?everywhere=true", headers=mina.headers)
        async with asyncio.timeout(10):
            await asyncio.gather(first(), second())
        await still_open(somebody)
        await until(lambda: len(middleware.openings(app)._open) == 1)


@pytest.mark.parametrize("opened", [stream, socket])
async def test_a_revoked_key_ends_what_it_opened(
    client: httpx.AsyncClient, address: str, mina: Account, opened: Callable[..., object]
) -> None:
    (revoked, key_id), (kept, _) = await key(client, mina), await key(client, mina)
    async with opened(address, revoked) as over, opened(address, kept) as others:  # type: ignore[attr-defined]
        await client.delete(f"/api/keys/{key_id}", headers=mina.headers)
        async with asyncio.timeout(10):
            await over()
        await still_open(others)


async def test_a_disabled_account_is_told_nothing_more(
    app: FastAPI, address: str, admin: Account, mina: Account
) -> None:
    async with socket(address, mina.headers) as over, socket(address, admin.headers) as others:
        async with app.state.services.database.as_service("test") as session:
            await session.execute(update(User).where(User.id == mina.id).values(disabled_at=datetime.now(UTC)))
        async with asyncio.timeout(10):
            await over()
        await still_open(others)


async def test_a_database_that_is_away_ends_nothing(
    address: str, mina: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = 0

    async def away(*_: object) -> set[UUID]:
        nonlocal looked
        looked += 1
        raise OSError("away")

    async with stream(address, mina.headers) as over:
        monkeypatch.setattr("yeoul.core.auth.repository.good_credentials", away)
        await still_open(over)
        async with stream(address, mina.headers):
            pass
    assert looked > 2
