"""What an operator does to accounts."""

import pytest

from tests.core.auth.conftest import PASSWORD, Make, body, registered
from yeoul.core.auth import administration
from yeoul.core.auth.errors import EmailTaken, LastAdministrator, UserNotFound
from yeoul.core.auth.passwords import verify_password
from yeoul.core.auth.repository import LOCAL_EMAIL
from yeoul.core.base.errors import InvalidInput
from yeoul.core.db.database import Database

NEW = "another long passphrase"


async def test_the_command_line_does_not_take_the_administrators_place(database: Database, program: Make) -> None:
    async with database.as_service("test") as session:
        local = await administration.operator(session)
    assert (local.email, local.role, local.password_hash) == (LOCAL_EMAIL, "user", None)

    client = await program()
    assert (await registered(client))["user"]["role"] == "admin"
    assert (await registered(client, "jun"))["user"]["role"] == "user"


async def test_nobody_becomes_the_local_user(database: Database, program: Make) -> None:
    async with database.as_service("test") as session:
        await administration.operator(session)
    client = await program()
    taken = await client.post("/api/auth/register", json={"email": LOCAL_EMAIL, "password": PASSWORD})
    assert taken.status_code == 409
    wrong = await client.post("/api/auth/login", json={"email": LOCAL_EMAIL, "password": PASSWORD})
    assert wrong.status_code == 401


async def test_whoever_registers_the_local_users_email_first_is_the_first(database: Database, program: Make) -> None:
    client = await program()
    first = await client.post("/api/auth/register", json={"email": LOCAL_EMAIL, "password": PASSWORD})
    assert first.json()["user"]["role"] == "admin"
    assert (await registered(client))["user"]["role"] == "user"


async def test_the_operator_is_the_first_administrator(database: Database, program: Make) -> None:
    client = await program()
    first = await registered(client)
    await registered(client, "jun")
    async with database.as_service("test") as session:
        assert str((await administration.operator(session)).id) == first["user"]["id"]
        assert [user.email for user in await administration.users(session)] == ["mina@example.com", "jun@example.com"]


async def test_a_disabled_administrator_is_not_the_operator(database: Database, program: Make) -> None:
    client = await program()
    await registered(client)
    await registered(client, "jun")
    async with database.as_service("test") as session:
        await administration.set_role(session, "jun@example.com", "admin")
        await administration.set_disabled(session, "mina@example.com", disabled=True)
        assert (await administration.operator(session)).email == "jun@example.com"


async def test_emails_are_found_however_they_are_spelled(database: Database, program: Make) -> None:
    await registered(await program())
    async with database.as_service("test") as session:
        assert (await administration.find(session, " Mina@EXAMPLE.com ")).email == "mina@example.com"
        for unknown in ("jun@example.com", "no address"):
            with pytest.raises(UserNotFound, match=unknown):
                await administration.find(session, unknown)


async def test_an_account_is_made_where_registration_is_closed(database: Database, program: Make) -> None:
    hashed = await administration.hash_for("Op@example.com", PASSWORD)
    async with database.as_service("test") as session:
        await administration.add(session, "Op@example.com", hashed, "admin")
    with pytest.raises(EmailTaken):
        async with database.as_service("test") as session:
            await administration.add(session, "op@example.com", hashed, "user")
    client = await program(registration="closed")
    signed_in = await client.post("/api/auth/login", json=body("op"))
    assert signed_in.json()["user"]["role"] == "admin"


async def test_a_new_password_ends_sessions_and_lifts_the_limit(database: Database, program: Make) -> None:
    client = await program(login_attempts=2)
    tokens = await registered(client)
    elsewhere = await program("10.0.0.9", login_attempts=2)
    answers = [await elsewhere.post("/api/auth/login", json=body("mina", "wrong one")) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    hashed = await administration.hash_for("mina@example.com", NEW)
    async with database.as_service("test") as session:
        await administration.set_password(session, "mina@example.com", hashed)
    assert await verify_password(hashed, NEW)
    assert (await client.post("/api/auth/refresh", json={"refresh_token": tokens["refresh_token"]})).status_code == 401
    assert (await client.post("/api/auth/login", json=body("mina", NEW))).status_code == 200
    assert (await client.post("/api/auth/login", json=body("mina", PASSWORD))).status_code == 401


@pytest.mark.parametrize(
    ("email", "password", "words"),
    [
        ("mina@example.com", "short", "password"),
        ("nobody", PASSWORD, "email"),
        ("a@example.com", "x" * 300, "password"),
    ],
)
async def test_a_password_is_checked_as_at_registration(email: str, password: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as refused:
        await administration.hash_for(email, password)
    assert password not in refused.value.detail


async def test_a_locked_account_is_signed_out_until_it_is_opened(database: Database, program: Make) -> None:
    client = await program()
    await registered(client)
    tokens = await registered(client, "jun")
    async with database.as_service("test") as session:
        locked = await administration.set_disabled(session, "jun@example.com", disabled=True)
        assert administration.state(locked) == "disabled"
    assert (await client.post("/api/auth/refresh", json={"refresh_token": tokens["refresh_token"]})).status_code == 401
    assert (await client.post("/api/auth/login", json=body("jun"))).json()["code"] == "account_disabled"
    async with database.as_service("test") as session:
        opened = await administration.set_disabled(session, "jun@example.com", disabled=False)
        assert administration.state(opened) == "active"
    assert (await client.post("/api/auth/login", json=body("jun"))).status_code == 200


async def test_one_administrator_stays(database: Database, program: Make) -> None:
    client = await program()
    await registered(client)
    await registered(client, "jun")
    async with database.as_service("test") as session:
        with pytest.raises(LastAdministrator):
            await administration.set_role(session, "mina@example.com", "user")
        with pytest.raises(LastAdministrator):
            await administration.set_disabled(session, "mina@example.com", disabled=True)
        await administration.set_role(session, "jun@example.com", "admin")
        assert (await administration.set_role(session, "mina@example.com", "user")).role == "user"
        assert (await administration.set_role(session, "mina@example.com", "user")).role == "user", "twice is fine"
