"""Pages: cookies, and what keeps other sites from using them."""

import asyncio
from datetime import timedelta
from http.cookies import SimpleCookie

import httpx
import pytest
from sqlalchemy import func, select, update

from tests.core.auth.conftest import BROWSER, Make, bearer, body, expired, registered
from tests.core.http.small_app import HOST, assert_problem
from yeoul.core.auth.dependencies import ACCESS_COOKIE, REFRESH_COOKIE
from yeoul.core.auth.sessions import GRACE
from yeoul.core.auth.tables import AuthSession
from yeoul.core.db.database import Database

FOREIGN = {"Origin": "https://evil.example.com", "Sec-Fetch-Site": "cross-site"}


def cookies_of(response: httpx.Response) -> SimpleCookie:
    jar: SimpleCookie = SimpleCookie()
    for header in response.headers.get_list("set-cookie"):
        jar.load(header)
    return jar


@pytest.mark.parametrize("path", ["register", "login"])
async def test_a_page_gets_cookies_no_script_can_read(page: Make, path: str) -> None:
    client = await page()
    if path == "login":
        await registered(client)
    response = await client.post(f"/api/auth/{path}", json=body())
    cookies = cookies_of(response)
    assert set(cookies) == {ACCESS_COOKIE, REFRESH_COOKIE}
    for name, at in ((ACCESS_COOKIE, "/"), (REFRESH_COOKIE, "/api/auth")):
        morsel = cookies[name]
        assert (morsel["httponly"], morsel["samesite"], morsel["path"], morsel["secure"]) == (True, "lax", at, "")
        assert morsel["domain"] == ""
        assert morsel["max-age"] == str(30 * 86_400)


async def test_cookies_are_secure_behind_https(page: Make) -> None:
    client = await page(public_url=HOST.replace("http:", "https:"))
    response = await client.post("/api/auth/register", json=body())
    assert all(morsel["secure"] for morsel in cookies_of(response).values())


@pytest.mark.parametrize("headers", [{}, FOREIGN, {"Origin": "null"}])
async def test_others_get_none(program: Make, headers: dict[str, str]) -> None:
    client = await program()
    for path in ("register", "login"):
        response = await client.post(f"/api/auth/{path}", json=body(), headers=headers)
        assert response.is_success
        assert "set-cookie" not in response.headers


async def test_pages_of_an_allowed_origin_get_them(program: Make) -> None:
    client = await program(allowed_origins="http://front.yeoul.test")  # of the same site: SameSite=Lax keeps others out
    headers = {"Origin": "http://front.yeoul.test", "Sec-Fetch-Site": "same-site"}
    response = await client.post("/api/auth/register", json=body(), headers=headers)
    assert ACCESS_COOKIE in cookies_of(response)
    assert (await client.post("/who", headers=headers)).json()[2] == "cookie"


async def test_the_cookie_signs_requests(page: Make) -> None:
    client = await page()
    made = await registered(client)
    assert (await client.get("/api/me")).json() == made["user"]
    assert (await client.post("/who")).json() == [made["user"]["id"], "admin", "cookie"]
    assert (await client.get("/maybe")).json() == [True, True]


@pytest.mark.parametrize(
    "headers",
    [FOREIGN, {"Origin": "null"}, {"Origin": f"{HOST}.evil.example.com"}, {"Referer": "https://evil.test/"}, {}],
)
async def test_foreign_pages_cannot_use_the_cookie(page: Make, headers: dict[str, str]) -> None:
    client = await page()
    await registered(client)
    for name in BROWSER:
        del client.headers[name]
    assert (await client.get("/who", headers=headers)).status_code == 200  # reads: CORS keeps the answer from them
    for path in ("/who", "/api/auth/refresh", "/api/auth/logout"):
        assert_problem(await client.post(path, headers=headers), 403, "csrf")
    assert (await client.post("/api/auth/refresh", headers=BROWSER)).status_code == 200  # nothing was ended


