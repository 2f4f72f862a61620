"""Principals of routes and sockets, sign-out of programs, and what the tenant scope shows."""

import json

import httpx
import pytest
from sqlalchemy import select, text
from structlog.testing import capture_logs

from tests.core.auth.conftest import Make, auth_app, bearer, expired, registered
from tests.core.http.small_app import HOST, assert_problem, client_of, open_websocket
from yeoul.core.auth.dependencies import ACCESS_COOKIE
from yeoul.core.auth.tables import AuthSession, User
from yeoul.core.db.database import Database


async def test_visitors(program: Make) -> None:
    client = await program()
    for path in ("/who", "/api/me", "/admin"):
        response = await client.get(path)
        assert_problem(response, 401, "unauthenticated")
        assert response.headers["www-authenticate"] == "Bearer"
    assert (await client.get("/maybe")).json() == [False, False]


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "bearer\t", "Basic eDp5", "Token x", ""])
async def test_headers_that_hold_no_bearer_token(program: Make, header: str) -> None:
    client = await program()
    assert_problem(await client.get("/who", headers={"Authorization": header}), 401, "token_invalid")


async def test_the_scheme_has_no_case(program: Make) -> None:
    client = await program()
    token = (await registered(client))["access_token"]
    assert (await client.get("/who", headers={"Authorization": f"bEARER {token}"})).status_code == 200


async def test_admins_alone(program: Make) -> None:
    client = await program()
    first, second = await registered(client, "a"), await registered(client, "b")
    assert (await client.get("/admin", headers=bearer(first["access_token"]))).json() == "admin"
    assert_problem(await client.get("/admin", headers=bearer(second["access_token"])), 403, "admin_only")


async def test_the_user_is_in_the_log_of_their_request_alone(program: Make) -> None:
    client = await program()
    made = await registered(client)
    with capture_logs() as logs:
        await client.get("/who", headers=bearer(made["access_token"]))
        await client.get("/maybe")
    assert [line.get("user_id") for line in logs] == [made["user"]["id"], None]


async def test_websockets_of_programs_and_pages(database: Database) -> None:
    app = auth_app(database)
    async with client_of(app) as client:
        made = await registered(client)
    token, user = made["access_token"], made["user"]["id"]
    program = await open_websocket(app, "/ws", bearer(token))
    assert program[1]["text"] == f"{user} bearer"
    page = await open_websocket(app, "/ws", {"cookie": f"{ACCESS_COOKIE}={token}", "origin": HOST})
    assert page[1]["text"] == f"{user} cookie"


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "unauthenticated"),
        ({"authorization": "Bearer x"}, 401, "token_invalid"),
        ({"cookie": "TOKEN", "origin": "https://evil.example.com"}, 403, "csrf"),
        ({"cookie": "TOKEN"}, 403, "csrf"),
    ],
)
async def test_websockets_of_others(database: Database, headers: dict[str, str], status: int, code: str) -> None:
    app = auth_app(database)
    async with client_of(app) as client:
        token = (await registered(client))["access_token"]
    sent = await open_websocket(
        app, "/ws", {k: v.replace("TOKEN", f"{ACCESS_COOKIE}={token}") for k, v in headers.items()}
    )
    assert sent[0]["status"] == status
    assert json.loads(sent[1]["body"])["code"] == code


async def _session_open(database: Database) -> bool:
    async with database.as_service("test") as session:
        return (await session.scalars(select(AuthSession.revoked_at))).one() is None


@pytest.mark.parametrize("by", ["access", "expired access", "refresh", "refresh, used before"])
async def test_programs_sign_out_with_any_of_their_tokens(program: Make, database: Database, by: str) -> None:
    client = await program(access_token_seconds=60)
    made = await registered(client)
    if by == "access":
        response = await client.post("/api/auth/logout", headers=bearer(made["access_token"]))
    elif by == "expired access":
        token = expired(made["access_token"])
        assert_problem(await client.get("/who", headers=bearer(token)), 401, "token_expired")
        response = await client.post("/api/auth/logout", headers=bearer(token))
    else:
        if by == "refresh, used before":
            await client.post("/api/auth/refresh", json={"refresh_token": made["refresh_token"]})
        response = await client.post("/api/auth/logout", json={"refresh_token": made["refresh_token"]})
    assert response.status_code == 204
    assert not await _session_open(database)
    refreshed = await client.post("/api/auth/refresh", json={"refresh_token": made["refresh_token"]})
    assert_problem(refreshed, 401, "session_ended")


async def test_signing_out_with_a_token_of_nobody_ends_nothing_and_says_so(program: Make, database: Database) -> None:
    client = await program()
    made = await registered(client)
    bad = made["access_token"][:-8] + "AAAAAAAA"
    assert_problem(await client.post("/api/auth/logout", headers=bearer(bad)), 401, "token_invalid")
    assert_problem(await client.post("/api/auth/logout", json={"refresh_token": "x"}), 401, "token_invalid")
    assert await _session_open(database)
    assert (await client.post("/api/auth/logout")).status_code == 204


async def test_an_access_token_outlives_its_session_until_it_expires(program: Make) -> None:
    client = await program()
    made = await registered(client)
    await client.post("/api/auth/logout", json={"refresh_token": made["refresh_token"]})
    assert (await client.get("/who", headers=bearer(made["access_token"]))).status_code == 200


async def test_a_deleted_users_token_shows_nothing(program: Make, database: Database) -> None:
    client = await program()
    made = await registered(client)
    async with database.as_service("test") as session:
        await session.delete((await session.scalars(select(User))).one())
    assert_problem(await client.get("/api/me", headers=bearer(made["access_token"])), 401, "session_ended")


async def test_the_tenant_scope_shows_ones_own_account_and_no_secret(program: Make, database: Database) -> None:
    client = await program()
    mine, _ = await registered(client, "a"), await registered(client, "b")
    async with database.as_user(mine["user"]["id"]) as session:
        assert (await session.scalars(select(User.email))).all() == ["a@example.com"]
    for forbidden in ("password_hash FROM users", "* FROM sessions", "* FROM login_attempts"):
        async with database.as_user(mine["user"]["id"]) as session:
            with pytest.raises(Exception, match="permission denied"):
                await session.execute(text(f"SELECT {forbidden}"))
            await session.rollback()


async def test_openapi_documents_the_shapes(program: Make) -> None:
    client: httpx.AsyncClient = await program()
    document = (await client.get("/openapi.json")).json()
    me = document["paths"]["/api/me"]["get"]
    assert me["security"] == [{"HTTPBearer": []}]
    register = document["paths"]["/api/auth/register"]["post"]
    assert register["responses"]["201"]["content"]["application/json"]["schema"]["$ref"].endswith("/SignedIn")
    assert "application/problem+json" in register["responses"]["default"]["content"]
    assert "422" not in register["responses"]
