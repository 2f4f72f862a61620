"""Who signs in from outside, and to which account."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, text, update

from tests.core.auth.conftest import Make, bearer, body, registered, trusting
from tests.core.auth.issuer import AUDIENCE, FakeIssuer, fake_issuer
from tests.core.http.small_app import assert_problem
from yeoul.core.auth import administration
from yeoul.core.auth.dependencies import ACCESS_COOKIE, REFRESH_COOKIE
from yeoul.core.auth.repository import LOCAL_EMAIL
from yeoul.core.auth.tables import AuthSession, OutsideIdentity, User
from yeoul.core.db.database import Database


@pytest.fixture
async def other() -> AsyncGenerator[FakeIssuer]:
    """A second provider."""
    async with fake_issuer() as running:
        yield running


def both(one: FakeIssuer, two: FakeIssuer, **more: Any) -> dict[str, Any]:
    return {"trusted_issuers": [{"issuer": issuer.url, "audience": AUDIENCE, **more} for issuer in (one, two)]}


async def sign_in(client: httpx.AsyncClient, token: str) -> dict[str, Any]:
    response = await client.post("/api/auth/session", json={"token": token})
    assert response.status_code == 200, response.text
    made: dict[str, Any] = response.json()
    return made


async def refused(client: httpx.AsyncClient, token: str, status: int, code: str) -> dict[str, Any]:
    return assert_problem(await client.post("/api/auth/session", json={"token": token}), status, code)


async def link(client: httpx.AsyncClient, made: dict[str, Any], token: str) -> httpx.Response:
    return await client.post("/api/auth/identities", json={"token": token}, headers=bearer(made["access_token"]))


async def users(database: Database) -> list[str]:
    async with database.as_service("test") as session:
        return list((await session.scalars(select(User.email).order_by(User.id))).all())


async def test_the_first_sight_makes_an_account_and_the_second_finds_it(
    program: Make, issuer: FakeIssuer, database: Database
) -> None:
    client = await program(**trusting(issuer))
    first = await sign_in(client, issuer.token(email=" Mina@Example.com ", name=" Mina "))
    assert (first["user"]["email"], first["user"]["name"], first["user"]["role"]) == (
        "mina@example.com",
        "Mina",
        "admin",
    )
    # The subject is who somebody is: the email at the provider may change, and may become somebody else's.
    again = await sign_in(client, issuer.token(email="moved@example.com", name="Other"))
    assert again["user"] == first["user"]
    bare = await sign_in(client, issuer.token(email=..., email_verified=...))
    assert bare["user"] == first["user"]
    somebody = await sign_in(client, issuer.token(sub="subject-2", email="moved@example.com"))
    assert (somebody["user"]["email"], somebody["user"]["role"]) == ("moved@example.com", "user")
    async with database.as_service("test") as session:
        stored = (await session.scalars(select(User).where(User.email == "mina@example.com"))).one()
    assert stored.password_hash is None
    wrong = await client.post("/api/auth/login", json=body())
    assert_problem(wrong, 401, "wrong_credentials")


async def test_a_page_gets_cookies(page: Make, issuer: FakeIssuer) -> None:
    client = await page(**trusting(issuer))
    await sign_in(client, issuer.token())
    assert {ACCESS_COOKIE, REFRESH_COOKIE} <= set(client.cookies)
    assert (await client.post("/who")).json()[2] == "cookie"
    assert (await client.post("/api/auth/refresh")).status_code == 200


async def test_two_tabs_with_a_new_identity_make_one_account(
    program: Make, issuer: FakeIssuer, database: Database
) -> None:
    client = await program(**trusting(issuer))
    made = await asyncio.gather(*(sign_in(client, issuer.token()) for _ in range(6)))
    assert len({m["user"]["id"] for m in made}) == 1
    async with database.as_service("test") as session:
        assert await session.scalar(select(func.count()).select_from(OutsideIdentity)) == 1


async def test_two_people_with_one_new_email_at_once(program: Make, issuer: FakeIssuer, database: Database) -> None:
    client = await program(**trusting(issuer))
    tokens = [issuer.token(sub=f"s{n}") for n in range(6)]
    answers = await asyncio.gather(*(client.post("/api/auth/session", json={"token": token}) for token in tokens))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5
    assert await users(database) == ["mina@example.com"]


async def test_without_an_email_there_is_no_account(program: Make, issuer: FakeIssuer, database: Database) -> None:
    client = await program(**trusting(issuer))
    for told in (..., "", None, 7, "not an email", "x" * 400 + "@example.com", "a\0@example.com", ["a@example.com"]):
        await refused(client, issuer.token(email=told), 403, "email_required")
    assert await users(database) == []


async def test_closed(program: Make, issuer: FakeIssuer, database: Database) -> None:
    opened = await program(**trusting(issuer))
    known = await sign_in(opened, issuer.token())
    closed = await program(registration="closed", **trusting(issuer))
    await refused(closed, issuer.token(sub="new", email="new@example.com"), 403, "registration_closed")
    assert (await sign_in(closed, issuer.token()))["user"] == known["user"]
    assert await users(database) == ["mina@example.com"]


async def test_new_accounts_count_like_registered_ones(program: Make, issuer: FakeIssuer) -> None:
    settings = {**trusting(issuer), "registrations_per_address": 2}
    near, far = await program("192.0.2.1", **settings), await program("192.0.2.2", **settings)
    await registered(near, "one")
    await sign_in(near, issuer.token(sub="2", email="two@example.com"))
    third = issuer.token(sub="3", email="three@example.com")
    await refused(near, third, 429, "rate_limited")
    await sign_in(far, third)
    await sign_in(near, third)  # who has an account signs in as often as they like


async def test_the_disabled_stay_out(program: Make, issuer: FakeIssuer, database: Database) -> None:
    client = await program(**trusting(issuer))
    await sign_in(client, issuer.token())
    async with database.as_service("test") as session:
        await session.execute(update(User).values(disabled_at=func.now()))
    await refused(client, issuer.token(), 403, "account_disabled")
    async with database.as_service("test") as session:
        assert await session.scalar(select(func.count()).select_from(AuthSession)) == 1


# Accounts that exist already ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verified", [True, False])
async def test_nobody_gets_into_an_account_by_its_email(program: Make, issuer: FakeIssuer, verified: bool) -> None:
    """Nor does its owner fall in with whoever registered with their email: passwords prove no email here."""
    client = await program(**trusting(issuer))
    made = await registered(client)
    problem = await refused(client, issuer.token(email_verified=verified), 409, "not_linked")
    assert "as before" in problem["detail"]
    identities = await client.get("/api/auth/identities", headers=bearer(made["access_token"]))
    assert identities.json() == []


async def test_an_account_under_an_unproven_email_is_no_trap(
    program: Make, issuer: FakeIssuer, other: FakeIssuer
) -> None:
    """Who took somebody's email at a provider that checks none does not get its owner into their account."""
    client = await program(**both(issuer, other))
    await sign_in(client, issuer.token(email_verified=False))
    await refused(client, other.token(), 409, "not_linked")
    # Not even once that provider says it is verified after all: by then others may have been in the account.
    await sign_in(client, issuer.token(email_verified=True))
    await refused(client, other.token(), 409, "not_linked")


