"""``/api/provider-keys``: tried when they are given, never shown again, nobody else's."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from tests.conftest import Account, Register
from tests.core.llm import server
from tests.core.provider_keys.conftest import BAD, DOWN, EMPTY, JUNS, KEYS, MINAS, key_of
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.settings import Settings

URL = "/api/provider-keys"

Put = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
async def mina(register: Register) -> Account:
    return await register("mina")


@pytest.fixture
def put(client: httpx.AsyncClient, mina: Account) -> Put:
    """Gives a key as somebody, Mina unless it is said."""

    async def give(key: str, who: Account = mina, provider: str = "openai", query: str = "") -> httpx.Response:
        return await client.put(f"{URL}/{provider}{query}", json={"key": key}, headers=who.headers)

    return give


async def test_stored_listed_replaced_and_removed(
    client: httpx.AsyncClient, put: Put, mina: Account, vendor: server.Server
) -> None:
    before = (await client.get(URL, headers=mina.headers)).json()
    assert before["items"] == []
    assert {"provider": "openai", "title": "OpenAI"} in before["providers"]
    assert before["policy"] == "prefer"
    assert "compatible" not in [one["provider"] for one in before["providers"]], "there is no such server here"
    stored = await put(f"  {MINAS}\n")
    assert stored.status_code == 200, stored.text
    assert stored.headers["cache-control"] == "no-store"
    assert stored.json() | {"created_at": ""} == {
        "provider": "openai", "title": "OpenAI", "hint": "1111", "created_at": "", "last_used_at": None,
        "checked": True, "note": None,
    }  # fmt: skip
    assert [key_of(asked) for asked in vendor.asked] == [MINAS], "one call, with the key alone"
    listed = await client.get(URL, headers=mina.headers)
    (item,) = listed.json()["items"]
    assert (item["provider"], item["hint"], set(item)) == (
        "openai", "1111", {"provider", "title", "hint", "created_at", "last_used_at"},
    )  # fmt: skip
    assert MINAS not in listed.text + stored.text
    assert (await put(JUNS)).json()["hint"] == "2222"
    assert (await client.delete(f"{URL}/openai", headers=mina.headers)).status_code == 204
    gone = await client.delete(f"{URL}/openai", headers=mina.headers)
    assert (gone.status_code, gone.json()["code"]) == (404, "secret_not_found")


async def test_a_refused_key_is_not_stored_and_says_the_providers_words(
    client: httpx.AsyncClient, put: Put, mina: Account, capfd: pytest.CaptureFixture[str]
) -> None:
    for query in ("", "?unchecked=true"):
        refused = await put(BAD, query=query)
        assert (refused.status_code, refused.json()["code"]) == (422, "provider_key_refused")
        assert "OpenAI refused this key" in refused.json()["detail"]
        assert refused.json()["said"] == "Incorrect API key provided: … Find yours at https://example.com/keys."
        assert BAD not in refused.text
    assert (await client.get(URL, headers=mina.headers)).json()["items"] == []
    heard = capfd.readouterr()
    assert "provider key refused" in heard.out + heard.err
    assert BAD not in heard.out + heard.err


async def test_an_empty_account_has_a_good_key(put: Put) -> None:
    stored = await put(EMPTY)
    assert stored.status_code == 200
    assert stored.json()["checked"]
    assert "Your OpenAI account is used up." in stored.json()["note"]
    assert EMPTY not in stored.text


async def test_a_provider_that_cannot_be_asked(client: httpx.AsyncClient, put: Put, mina: Account) -> None:
    untold = await put(DOWN)
    assert (untold.status_code, untold.json()["code"]) == (503, "provider_key_unchecked")
    assert "unchecked=true" in untold.json()["detail"]
    assert (await client.get(URL, headers=mina.headers)).json()["items"] == []
    stored = await put(DOWN, query="?unchecked=true")
    assert (stored.status_code, stored.json()["checked"]) == (200, False)


@pytest.mark.parametrize("key", ["short", "x" * 501, "two words here", "sk-line\nX-Evil: 1", "sk-한글-열쇠-입니다"])
async def test_what_is_no_key_is_refused_unread(put: Put, vendor: server.Server, key: str) -> None:
    refused = await put(key)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")
    assert key not in refused.text
    assert vendor.asked == []


async def test_providers_that_take_none(client: httpx.AsyncClient, put: Put) -> None:
    for name in ("local", "fake", "nobody", "compatible"):
        refused = await put(MINAS, provider=name)
        assert (refused.status_code, refused.json()["code"]) == (404, "unknown_provider")
        assert "openai" in refused.json()["detail"]


async def test_it_is_no_oracle_for_keys(
    client: httpx.AsyncClient, app: FastAPI, put: Put, register: Register, vendor: server.Server
) -> None:
    """Of many keys tried at once no more than the quota are asked about; good ones cost nothing of it."""
    app.state.services.settings.login_attempts = 3
    for _ in range(4):
        assert (await put(MINAS)).status_code == 200
    before = len(vendor.asked)
    answers = await asyncio.gather(*(put(f"{BAD}{n}") for n in range(8)))
    assert sorted(answer.status_code for answer in answers) == [422] * 3 + [429] * 5
    assert len(vendor.asked) - before == 3
    refused = await put(MINAS)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert int(refused.headers["retry-after"]) > 60
    other = await register("jun")  # from the same address
    assert (await put(JUNS, who=other)).status_code == 429


async def test_everybody_has_their_own(
    client: httpx.AsyncClient, put: Put, register: Register, mina: Account, urls: DatabaseUrls
) -> None:
    jun = await register("jun")
    await put(MINAS)
    assert (await client.get(URL, headers=jun.headers)).json()["items"] == []
    assert (await client.delete(f"{URL}/openai", headers=jun.headers)).status_code == 404
    assert (await client.get(URL)).status_code == 401
    with psycopg.connect(urls.app) as connection:
        connection.execute("SELECT set_config('yeoul.user_id', %s, true)", [str(jun.id)])
        assert connection.execute("SELECT count(*) FROM yeoul.secrets").fetchone() == (0,)
    with psycopg.connect(urls.service) as connection:
        dump = connection.execute("SELECT json_agg(s)::text FROM yeoul.secrets s").fetchone()
        assert dump is not None
        assert all(key not in dump[0] for key in KEYS)


async def test_programs_may_neither_look_nor_change(client: httpx.AsyncClient, mina: Account) -> None:
    made = (await client.post("/api/keys", json={"name": "x"}, headers=mina.headers)).json()
    program = {"Authorization": f"Bearer {made['key']}"}
    answers = [
        await client.get(URL, headers=program),
        await client.put(f"{URL}/openai", json={"key": MINAS}, headers=program),
        await client.delete(f"{URL}/openai", headers=program),
    ]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(403, "not_with_a_key")}


class TestWhereTheyAreOff:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"user_keys": "off"})

    async def test_none_is_taken(self, put: Put, vendor: server.Server) -> None:
        refused = await put(MINAS)
        assert (refused.status_code, refused.json()["code"]) == (403, "own_keys_off")
        assert vendor.asked == []
