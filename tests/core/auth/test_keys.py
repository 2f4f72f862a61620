"""API keys: made, shown once, used, limited, revoked."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, text, update

from tests.core.auth.conftest import BROWSER, Make, bearer, registered, running
from tests.core.http.small_app import assert_problem, client_of, open_websocket
from yeoul.core.auth.keys import lookup
from yeoul.core.auth.keys.lookup import KeyLookup
from yeoul.core.auth.keys.service import KEEP_EXPIRED, MAX_KEYS
from yeoul.core.auth.keys.text import _check, new_key, read_key
from yeoul.core.auth.tables import ApiKey, User
from yeoul.core.db.database import Database, Line


async def made(client: httpx.AsyncClient, user: str = "mina", **asked: Any) -> dict[str, Any]:
    """A registered user's first key, with ``me``: the header that signs requests as the user themselves."""
    me = bearer((await registered(client, user))["access_token"])
    return {**await another(client, me, **asked), "me": me}


async def another(client: httpx.AsyncClient, me: dict[str, str], **asked: Any) -> dict[str, Any]:
    response = await client.post("/api/keys", json={"name": "import", **asked}, headers=me)
    assert response.status_code == 201, response.text
    assert response.headers["cache-control"] == "no-store"
    key: dict[str, Any] = response.json()
    return key


async def test_a_key_is_shown_once_and_signs_requests(program: Make, database: Database) -> None:
    client = await program()
    key = await made(client, name=" nightly import ")
    shown = {name: value for name, value in key.items() if name not in {"key", "me"}}
    assert set(shown) == {"id", "name", "prefix", "scopes", "created_at", "last_used_at", "expires_at"}
    assert (shown["name"], shown["scopes"], shown["expires_at"]) == ("nightly import", ["read", "write"], None)
    assert re.fullmatch("yk_[0-9A-Za-z]{61}", key["key"])
    assert key["key"].startswith(key["prefix"])
    assert (await client.get("/api/keys", headers=key["me"])).json() == {"items": [shown], "next_cursor": None}

    user = (await client.get("/api/me", headers=key["me"])).json()
    assert (await client.get("/who", headers=bearer(key["key"]))).json() == [user["id"], user["role"], "key"]
    assert (await client.post("/who", headers=bearer(key["key"]))).status_code == 200
    assert (await client.get("/api/me", headers=bearer(key["key"]))).json() == user
    assert (await client.get("/maybe", headers=bearer(key["key"]))).json()[0] is True
    assert (await client.get("/admin", headers=bearer(key["key"]))).status_code == 200

    async with database.as_service("test") as session:
        stored = (await session.scalars(select(ApiKey))).one()
    assert len(stored.secret_hash) == 32
    assert key["key"] not in repr(vars(stored))


async def test_keys_of_several_users(program: Make) -> None:
    client = await program()
    keys = [await made(client, user) for user in ("a", "b")]
    who = [(await client.get("/api/me", headers=bearer(key["key"]))).json()["email"] for key in keys]
    assert who == ["a@example.com", "b@example.com"]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": None}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["admin"]}, "scopes"),
        ({"scopes": "read"}, "scopes"),
        ({"scopes": ["read"] * 3}, "scopes"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2099-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
    ],
)
async def test_what_a_key_cannot_be(program: Make, asked: dict[str, Any], field: str) -> None:
    client = await program()
    me = bearer((await registered(client))["access_token"])
    problem = assert_problem(
        await client.post("/api/keys", json={"name": "x", **asked}, headers=me), 422, "invalid_input"
    )
    assert problem["errors"][0]["loc"][:2] == ["body", field]


