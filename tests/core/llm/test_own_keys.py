"""Calls with users' own keys: connections of their own, and no word of the key in what goes wrong."""

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.llm import server
from tests.core.llm.conftest import Open
from tests.core.llm.vendors import Anthropic, OpenAI, settings
from yeoul.core.llm.connections import Connections
from yeoul.core.llm.errors import ModelAuthFailed, ModelNotReady, RequestRejected
from yeoul.core.llm.own_keys import hidden
from yeoul.core.llm.providers.base import Connection
from yeoul.core.llm.providers.registry import PROVIDERS
from yeoul.core.llm.schemas import Completed, CompletionRequest

KEY = "sk-my-own-key-abcdefgh"
OPENAI = CompletionRequest.ask("Hello", model="openai/gpt-4.1-mini")


async def test_a_model_is_there_with_a_key_alone(open_gateway: Open, vendor_server: server.Server) -> None:
    gateway = open_gateway(settings(anthropic_base_url=vendor_server.url))
    claude = CompletionRequest.ask("Hello", model="anthropic/claude-haiku-4-5")

    async def answers(_: server.Asked, answer: server.Answer) -> None:
        await answer.open_stream()
        for event in Anthropic().events(["yes"]):
            await answer.piece(event)
        await answer.end()

    vendor_server.scripts = [answers]
    with pytest.raises(ModelNotReady):
        await gateway.complete(claude)
    assert (await gateway.complete(claude, key=KEY)).text == "yes"
    assert vendor_server.asked[0].headers["authorization"] == f"Bearer {KEY}"


async def test_the_installations_account_is_not_named(
    open_gateway: Open, vendor_server: server.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenAI's SDK adds the environment's organisation to any key; another account's key would be refused for it."""
    monkeypatch.setenv("OPENAI_ORG_ID", "org-ours")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-ours")

    async def answers(_: server.Asked, answer: server.Answer) -> None:
        await answer.open_stream()
        for event in OpenAI().events(["yes"]):
            await answer.piece(event)
        await answer.end()

    vendor_server.scripts = [answers]
    gateway = open_gateway(settings(openai_api_key="ours", openai_base_url=vendor_server.url))
    await gateway.complete(OPENAI)
    await gateway.complete(OPENAI, key=KEY)
    ours, theirs = (asked.headers for asked in vendor_server.asked)
    assert (ours["openai-organization"], ours["openai-project"]) == ("org-ours", "proj-ours")
    assert not {"openai-organization", "openai-project"} & set(theirs)


@pytest.mark.parametrize(("status", "error"), [(401, ModelAuthFailed), (400, RequestRejected)])
async def test_a_key_that_is_repeated_goes_no_further(
    open_gateway: Open, vendor_server: server.Server, status: int, error: type[Exception]
) -> None:
    async def repeats(_: server.Asked, answer: server.Answer) -> None:
        await answer.json(status, {"error": {"message": f"No use for {KEY} or {KEY[:12]}***gh here", "type": "x"}})

    vendor_server.scripts = [repeats]
    gateway = open_gateway(settings(openai_base_url=vendor_server.url))
    with pytest.raises(error) as refused:
        await gateway.complete(OPENAI, key=KEY)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
    told = f"{refused.value} {vars(refused.value)}"
    assert KEY[:8] not in told
    assert "No use for … or … here" in told


@given(st.text(st.characters(codec="ascii", exclude_categories=["C", "Z"]), min_size=8, max_size=60), st.data())
def test_no_part_of_a_key_is_left(key: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(key) - 8))
    said = f"What is {key}, or {key[start:]} or <{key[: start + 8]}>?"
    assert all(key[at : at + 8] not in hidden(said, key) for at in range(len(key) - 7))


class TestConnections:
    @pytest.fixture
    def connections(self) -> Connections:
        return Connections(settings(openai_api_key="ours"), most_own=2)

    async def test_each_key_has_its_own_and_the_oldest_go(self, connections: Connections) -> None:
        provider = PROVIDERS["openai"]
        opened: dict[str, Connection] = {}

        async def use(key: str | None) -> Connection:
            async with connections.use(provider, key) as connection:
                return connection

        for key in ("key-one", "key-two"):
            opened[key] = await use(key)
        ours = await use(None)
        assert len({id(one) for one in (ours, *opened.values())}) == 3
        assert await use("key-one") is opened["key-one"]
        await use("key-three")
        assert await use("key-one") is opened["key-one"]
        assert await use(None) is ours
        assert await use("key-two") is not opened["key-two"], "it had been unused for longest"
        await connections.aclose()

    async def test_what_is_in_use_stays(self, connections: Connections) -> None:
        provider = PROVIDERS["openai"]
        async with connections.use(provider, "busy") as busy:
            for n in range(4):
                async with connections.use(provider, f"key {n}"):
                    pass
            async with connections.use(provider, "busy") as again:
                assert again is busy
        await connections.aclose()

    async def test_many_at_once_open_one(self, connections: Connections) -> None:
        async def use() -> Connection:
            async with connections.use(PROVIDERS["openai"], "one key") as connection:
                return connection

        assert len({id(one) for one in await asyncio.gather(*(use() for _ in range(20)))}) == 1
        await connections.aclose()


async def test_an_evicted_connection_is_closed_and_a_stream_on_it_ends_well(
    open_gateway: Open, vendor_server: server.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yeoul.core.llm.connections.MOST_OWN", 1)
    go_on = asyncio.Event()

    async def answers(asked: server.Asked, answer: server.Answer) -> None:
        await answer.open_stream()
        first, *rest = OpenAI().events(["slow", " and steady"])
        await answer.piece(first)
        if asked.headers["authorization"].endswith("slow-key"):
            await go_on.wait()
        for event in rest:
            await answer.piece(event)
        await answer.end()

    vendor_server.scripts = [answers]
    gateway = open_gateway(settings(openai_base_url=vendor_server.url))
    async with aclosing(gateway.stream(OPENAI, key="the-slow-key")) as items:
        await anext(items)
        for n in range(3):
            await gateway.complete(OPENAI, key=f"another-key-{n}")
        go_on.set()
        last = [item async for item in items][-1]
    assert isinstance(last, Completed)
    assert last.text == "slow and steady"
