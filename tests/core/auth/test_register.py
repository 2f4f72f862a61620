import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.core.auth.conftest import PASSWORD, Make, bearer, body, registered
from tests.core.http.small_app import assert_problem
from yeoul.core.auth import passwords
from yeoul.core.auth.tables import AuthSession, User
from yeoul.core.db.database import Database


class Quick:
    """A hasher that takes no time."""

    def hash(self, _password: str) -> str:
        return "hashed"


async def test_the_answer_is_an_account_and_tokens(program: Make) -> None:
    client = await program()
    response = await client.post("/api/auth/register", json=body(name="Mina") | {"email": " Mina@Example.com "})
    assert response.status_code == 201
    assert response.headers["cache-control"] == "no-store"
    made = response.json()
    assert set(made) == {"user", "access_token", "token_type", "expires_in", "refresh_token"}
    assert (made["token_type"], made["expires_in"]) == ("bearer", 900)
    user = made["user"]
    assert set(user) == {"id", "email", "name", "role", "created_at"}
    assert (user["email"], user["name"], user["role"]) == ("mina@example.com", "Mina", "admin")
    assert abs(datetime.fromisoformat(user["created_at"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert "set-cookie" not in response.headers  # a program

    me = await client.get("/api/me", headers=bearer(made["access_token"]))
    assert me.json() == user


async def test_what_is_stored_is_no_secret(program: Make, database: Database) -> None:
    client = await program()
    made = await registered(client)
    async with database.as_service("test") as session:
        user = (await session.scalars(select(User))).one()
        opened = (await session.scalars(select(AuthSession))).one()
    assert user.password_hash
    assert user.password_hash.startswith("$argon2id$")
    assert len(opened.refresh_hash) == 32
    assert opened.refresh_hash.hex() not in made["refresh_token"]
    assert opened.user_agent
    assert opened.user_agent.startswith("python-httpx")
    assert opened.expires_at - opened.created_at > timedelta(days=29)


async def test_an_email_has_one_account(program: Make, database: Database) -> None:
    client = await program()
    await registered(client)
    again = await client.post("/api/auth/register", json=body() | {"email": "MINA@example.com"})
    problem = assert_problem(again, 409, "email_taken")
    assert "Sign in" in problem["detail"]
    async with database.as_service("test") as session:
        assert await session.scalar(select(func.count()).select_from(User)) == 1
        assert await session.scalar(select(func.count()).select_from(AuthSession)) == 1


@pytest.mark.parametrize(("setting", "roles"), [(True, ["admin", "user"]), (False, ["user", "user"])])
async def test_the_first_user_is_admin_unless_set_otherwise(program: Make, setting: bool, roles: list[str]) -> None:
    client = await program(first_user_is_admin=setting)
    assert [(await registered(client, name))["user"]["role"] for name in ("a", "b")] == roles


async def test_of_many_at_once_one_is_first(program: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", Quick())  # so that they really meet in the database
    client = await program()
    made = await asyncio.gather(*(registered(client, f"user{n}") for n in range(10)))
    assert sorted(m["user"]["role"] for m in made) == ["admin"] + ["user"] * 9


async def test_of_many_at_once_one_gets_the_email(program: Make) -> None:
    client = await program()
    answers = await asyncio.gather(*(client.post("/api/auth/register", json=body()) for _ in range(10)))
    assert sorted(a.status_code for a in answers) == [201] + [409] * 9


async def test_closed(program: Make, database: Database) -> None:
    client = await program(registration="closed")
    problem = assert_problem(await client.post("/api/auth/register", json=body()), 403, "registration_closed")
    assert "administrator" in problem["detail"]
    async with database.as_service("test") as session:
        assert await session.scalar(select(func.count()).select_from(User)) == 0


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"email": "mina"}, "email"),
        ({"password": "short"}, "password"),
        ({"password": "x" * 257}, "password"),
        ({"password": PASSWORD + "\0"}, "password"),
        ({"password": None}, "password"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": 7}, "name"),
    ],
)
async def test_bad_fields_are_named_and_passwords_never_echoed(
    program: Make, changed: dict[str, Any], field: str
) -> None:
    client = await program()
    response = await client.post("/api/auth/register", json=body() | changed)
    problem = assert_problem(response, 422, "invalid_input")
    assert [e["loc"][:2] for e in problem["errors"]] == [["body", field]]
    assert str(changed.get("password") or PASSWORD) not in response.text


@pytest.mark.parametrize("raw", [b'{"email":"a@b.test","password":"\\ud800-------"}', b'{"email":"\\ud800@b.test"}'])
async def test_lone_surrogates_are_refused(program: Make, raw: bytes) -> None:
    client = await program()
    response = await client.post("/api/auth/register", content=raw, headers={"content-type": "application/json"})
    assert_problem(response, 422, "invalid_input")


async def test_people_without_a_password_cannot_be_signed_in_to(program: Make, database: Database) -> None:
    client = await program()
    async with database.as_service("test") as session:
        session.add(User(email="outside@example.com"))
    for password in ("", PASSWORD):
        response = await client.post("/api/auth/login", json=body("outside", password))
        assert_problem(response, 401, "wrong_credentials")


async def test_one_address_makes_so_many_accounts_and_no_more(program: Make) -> None:
    near = await program("192.0.2.1", registrations_per_address=2)
    far = await program("192.0.2.2", registrations_per_address=2)
    for user in ("one", "two"):
        await registered(near, user)
    refused = await near.post("/api/auth/register", json=body("three"))
    problem = assert_problem(refused, 429, "rate_limited")
    assert "address" in problem["detail"]
    assert int(refused.headers["retry-after"]) > 0
    await registered(far, "three")