@pytest.mark.parametrize("claim", [False, "false", "yes", 1, None, ..., ["true"], {}])
async def test_an_unproven_email_opens_nothing(
    program: Make, issuer: FakeIssuer, other: FakeIssuer, claim: Any
) -> None:
    client = await program(**both(issuer, other))
    await sign_in(client, issuer.token())
    await refused(client, other.token(email_verified=claim), 409, "not_linked")


@pytest.mark.parametrize("claim", [True, "true"])
async def test_two_providers_that_vouch_for_one_email_are_one_person(
    program: Make, issuer: FakeIssuer, other: FakeIssuer, claim: Any
) -> None:
    client = await program(**both(issuer, other))
    first = await sign_in(client, issuer.token())
    second = await sign_in(client, other.token(sub="another", email="MINA@example.com", email_verified=claim))
    assert second["user"] == first["user"]
    listed = (await client.get("/api/auth/identities", headers=bearer(second["access_token"]))).json()
    assert [(i["issuer"], i["subject"], i["email"], i["email_verified"]) for i in listed] == [
        (issuer.url, "subject-1", "mina@example.com", True),
        (other.url, "another", "mina@example.com", True),
    ]


async def test_an_address_that_changed_hands_at_its_provider(program: Make, issuer: FakeIssuer) -> None:
    client = await program(**trusting(issuer))
    await sign_in(client, issuer.token())
    await refused(client, issuer.token(sub="the next employee"), 409, "not_linked")


