"""Whose key a call uses: a real server stands in for OpenAI and looks at what it is asked with."""

import asyncio
import json
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from tests.conftest import Account, Register
from tests.core.llm import server
from tests.core.provider_keys.conftest import BAD, JUNS, MINAS, OURS, key_of, settings, vendor
from yeoul.core.runtime.keys import Keys
from yeoul.core.vault.cipher import Cipher
from yeoul.core.vault.service import Vault
from yeoul.setting_types import ModelLimit
from yeoul.settings import Settings

__all__ = ["settings", "vendor"]

MODEL = "openai/gpt-4.1-mini"


@pytest.fixture
def keys(app: FastAPI) -> Keys:
    found: Keys = app.state.services.keys
    return found


async def ask(client: httpx.AsyncClient, who: Account, kind: str = "llm.complete", **given: Any) -> dict[str, Any]:
    """A job, once it has ended."""
    body = {"kind": kind, "input": {"model": MODEL, **({"prompt": "Hello"} if kind == "llm.complete" else {}), **given}}
    made = await client.post("/api/jobs", json=body, headers=who.headers)
    assert made.status_code == 202, made.text
    await client.get(f"/api/jobs/{made.json()['id']}/events", headers=who.headers)
    job: dict[str, Any] = (await client.get(f"/api/jobs/{made.json()['id']}", headers=who.headers)).json()
    return job


async def test_a_job_uses_its_owners_key_while_there_is_one(
    client: httpx.AsyncClient, register: Register, keys: Keys, vendor: server.Server
) -> None:
    mina, jun = await register("mina"), await register("jun")
    await keys.vault.store(mina.id, "openai", MINAS)
    assert (await ask(client, mina))["output"]["text"] == "answered to 1111"
    assert (await ask(client, jun))["output"]["text"] == "answered to 0000"
    await keys.vault.store(mina.id, "openai", JUNS)
    assert (await ask(client, mina))["output"]["text"] == "answered to 2222"
    await keys.vault.remove(mina.id, "openai")
    assert (await ask(client, mina))["output"]["text"] == "answered to 0000"
    assert [key_of(asked) for asked in vendor.asked] == [MINAS, OURS, JUNS, OURS]


async def test_every_way_to_ask(
    client: httpx.AsyncClient, register: Register, keys: Keys, vendor: server.Server
) -> None:
    mina = await register("mina")
    await keys.vault.store(mina.id, "openai", MINAS)
    question = {"model": MODEL, "prompt": "Hello"}
    embedding = {"model": "openai/text-embedding-3-small", "input": "Hello"}
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/generate", question),
        ("/generate", question | {"stream": True}),
        ("/batch_generate", {"requests": [question, question]}),
        ("/v1/chat/completions", {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}),
        ("/v1/embeddings", embedding),
    ]
    for path, body in asked:
        answer = await client.post(path, json=body, headers=mina.headers)
        assert answer.status_code == 200, answer.text
    texts = {"model": embedding["model"], "texts": ["a", "b"], "encoding_format": "float"}
    job = await ask(client, mina, "llm.embed", **texts)
    assert job["output"]["vectors"] == [[1, 1], [1, 1]]
    assert {key_of(one) for one in vendor.asked} == {MINAS}


async def test_keys_never_mix(client: httpx.AsyncClient, register: Register, keys: Keys, vendor: server.Server) -> None:
    people = {"1111": await register("mina"), "2222": await register("jun"), "0000": await register("sora")}
    await keys.vault.store(people["1111"].id, "openai", MINAS)
    await keys.vault.store(people["2222"].id, "openai", JUNS)
    turns = [ending for _ in range(12) for ending in people]
    jobs = await asyncio.gather(*(ask(client, people[ending]) for ending in turns))
    assert [job["output"]["text"] for job in jobs] == [f"answered to {ending}" for ending in turns]
    assert len(vendor.asked) == 36