@pytest.mark.parametrize("scopes", [["read"], ["write"], ["write", "read"]])
async def test_scopes(program: Make, scopes: list[str]) -> None:
    client = await program()
    key = await made(client, scopes=scopes)
    assert key["scopes"] == sorted(scopes)
    for method, scope in zip(("GET", "HEAD", "OPTIONS", "POST", "DELETE"), ["read"] * 3 + ["write"] * 2, strict=True):
        response = await client.request(method, "/any", headers=bearer(key["key"]))
        if scope in scopes:
            assert response.status_code == 200
        else:
            assert response.status_code == 403
            if method != "HEAD":
                assert assert_problem(response, 403, "scope_missing")["scope"] == scope
    if "read" not in scopes:  # where a visitor may look, a key that may not still may not
        assert_problem(await client.get("/maybe", headers=bearer(key["key"])), 403, "scope_missing")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/keys"),
        ("GET", "/api/keys"),
        ("DELETE", "/api/keys/01890000-0000-7000-8000-000000000000"),
        ("GET", "/api/auth/sessions"),
        ("DELETE", "/api/auth/sessions/01890000-0000-7000-8000-000000000000"),
        ("GET", "/api/auth/identities"),
        ("POST", "/api/auth/identities"),
        ("DELETE", "/api/auth/identities/01890000-0000-7000-8000-000000000000"),
    ],
)
async def test_what_people_alone_may_do(program: Make, method: str, path: str) -> None:
    client = await program()
    key = await made(client)
    response = await client.request(method, path, headers=bearer(key["key"]), json={"name": "x", "token": "x"})
    assert_problem(response, 403, "not_with_a_key")


async def test_a_key_is_no_session(program: Make) -> None:
    client = await program()
    key = (await made(client))["key"]
    for path in ("/api/auth/logout", "/api/auth/logout?everywhere=true"):
        assert_problem(await client.post(path, headers=bearer(key)), 401, "token_invalid")
    assert_problem(await client.post("/api/auth/refresh", json={"refresh_token": key}), 401, "token_invalid")
    assert_problem(await client.post("/api/auth/session", headers=bearer(key)), 401, "outside_token_invalid")


async def test_revoking(program: Make) -> None:
    client = await program()
    key, stranger = await made(client), await made(client, "stranger")
    path = f"/api/keys/{key['id']}"
    assert_problem(await client.delete(path, headers=stranger["me"]), 404, "key_not_found")
    assert (await client.get("/who", headers=bearer(key["key"]))).status_code == 200
    assert (await client.delete(path, headers=key["me"])).status_code == 204
    assert_problem(await client.delete(path, headers=key["me"]), 404, "key_not_found")
    assert_problem(await client.get("/who", headers=bearer(key["key"])), 401, "key_invalid")
    assert_problem(await client.get("/maybe", headers=bearer(key["key"])), 401, "key_invalid")
    assert (await client.get("/who", headers=bearer(stranger["key"]))).status_code == 200


async def test_expiry(program: Make, database: Database) -> None:
    client = await program()
    end = datetime.now(UTC) + timedelta(days=1)
    key = await made(client, expires_at=end.isoformat())
    assert datetime.fromisoformat(key["expires_at"]) == end
    assert (await client.get("/who", headers=bearer(key["key"]))).status_code == 200
    async with database.as_service("test") as session:
        await session.execute(update(ApiKey).values(expires_at=func.now() - timedelta(seconds=1)))
    assert_problem(await client.get("/who", headers=bearer(key["key"])), 401, "key_expired")
    assert len((await client.get("/api/keys", headers=key["me"])).json()["items"]) == 1
    async with database.as_service("test") as session:
        await session.execute(update(ApiKey).values(expires_at=func.now() - KEEP_EXPIRED - timedelta(seconds=1)))
    fresh = await another(client, key["me"])
    assert [k["id"] for k in (await client.get("/api/keys", headers=key["me"])).json()["items"]] == [fresh["id"]]


async def test_what_changes_about_the_user_holds_at_once(program: Make, database: Database) -> None:
    client = await program()
    key = await made(client)
    async with database.as_service("test") as session:
        await session.execute(update(User).values(role="user"))
    assert_problem(await client.get("/admin", headers=bearer(key["key"])), 403, "admin_only")
    async with database.as_service("test") as session:
        await session.execute(update(User).values(disabled_at=func.now()))
    assert_problem(await client.get("/who", headers=bearer(key["key"])), 403, "account_disabled")
    async with database.as_service("test") as session:
        await session.delete((await session.scalars(select(User))).one())
    assert_problem(await client.get("/who", headers=bearer(key["key"])), 401, "key_invalid")