@pytest.mark.parametrize(("trust", "code"), [("always", None), ("never", "not_linked"), ("claim", "not_linked")])
async def test_the_settings_say_whose_emails_count(
    program: Make, issuer: FakeIssuer, other: FakeIssuer, trust: str, code: str | None
) -> None:
    client = await program(**both(issuer, other, email_verified=trust))
    told = trust == "never"
    await sign_in(client, issuer.token(email_verified=told))
    token = other.token(email_verified=told)
    if code is None:
        await sign_in(client, token)
    else:
        await refused(client, token, 409, code)


async def test_what_users_write_about_themselves_proves_nothing(
    program: Make, issuer: FakeIssuer, other: FakeIssuer
) -> None:
    """Supabase lets its users change ``user_metadata``; a name from there is fine."""
    client = await program(**both(issuer, other))
    await sign_in(client, issuer.token())
    metadata = {"email": "mina@example.com", "email_verified": True, "full_name": "Minnie"}
    await refused(client, other.token(email_verified=..., user_metadata=metadata), 409, "not_linked")
    made = await sign_in(client, other.token(email="minnie@example.com", email_verified=..., user_metadata=metadata))
    assert made["user"]["name"] == "Minnie"


@pytest.mark.parametrize("name", [7, "a\0b", "   ", "", None, ["x"]])
async def test_names_that_cannot_be_stored_are_left_out(program: Make, issuer: FakeIssuer, name: Any) -> None:
    client = await program(**trusting(issuer))
    assert (await sign_in(client, issuer.token(name=name)))["user"]["name"] is None


async def test_an_account_nobody_can_sign_in_to_is_for_whoever_proves_its_email(
    program: Make, issuer: FakeIssuer, database: Database
) -> None:
    async with database.as_service("test") as session:
        session.add(User(email="mina@example.com", role="admin"))
    client = await program(registration="closed", **trusting(issuer))
    await refused(client, issuer.token(email_verified=False), 409, "not_linked")
    assert (await sign_in(client, issuer.token()))["user"]["role"] == "admin"


async def test_the_command_lines_user_is_nobodys(program: Make, issuer: FakeIssuer, database: Database) -> None:
    client = await program(**trusting(issuer, email_verified="always"))
    await refused(client, issuer.token(email=LOCAL_EMAIL), 409, "not_linked")
    async with database.as_service("test") as session:
        await administration.operator(session)
    await refused(client, issuer.token(email=LOCAL_EMAIL), 409, "not_linked")
    assert await users(database) == [LOCAL_EMAIL]


# Linking --------------------------------------------------------------------------------------------------------------


async def test_linking_takes_both(program: Make, issuer: FakeIssuer, other: FakeIssuer) -> None:
    client = await program(**both(issuer, other))
    made = await registered(client)
    token = issuer.token(email="somewhere@else.example.com")
    linked = await link(client, made, token)
    assert linked.status_code == 201
    assert linked.json()["issuer"] == issuer.url
    assert (await link(client, made, token)).json()["id"] == linked.json()["id"]  # twice is fine
    assert (await sign_in(client, token))["user"] == made["user"]
    # Another email says nothing of this account's.
    await refused(client, other.token(), 409, "not_linked")
    assert (await link(client, made, issuer.token(sub="with the account's own"))).status_code == 201
    assert (await sign_in(client, other.token()))["user"] == made["user"]


async def test_linking_is_for_the_signed_in(program: Make, issuer: FakeIssuer, database: Database) -> None:
    client = await program(**trusting(issuer))
    made = await registered(client)
    token = issuer.token()
    assert_problem(await client.post("/api/auth/identities", json={"token": token}), 401, "unauthenticated")
    assert_problem(await link(client, {"access_token": token}, token), 401, "token_invalid")
    assert_problem(await link(client, made, issuer.token(aud="x")), 401, "outside_token_invalid")
    assert_problem(await link(client, made, ""), 422, "invalid_input")
    async with database.as_service("test") as session:
        await session.execute(update(AuthSession).values(revoked_at=func.now()))
    assert_problem(await link(client, made, token), 401, "session_ended")