async def test_a_key_that_is_refused_later(
    client: httpx.AsyncClient, register: Register, keys: Keys, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its owner's job fails in words, does not fall back on the installation's, and nothing tells the key."""
    mina = await register("mina")
    await keys.vault.store(mina.id, "openai", BAD)
    job = await ask(client, mina)
    assert (job["status"], job["error"]["code"]) == ("failed", "model_auth_failed")
    assert "refused your own key" in job["error"]["message"]
    answer = await client.post("/generate", json={"model": MODEL, "prompt": "Hello"}, headers=mina.headers)
    assert (answer.status_code, answer.json()["code"]) == (502, "model_auth_failed")
    heard = capfd.readouterr()
    assert BAD not in json.dumps(job) + answer.text + heard.out + heard.err
    metrics = await client.get("/metrics")
    assert BAD not in metrics.text


async def test_a_key_that_cannot_be_read_is_not_replaced_by_ours(
    client: httpx.AsyncClient, register: Register, app: FastAPI, vendor: server.Server
) -> None:
    mina = await register("mina")
    await Vault(app.state.services.database, Cipher(["x" * 32])).store(mina.id, "openai", MINAS)
    job = await ask(client, mina)
    assert (job["status"], job["error"]["code"]) == ("failed", "secret_lost")
    assert vendor.asked == []


async def test_after_a_rotation_it_goes_on(client: httpx.AsyncClient, register: Register, app: FastAPI) -> None:
    mina = await register("mina")
    services = app.state.services
    await services.keys.vault.store(mina.id, "openai", MINAS)
    assert (await ask(client, mina))["output"]["text"] == "answered to 1111"
    old = services.settings.vault_keys[0]
    services.keys.__dict__["vault"] = Vault(services.database, Cipher(["n" * 32, old]))
    assert (await services.keys.vault.rotate()).done == 1
    services.keys.__dict__["vault"] = Vault(services.database, Cipher(["n" * 32]))
    assert (await ask(client, mina))["output"]["text"] == "answered to 1111"


async def test_a_model_is_there_for_whoever_has_a_key(
    client: httpx.AsyncClient, register: Register, keys: Keys
) -> None:
    mina, jun = await register("mina"), await register("jun")
    await keys.vault.store(mina.id, "anthropic", "sk-ant-some-key-3333")

    async def has(who: Account) -> tuple[bool, bool, bool]:
        models = (await client.get("/api/models", headers=who.headers)).json()["models"]
        (one,) = [model for model in models if model["id"] == "anthropic/claude-haiku-4-5"]
        listed = (await client.get("/v1/models", headers=who.headers)).text
        return one["available"], one["own_key"], one["id"] in listed

    assert await has(mina) == (True, True, True)
    assert await has(jun) == (False, False, False)


class TestLimits:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"model_limits": {"openai": ModelLimit(requests_per_minute=1)}})

    async def test_ours_do_not_hold_theirs(
        self, client: httpx.AsyncClient, register: Register, keys: Keys, vendor: server.Server
    ) -> None:
        """Nor do their calls use up ours."""
        mina, jun = await register("mina"), await register("jun")
        await keys.vault.store(mina.id, "openai", MINAS)
        for _ in range(3):
            assert (await ask(client, mina))["status"] == "succeeded"
        assert (await ask(client, jun))["status"] == "succeeded"
        held = await client.post("/generate", json={"model": MODEL, "prompt": "Hello"}, headers=jun.headers)
        assert (held.status_code, held.json()["code"]) == (429, "model_held")
        assert (await ask(client, mina))["status"] == "succeeded"
        assert [key_of(asked) for asked in vendor.asked] == [*[MINAS] * 3, OURS, MINAS]


class TestWhereOwnKeysAreRequired:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"user_keys": "require"})

    async def test_nobody_asks_with_ours(
        self, client: httpx.AsyncClient, register: Register, keys: Keys, vendor: server.Server
    ) -> None:
        mina = await register("mina")
        job = await ask(client, mina)
        assert (job["status"], job["error"]["code"]) == ("failed", "own_key_needed")
        assert "PUT /api/provider-keys/openai" in job["error"]["message"]
        answer = await client.post("/generate", json={"model": MODEL, "prompt": "Hello"}, headers=mina.headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "own_key_needed")
        models = (await client.get("/api/models", headers=mina.headers)).json()["models"]
        usable = {model["provider"] for model in models if model["available"]}
        assert usable == {"fake"}
        assert vendor.asked == []
        assert (await ask(client, mina, model="fake/echo"))["status"] == "succeeded"
        await keys.vault.store(mina.id, "openai", MINAS)
        assert (await ask(client, mina))["output"]["text"] == "answered to 1111"


class TestWhereOwnKeysAreOff:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"user_keys": "off"})

    async def test_all_ask_with_ours(
        self, client: httpx.AsyncClient, register: Register, app: FastAPI, keys: Keys
    ) -> None:
        mina = await register("mina")
        await keys.vault.store(mina.id, "openai", MINAS)
        assert (await ask(client, mina))["output"]["text"] == "answered to 0000"
        assert await keys.key(UUID(int=0), MODEL) is None
