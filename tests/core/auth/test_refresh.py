import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from sqlalchemy import func, select, update
from structlog.testing import capture_logs

from tests.core.auth.conftest import Make, bearer, body, registered
from tests.core.http.small_app import assert_problem, settings_with
from yeoul.core.auth.sessions import GRACE
from yeoul.core.auth.tables import AuthSession, User
from yeoul.core.auth.tokens import Tokens
from yeoul.core.db.database import Database


async def refresh(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/api/auth/refresh", json={"refresh_token": token})


async def change(database: Database, **values: Any) -> None:
    async with database.as_service("test") as session:
        await session.execute(update(AuthSession).values(**values))


async def pass_grace(database: Database) -> None:
    await change(database, rotated_at=func.now() - GRACE - timedelta(seconds=1))


def jti(token: str) -> str:
    return str(jwt.decode(token, options={"verify_signature": False})["jti"])


async def test_refresh_gives_the_next_pair(program: Make) -> None:
    client = await program()
    made = await registered(client)
    response = await refresh(client, made["refresh_token"])
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert "set-cookie" not in response.headers
    fresh = response.json()
    assert set(fresh) == set(made)
    assert fresh["user"] == made["user"]
    assert jti(fresh["refresh_token"]) != jti(made["refresh_token"])
    assert (await client.get("/api/me", headers=bearer(fresh["access_token"]))).status_code == 200


async def test_a_chain_of_refreshes_extends_the_session(program: Make, database: Database) -> None:
    client = await program()
    token = (await registered(client))["refresh_token"]
    await change(database, expires_at=func.now() + timedelta(days=1))
    for _ in range(5):
        token = (await refresh(client, token)).json()["refresh_token"]
    async with database.as_service("test") as session:
        assert (await session.scalars(select(AuthSession.expires_at))).one() > datetime.now(UTC) + timedelta(days=29)


async def test_a_used_token_ends_the_whole_session(program: Make, database: Database) -> None:
    client = await program()
    first = (await registered(client))["refresh_token"]
    second = (await refresh(client, first)).json()["refresh_token"]
    await pass_grace(database)
    with capture_logs() as logs:
        problem = assert_problem(await refresh(client, first), 401, "session_ended")
    assert "Sign in again" in problem["detail"]
    assert any("used refresh token" in line["event"] for line in logs)
    assert_problem(await refresh(client, second), 401, "session_ended")


async def test_a_token_two_uses_old_ends_the_session_even_within_the_grace(program: Make) -> None:
    client = await program()
    first = (await registered(client))["refresh_token"]
    second = (await refresh(client, first)).json()["refresh_token"]
    third = (await refresh(client, second)).json()["refresh_token"]
    assert_problem(await refresh(client, first), 401, "session_ended")
    assert_problem(await refresh(client, third), 401, "session_ended")


async def test_reuse_ends_that_session_alone(program: Make, database: Database) -> None:
    client = await program()
    first = (await registered(client))["refresh_token"]
    other = (await client.post("/api/auth/login", json=body())).json()["refresh_token"]
    await refresh(client, first)
    await pass_grace(database)
    assert_problem(await refresh(client, first), 401, "session_ended")
    assert (await refresh(client, other)).status_code == 200


async def test_two_tabs_at_once_get_the_same_successor(program: Make) -> None:
    client = await program()
    first = (await registered(client))["refresh_token"]
    answers = await asyncio.gather(*(refresh(client, first) for _ in range(8)))
    assert {a.status_code for a in answers} == {200}
    (successor,) = {a.json()["refresh_token"] for a in answers}
    assert (await refresh(client, successor)).status_code == 200


async def test_after_the_grace_both_tabs_go_on_with_the_successor(program: Make, database: Database) -> None:
    client = await program()
    token = (await registered(client))["refresh_token"]
    for _ in range(3):
        one, two = await asyncio.gather(refresh(client, token), refresh(client, token))
        assert one.json()["refresh_token"] == two.json()["refresh_token"]
        token = two.json()["refresh_token"]
        await pass_grace(database)


async def test_signed_out_expired_and_disabled_sessions_are_over(program: Make, database: Database) -> None:
    client = await program()
    tokens = [(await registered(client, f"user{n}"))["refresh_token"] for n in range(4)]
    for token, end in zip(tokens, ("signed out", "expired", "disabled", "deleted"), strict=True):
        match end:
            case "signed out":
                await change(database, revoked_at=func.now())
            case "expired":
                await change(database, revoked_at=None, expires_at=func.now() - timedelta(seconds=1))
            case "disabled":
                await change(database, expires_at=func.now() + timedelta(days=1))
                await disable(database)
            case "deleted":
                await delete(database)
        assert_problem(await refresh(client, token), 401, "session_ended")


async def disable(database: Database) -> None:
    async with database.as_service("test") as session:
        await session.execute(update(User).values(disabled_at=func.now()))


async def delete(database: Database) -> None:
    async with database.as_service("test") as session:
        for user in await session.scalars(select(User)):
            await session.delete(user)


async def test_tokens_that_were_never_given_out_end_nothing(program: Make) -> None:
    """Who knows a session's id, but no token, cannot end it."""
    client = await program()
    made = await registered(client)
    session = jwt.decode(made["access_token"], options={"verify_signature": False})["sid"]
    claims = {"iss": "yeoul", "aud": "yeoul:refresh", "sid": session, "jti": "00" * 32, "exp": 99_999_999_999}
    for forged in (
        jwt.encode(claims, b"a key that is not the server's key"),
        made["access_token"],
        "",
        "x",
        made["refresh_token"][:-8] + "AAAAAAAA",
    ):
        assert_problem(await refresh(client, forged), 401, "token_invalid")
    assert (await refresh(client, made["refresh_token"])).status_code == 200


async def test_a_well_signed_token_of_no_session(program: Make) -> None:
    client = await program()
    settings = settings_with()
    stray = Tokens(settings.signing_key, 900).refresh(uuid4(), b"\0" * 32, datetime.now(UTC) + timedelta(days=1))
    assert_problem(await refresh(client, stray), 401, "session_ended")


@pytest.mark.parametrize("content", [None, b"{}", b'{"refresh_token": null}', b"null"])
async def test_without_any_token(program: Make, content: bytes | None) -> None:
    client = await program()
    headers = {"content-type": "application/json"} if content else {}
    response = await client.post("/api/auth/refresh", content=content, headers=headers)
    assert_problem(response, 401, "unauthenticated")
