"""Sessions as their owner sees them: listed, ended one by one, ended everywhere; and tabs that share one."""

import asyncio
import random
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, text, update

from tests.core.auth.conftest import BROWSER, Make, auth_app, bearer, body, expired, registered
from tests.core.http.small_app import assert_problem, client_of
from yeoul.core.auth.dependencies import ACCESS_COOKIE, REFRESH_COOKIE
from yeoul.core.auth.sessions import GRACE
from yeoul.core.auth.tables import AuthSession, User
from yeoul.core.db.database import Database


async def login(client: httpx.AsyncClient, agent: str = "Test", user: str = "mina") -> dict[str, Any]:
    response = await client.post("/api/auth/login", json=body(user), headers={"User-Agent": agent})
    assert response.status_code == 200, response.text
    made: dict[str, Any] = response.json()
    return made


async def listed(client: httpx.AsyncClient, made: dict[str, Any], **query: Any) -> dict[str, Any]:
    response = await client.get("/api/auth/sessions", headers=bearer(made["access_token"]), params=query)
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


async def refresh(client: httpx.AsyncClient, made: dict[str, Any]) -> httpx.Response:
    return await client.post("/api/auth/refresh", json={"refresh_token": made["refresh_token"]})


async def everywhere(client: httpx.AsyncClient, **sent: Any) -> httpx.Response:
    return await client.post("/api/auth/logout", params={"everywhere": "true"}, **sent)


async def test_sessions_are_listed(program: Make, database: Database) -> None:
    client = await program()
    await registered(client)
    phone, laptop = await login(client, "Phone"), await login(client, "Laptop")
    await registered(client, "other")
    async with database.as_service("test") as session:
        await session.execute(update(AuthSession).values(created_at=func.now() - timedelta(hours=1)))
    await refresh(client, phone)
    page = await listed(client, laptop)
    assert page["next_cursor"] is None
    assert [(s["user_agent"], s["current"]) for s in page["items"][:2]] == [("Laptop", True), ("Phone", False)]
    assert len(page["items"]) == 3
    assert set(page["items"][0]) == {"id", "user_agent", "created_at", "last_used_at", "expires_at", "current"}
    assert [s["last_used_at"] > s["created_at"] for s in page["items"]] == [False, True, False]


async def test_the_list_has_pages(program: Make) -> None:
    client = await program()
    made = await registered(client)
    for n in range(4):
        await login(client, str(n))
    first = await listed(client, made, limit=3)
    second = await listed(client, made, limit=3, cursor=first["next_cursor"])
    assert [s["user_agent"][:1] for s in first["items"] + second["items"]] == ["3", "2", "1", "0", "p"]
    assert second["next_cursor"] is None
    for query in ({"limit": 0}, {"limit": 101}, {"cursor": "x"}):
        answer = await client.get("/api/auth/sessions", headers=bearer(made["access_token"]), params=query)
        assert_problem(answer, 422, "invalid_input")


async def test_ended_sessions_are_not_listed(program: Make, database: Database) -> None:
    client = await program()
    made = await registered(client)
    gone, old = await login(client), await login(client)
    await client.post("/api/auth/logout", headers=bearer(gone["access_token"]))
    oldest = (await listed(client, old))["items"][0]["id"]
    async with database.as_service("test") as session:
        await session.execute(update(AuthSession).where(AuthSession.id == oldest).values(expires_at=func.now()))
    assert [s["current"] for s in (await listed(client, made))["items"]] == [True]


async def test_ending_one(program: Make) -> None:
    client = await program()
    made = await registered(client)
    phone = await login(client, "Phone")
    (target,) = (s["id"] for s in (await listed(client, made))["items"] if not s["current"])
    stranger = await registered(client, "stranger")
    path, mine = f"/api/auth/sessions/{target}", bearer(made["access_token"])
    assert_problem(await client.delete(path, headers=bearer(stranger["access_token"])), 404, "session_not_found")
    assert (await refresh(client, phone)).status_code == 200
    assert (await client.delete(path, headers=mine)).status_code == 204
    assert_problem(await client.delete(path, headers=mine), 404, "session_not_found")
    assert_problem(await client.delete("/api/auth/sessions/x", headers=mine), 422, "invalid_input")
    assert_problem(await refresh(client, phone), 401, "session_ended")
    assert (await refresh(client, made)).status_code == 200


async def test_a_page_that_ends_its_own_loses_its_cookies(page: Make) -> None:
    client = await page()
    made = await registered(client)
    await login(client)
    sessions = (await client.get("/api/auth/sessions")).json()["items"]
    other, own = (next(s["id"] for s in sessions if s["current"] is current) for current in (False, True))
    assert (await client.delete(f"/api/auth/sessions/{other}")).status_code == 204
    assert set(client.cookies) == {ACCESS_COOKIE, REFRESH_COOKIE}
    assert (await client.delete(f"/api/auth/sessions/{own}")).status_code == 204
    assert not client.cookies
    assert_problem(await refresh(client, made), 401, "session_ended")