async def test_an_identity_has_one_account(program: Make, issuer: FakeIssuer) -> None:
    client = await program(**trusting(issuer))
    mine = await sign_in(client, issuer.token())
    other = await registered(client, "other")
    assert_problem(await link(client, other, issuer.token()), 409, "identity_taken")
    assert (await sign_in(client, issuer.token()))["user"] == mine["user"]


async def test_removing_a_way_in(program: Make, issuer: FakeIssuer, other: FakeIssuer) -> None:
    client = await program(**both(issuer, other))
    made = await sign_in(client, issuer.token())
    mine = bearer(made["access_token"])
    (only,) = (await client.get("/api/auth/identities", headers=mine)).json()
    assert_problem(await client.delete(f"/api/auth/identities/{only['id']}", headers=mine), 409, "last_way_in")
    second = (await link(client, made, other.token(sub="2"))).json()
    stranger = bearer((await registered(client, "stranger"))["access_token"])
    for path in (f"/api/auth/identities/{only['id']}", f"/api/auth/identities/{made['user']['id']}"):
        assert_problem(await client.delete(path, headers=stranger), 404, "identity_not_found")
    assert (await client.delete(f"/api/auth/identities/{only['id']}", headers=mine)).status_code == 204
    assert_problem(await client.delete(f"/api/auth/identities/{second['id']}", headers=mine), 409, "last_way_in")
    assert (await sign_in(client, other.token(sub="2")))["user"] == made["user"]
    with_password = await registered(client, "third")
    third = (await link(client, with_password, issuer.token(sub="3"))).json()
    theirs = bearer(with_password["access_token"])
    assert (await client.delete(f"/api/auth/identities/{third['id']}", headers=theirs)).status_code == 204


async def test_two_removals_at_once_leave_one_way_in(program: Make, issuer: FakeIssuer, other: FakeIssuer) -> None:
    client = await program(**both(issuer, other))
    made = await sign_in(client, issuer.token())
    mine = bearer(made["access_token"])
    for _ in range(6):
        for token in (issuer.token(), other.token(sub="2")):
            await link(client, made, token)
        identities = (await client.get("/api/auth/identities", headers=mine)).json()
        paths = [f"/api/auth/identities/{identity['id']}" for identity in identities]
        answers = await asyncio.gather(*(client.delete(path, headers=mine) for path in paths))
        assert sorted(answer.status_code for answer in answers) == [204, 409]


async def test_the_tenant_scope_shows_ones_own_identities(
    program: Make, issuer: FakeIssuer, database: Database
) -> None:
    client = await program(**trusting(issuer))
    mine = await sign_in(client, issuer.token())
    await sign_in(client, issuer.token(sub="2", email="other@example.com"))
    async with database.as_user(mine["user"]["id"]) as session:
        assert (await session.scalars(select(OutsideIdentity.subject))).all() == ["subject-1"]
    for forbidden in ("DELETE FROM identities", "UPDATE identities SET subject = 'x'"):
        async with database.as_user(mine["user"]["id"]) as session:
            with pytest.raises(Exception, match="permission denied"):
                await session.execute(text(forbidden))
            await session.rollback()


async def test_old_sessions_are_forgotten_and_the_last_use_is_kept(
    program: Make, issuer: FakeIssuer, database: Database
) -> None:
    client = await program(**trusting(issuer))
    await sign_in(client, issuer.token())
    long_ago = func.now() - timedelta(days=2)
    async with database.as_service("test") as session:
        await session.execute(update(AuthSession).values(revoked_at=long_ago))
        await session.execute(update(OutsideIdentity).values(last_used_at=long_ago))
    await sign_in(client, issuer.token())
    async with database.as_service("test") as session:
        assert await session.scalar(select(func.count()).select_from(AuthSession)) == 1
        used = await session.scalar(select(func.now() - OutsideIdentity.last_used_at))
    assert used is not None
    assert used < timedelta(minutes=1)