async def test_there_are_so_many_and_no_more(program: Make) -> None:
    client = await program()
    key = await made(client)
    asked = [client.post("/api/keys", json={"name": str(n)}, headers=key["me"]) for n in range(MAX_KEYS + 2)]
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [201] * (MAX_KEYS - 1) + [409] * 3
    full = await client.post("/api/keys", json={"name": "x"}, headers=key["me"])
    assert_problem(full, 409, "too_many_keys")
    listed = (await client.get("/api/keys", headers=key["me"])).json()["items"]
    assert len(listed) == MAX_KEYS
    await client.delete(f"/api/keys/{key['id']}", headers=key["me"])
    await another(client, key["me"])
    await made(client, "other")


async def test_made_up_keys_never_reach_the_database(program: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await program()
    key = (await made(client))["key"]

    def unreachable(*_: object) -> None:
        raise AssertionError("looked up")

    monkeypatch.setattr(Line, "fetch", unreachable)
    with pytest.raises(AssertionError):
        await KeyLookup(Database("postgresql://x", "postgresql://x")).principal(key)
    swapped = key[:20] + ("a" if key[20] != "a" else "b") + key[21:]
    for bad in (swapped, key[:-1], key + "x", "yk_", "yk_x", key[:-6] + "000000", key.replace("yk_", "yk_ ", 1)):
        assert_problem(await client.get("/who", headers=bearer(bad)), 401, "key_invalid")
    for other in (key.upper(), key[1:], key[3:]):
        assert_problem(await client.get("/who", headers=bearer(other)), 401, "token_invalid")


async def test_the_prefix_alone_opens_nothing(program: Make) -> None:
    client = await program()
    key = await made(client)
    forged = new_key()
    body = key["prefix"] + forged[len(key["prefix"]) : -6]
    whole = body + _check(body)
    assert read_key(whole) is not None
    assert_problem(await client.get("/who", headers=bearer(whole)), 401, "key_invalid")
    assert_problem(await client.get("/who", headers=bearer(forged)), 401, "key_invalid")


async def test_its_last_use_is_written_once_a_minute(program: Make, database: Database) -> None:
    client = await program()
    key = await made(client)

    async def use() -> datetime | None:
        answers = await asyncio.gather(*(client.get("/who", headers=bearer(key["key"])) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {200}
        async with database.as_service("test") as session:
            return await session.scalar(select(ApiKey.last_used_at))

    first = await use()
    assert first is not None
    assert await use() == first
    async with database.as_service("test") as session:
        await session.execute(update(ApiKey).values(last_used_at=func.now() - timedelta(seconds=61)))
    later = await use()
    assert later is not None
    assert later >= first
    shown = (await client.get("/api/keys", headers=key["me"])).json()["items"][0]
    assert datetime.fromisoformat(shown["last_used_at"]) == later


async def test_a_request_costs_one_query(program: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await program()
    key = bearer((await made(client))["key"])
    sent: list[object] = []
    fetch = Line.fetch

    async def counting(line: Line, *asked: Any) -> Any:
        sent.append(asked)
        return await fetch(line, *asked)

    monkeypatch.setattr(Line, "fetch", counting)
    for statements in (2, 1, 1):  # the first notes the use
        sent.clear()
        assert (await client.get("/who", headers=key)).status_code == 200
        assert len(sent) == statements


async def test_websockets(database: Database) -> None:
    async with running(database) as app, client_of(app) as client:
        reads, writes = await made(client, scopes=["read"]), await made(client, "b", scopes=["write"])
        revoked = await made(client, "c")
        await client.delete(f"/api/keys/{revoked['id']}", headers=revoked["me"])
        sent = await open_websocket(app, "/ws", bearer(reads["key"]))
        assert sent[1]["text"].endswith(" key")
        for key, status, code in ((writes, 403, "scope_missing"), (revoked, 401, "key_invalid")):
            sent = await open_websocket(app, "/ws", bearer(key["key"]))
            assert (sent[0]["status"], json.loads(sent[1]["body"])["code"]) == (status, code)


async def test_a_key_needs_no_origin_and_goes_before_the_cookie(page: Make) -> None:
    client = await page()
    mine = await registered(client)
    key = (await client.post("/api/keys", json={"name": "x"})).json()
    await client.post("/api/auth/logout")
    await registered(client, "other")
    foreign = {"Origin": "https://evil.example.com", "Sec-Fetch-Site": "cross-site", **bearer(key["key"])}
    assert (await client.post("/who", headers=foreign)).json() == [mine["user"]["id"], "admin", "key"]
    # A key in a cookie is none.
    client.cookies.clear()
    assert_problem(await client.get("/who", headers={"Cookie": f"yeoul_access={key['key']}"}), 401, "token_invalid")


async def test_foreign_pages_make_no_keys(page: Make) -> None:
    client = await page()
    await registered(client)
    for name in BROWSER:
        del client.headers[name]
    response = await client.post("/api/keys", json={"name": "x"}, headers={"Origin": "https://evil.example.com"})
    assert_problem(response, 403, "csrf")


async def test_the_tenant_scope_shows_ones_own_keys_without_hashes(program: Make, database: Database) -> None:
    client = await program()
    key, _ = await made(client), await made(client, "other")
    user = (await client.get("/api/me", headers=key["me"])).json()
    async with database.as_user(user["id"]) as session:
        assert [str(found) for found in (await session.scalars(select(ApiKey.id))).all()] == [key["id"]]
    for forbidden in (
        "SELECT secret_hash FROM api_keys",
        "INSERT INTO api_keys (id, name, prefix, secret_hash) VALUES (gen_random_uuid(), 'x', 'x', '')",
        "UPDATE api_keys SET scopes = '{read,write}'",
        "DELETE FROM api_keys",
    ):
        async with database.as_user(user["id"]) as session:
            with pytest.raises(Exception, match="permission denied"):
                await session.execute(text(forbidden))
            await session.rollback()


async def test_the_database_holds_no_other_scopes(program: Make, database: Database) -> None:
    client = await program()
    key = await made(client)
    for scopes in ("{admin}", "{}"):
        async with database.service_connection() as connection:
            with pytest.raises(psycopg.errors.CheckViolation):
                await connection.execute("UPDATE api_keys SET scopes = %s WHERE id = %s", [scopes, key["id"]])


async def test_a_lost_connection_is_made_anew(program: Make, database: Database) -> None:
    client = await program()
    key = bearer((await made(client))["key"])
    assert (await client.get("/who", headers=key)).status_code == 200
    ended = """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'yeoul api keys' AND datname = current_database()
    """
    async with database.service_connection() as connection:
        assert (await (await connection.execute(ended)).fetchall()) == [(True,)]
    assert (await client.get("/who", headers=key)).status_code == 200


async def test_while_the_database_is_away(program: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await program()
    key = bearer((await made(client))["key"])

    async def away(*_: object) -> None:
        raise psycopg.OperationalError("the server has gone away")

    monkeypatch.setattr(Line, "fetch", away)
    refused = await client.get("/who", headers=key)
    assert_problem(refused, 503, "unavailable")
    assert refused.headers["retry-after"] == "3"

    async def silent(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Line, "fetch", silent)
    monkeypatch.setattr(lookup, "SECONDS", 0.01)
    assert_problem(await client.get("/who", headers=key), 503, "unavailable")


def test_keys_differ_and_read_back() -> None:
    keys = [new_key() for _ in range(200)]
    assert len({read_key(key) for key in keys} - {None}) == 200
    assert len({key[:15] for key in keys}) == 200


@given(st.integers(0, 63), st.characters(min_codepoint=33, max_codepoint=126))
def test_a_changed_character_is_noticed(at: int, character: str) -> None:
    key = new_key()
    changed = key[:at] + character + key[at + 1 :]
    assert (read_key(changed) is None) == (changed != key)


@given(st.text(max_size=100))
def test_any_text_is_no_key(text: str) -> None:
    assert read_key(text) is None
    assert read_key("yk_" + text) is None