async def test_bearer_goes_before_the_cookie_and_needs_no_origin(page: Make) -> None:
    client = await page()
    await registered(client)
    other = await client.post("/api/auth/register", json=body("other"), headers=FOREIGN)
    token = other.json()["access_token"]
    who = await client.post("/who", headers={**FOREIGN, **bearer(token)})
    assert who.json() == [other.json()["user"]["id"], "user", "bearer"]
    # A bad one is not made up for by the cookie.
    assert_problem(await client.get("/who", headers=bearer("x")), 401, "token_invalid")
    assert_problem(await client.get("/maybe", headers=bearer("x")), 401, "token_invalid")
    assert_problem(await client.get("/who", headers={"Authorization": "Basic eDp5"}), 401, "token_invalid")


async def test_an_expired_access_cookie_is_renewed_from_the_refresh_cookie(page: Make) -> None:
    client = await page(access_token_seconds=60)
    made = await registered(client)
    old = _expire(client)
    assert_problem(await client.get("/who"), 401, "token_expired")
    assert (await client.get("/maybe")).json() == [False, True]  # a visitor, but one for whom a refresh is worth a try

    response = await client.post("/api/auth/refresh")
    assert response.status_code == 200
    assert set(response.json()) == {"user", "access_token", "token_type", "expires_in"}
    assert response.json()["user"] == made["user"]
    assert set(cookies_of(response)) == {ACCESS_COOKIE, REFRESH_COOKIE}
    assert client.cookies[ACCESS_COOKIE] != old
    assert (await client.get("/who")).json()[2] == "cookie"


def _expire(client: httpx.AsyncClient) -> str:
    """Puts an expired but well-signed access token into the jar."""
    token = expired(client.cookies[ACCESS_COOKIE])
    domain = next(cookie.domain for cookie in client.cookies.jar)
    client.cookies.set(ACCESS_COOKIE, token, domain=domain, path="/")
    return token


async def test_two_tabs_share_a_jar(page: Make, database: Database) -> None:
    client = await page()
    await registered(client)
    for _ in range(3):
        answers = await asyncio.gather(*(client.post("/api/auth/refresh") for _ in range(3)))
        assert {a.status_code for a in answers} == {200}
        assert len({cookies_of(a)[REFRESH_COOKIE].value for a in answers}) == 1
        async with database.as_service("test") as session:
            await session.execute(update(AuthSession).values(rotated_at=func.now() - GRACE - timedelta(seconds=1)))


async def test_an_ended_session_clears_the_cookies(page: Make, database: Database) -> None:
    client = await page()
    await registered(client)
    async with database.as_service("test") as session:
        await session.execute(update(AuthSession).values(revoked_at=func.now()))
    response = await client.post("/api/auth/refresh")
    assert_problem(response, 401, "session_ended")
    assert {(n, m["max-age"]) for n, m in cookies_of(response).items()} == {(ACCESS_COOKIE, "0"), (REFRESH_COOKIE, "0")}
    assert (await client.get("/maybe")).json() == [False, False]


async def test_cookies_of_another_installation_make_a_visitor(page: Make) -> None:
    client = await page()
    client.headers["Cookie"] = f"{ACCESS_COOKIE}=a.b.c; {REFRESH_COOKIE}=a.b.c"
    assert (await client.get("/maybe")).json() == [False, True]
    assert_problem(await client.get("/who"), 401, "token_invalid")
    for response in (await client.post("/api/auth/refresh"), await client.post("/api/auth/logout")):
        assert {morsel["max-age"] for morsel in cookies_of(response).values()} == {"0"}
    assert response.status_code == 204


async def test_logout_by_cookie(page: Make, database: Database) -> None:
    client = await page()
    await registered(client)
    kept = dict(client.cookies)
    _expire(client)
    response = await client.post("/api/auth/logout")
    assert response.status_code == 204
    assert response.content == b""
    assert not client.cookies
    async with database.as_service("test") as session:
        assert (await session.scalars(select(AuthSession.revoked_at))).one() is not None
    assert (await client.post("/api/auth/logout")).status_code == 204
    client.cookies.update(kept)
    assert_problem(await client.post("/api/auth/refresh"), 401, "session_ended")