async def test_foreign_pages_end_nothing(page: Make) -> None:
    client = await page()
    await registered(client)
    (own,) = (s["id"] for s in (await client.get("/api/auth/sessions")).json()["items"])
    for name in BROWSER:
        del client.headers[name]
    assert_problem(await client.delete(f"/api/auth/sessions/{own}"), 403, "csrf")
    assert_problem(await everywhere(client), 403, "csrf")


@pytest.mark.parametrize("by", ["access", "expired access", "refresh", "cookie"])
async def test_signing_out_everywhere(page: Make, program: Make, by: str) -> None:
    client, browser = await program(access_token_seconds=60), await page()
    made = await registered(client)
    phone = await login(client, "Phone")
    stranger = await registered(client, "stranger")
    await login(browser)
    match by:
        case "access":
            response = await everywhere(client, headers=bearer(made["access_token"]))
        case "expired access":
            response = await everywhere(client, headers=bearer(expired(made["access_token"])))
        case "refresh":
            response = await everywhere(client, json={"refresh_token": made["refresh_token"]})
        case _:
            response = await everywhere(browser)
            assert not browser.cookies
    assert response.status_code == 204
    for ended in (made, phone):
        assert_problem(await refresh(client, ended), 401, "session_ended")
    if by != "cookie":
        assert_problem(await browser.post("/api/auth/refresh"), 401, "session_ended")
    assert (await refresh(client, stranger)).status_code == 200


async def test_a_token_of_an_ended_session_signs_nobody_out(page: Make, program: Make) -> None:
    """Who finds an old token shall not be able to sign its owner out again and again."""
    client, browser = await program(), await page()
    await registered(client)
    old, new = await login(client), await login(client)
    await client.post("/api/auth/logout", headers=bearer(old["access_token"]))
    assert_problem(await everywhere(client, headers=bearer(old["access_token"])), 401, "session_ended")
    assert_problem(await everywhere(client, headers=bearer("x")), 401, "token_invalid")
    assert_problem(await everywhere(client), 401, "unauthenticated")
    assert (await refresh(client, new)).status_code == 200
    await login(browser)
    kept = dict(browser.cookies)
    await browser.post("/api/auth/logout")
    browser.cookies.update(kept)
    response = await everywhere(browser)
    assert_problem(response, 401, "session_ended")
    assert len(response.headers.get_list("set-cookie")) == 2  # cleared


async def test_the_tenant_scope_shows_ones_own_sessions_without_hashes(program: Make, database: Database) -> None:
    client = await program()
    mine, _ = await registered(client), await registered(client, "other")
    async with database.as_user(mine["user"]["id"]) as session:
        assert len((await session.scalars(select(AuthSession.id))).all()) == 1
    for forbidden in (
        "SELECT refresh_hash FROM sessions",
        "SELECT previous_hash FROM sessions",
        "UPDATE sessions SET revoked_at = NULL",
        "DELETE FROM sessions",
    ):
        async with database.as_user(mine["user"]["id"]) as session:
            with pytest.raises(Exception, match="permission denied"):
                await session.execute(text(forbidden))
            await session.rollback()


# Tabs -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
async def test_tabs_never_sign_each_other_out(database: Database, seed: int) -> None:
    """Several tabs of one browser, whose refreshes overlap at two machines and whose answers come in any order."""
    chance = random.Random(seed)
    machines = [auth_app(database) for _ in range(2)]
    async with client_of(machines[0], headers=BROWSER) as one, client_of(machines[1], headers=BROWSER) as two:
        await registered(one)
        jar = dict(one.cookies)

        async def tab() -> tuple[int, dict[str, str]]:
            machine = chance.choice([one, two])
            headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in jar.items())}
            for _ in range(chance.randrange(20)):
                await asyncio.sleep(0)
            response = await machine.post("/api/auth/refresh", headers=headers)
            return response.status_code, dict(response.cookies)

        for _ in range(6):
            answers = await asyncio.gather(*(tab() for _ in range(5)))
            assert {status for status, _ in answers} == {200}
            chance.shuffle(answers)
            for _, cookies in answers:  # the last one to arrive is what the browser keeps
                jar |= cookies
            late_status, late = await tab()  # a tab that slept comes within the grace
            assert late_status == 200
            jar |= late
            async with database.as_service("test") as session:
                await session.execute(update(AuthSession).values(rotated_at=func.now() - GRACE - timedelta(seconds=1)))
        one.cookies.clear()
        two.cookies.clear()
        me = await one.get("/api/me", headers={"Cookie": f"{ACCESS_COOKIE}={jar[ACCESS_COOKIE]}"})
        assert me.status_code == 200


async def test_an_answer_that_got_lost_may_be_asked_for_again(page: Make, database: Database) -> None:
    client = await page()
    await registered(client)
    before = client.cookies[REFRESH_COOKIE]
    await client.post("/api/auth/refresh")
    client.cookies.clear()  # it never arrived
    again = await client.post("/api/auth/refresh", headers={"Cookie": f"{REFRESH_COOKIE}={before}"})
    assert again.status_code == 200
    async with database.as_service("test") as session:
        assert await session.scalar(select(AuthSession.revoked_at)) is None
        assert await session.scalar(select(func.count()).select_from(User)) == 1
