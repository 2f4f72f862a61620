"""The model service over real connections."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from tests.core.http.small_app import assert_problem
from tests.core.llm.conftest import Open
from tests.core.llm.server import Answer, Asked, Server
from tests.core.llm.vendors import Compatible, settings
from yeoul.core.auth.dependencies import current_principal
from yeoul.core.auth.principal import Principal
from yeoul.core.db.database import Database
from yeoul.core.http.install import install
from yeoul.core.llm import router as rooms
from yeoul.core.llm.gateway import Gateway
from yeoul.core.runtime.keys import Keys

VENDOR = Compatible()
SOMEBODY = Principal(UUID(int=1), "user", None, "bearer")


class Listening(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


@pytest.fixture
def app(vendor_server: Server, open_gateway: Open) -> FastAPI:
    """The routes on a gateway with scripted models and a scripted OpenAI-compatible server; somebody is signed in."""
    chosen = settings(
        fake_models=True,
        local_enabled=False,
        compatible_base_url=vendor_server.url,
        secret_key="0123456789abcdef0123456789abcdef",
        default_model="fake/echo",
        user_keys="off",
    )
    app = FastAPI()
    gateway = open_gateway(chosen)
    keys = Keys(chosen, Database("postgresql://nowhere", "postgresql://nowhere", pool_size=1), gateway)
    app.state.services = SimpleNamespace(settings=chosen, gateway=gateway, keys=keys, readiness={})
    install(app, chosen)
    app.include_router(rooms.router)
    app.dependency_overrides[current_principal] = lambda: SOMEBODY
    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncGenerator[httpx.AsyncClient]:
    server = Listening(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve())
    await server.up.wait()
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        yield client
    server.should_exit = True
    await task


async def goes_on(asked: Asked, answer: Answer) -> None:
    await answer.open_stream()
    await answer.piece(VENDOR.events(["Half "])[0])
    await asked.gone.wait()


async def says_nothing(asked: Asked, answer: Answer) -> None:
    await asked.gone.wait()


def data_of(text: str) -> list[dict[str, Any]]:
    """The data of each event of a stream."""
    return [json.loads(block.removeprefix("data: ")) for block in text.split("\n\n") if block.startswith("data: ")]


async def test_who_is_not_signed_in(app: FastAPI, client: httpx.AsyncClient) -> None:
    app.dependency_overrides.clear()
    for method, path in (
        ("GET", "/models"),
        ("GET", "/api/models"),
        ("POST", "/generate"),
        ("POST", "/batch_generate"),
    ):
        answer = await client.request(method, path, json={"prompt": "hi"} if method == "POST" else None)
        assert_problem(answer, 401, "unauthenticated")


@pytest.mark.parametrize("path", ["/models", "/api/models"])
async def test_models(path: str, client: httpx.AsyncClient) -> None:
    answer = (await client.get(path)).json()
    assert answer["default"] == "fake/echo"
    by_id = {model["id"]: model for model in answer["models"]}
    assert by_id["fake/echo"]["available"] is True
    gpt = by_id["openai/gpt-4.1-mini"]
    assert (gpt["provider"], gpt["available"], gpt["context"]) == ("openai", False, 1_000_000)
    assert Decimal(gpt["prices"]["input"]) == Decimal("0.4")
    assert gpt["reason"].startswith("OPENAI_API_KEY is missing")


@pytest.mark.parametrize(
    "body",
    [
        {"model": "fake/echo", "prompt": "one two"},
        {"selected_model": "fake/echo", "user_prompt": "one two", "system_prompt": "Be brief."},
        {"messages": [{"role": "user", "content": "one two"}], "parameters": {"temperature": 0.1}},
    ],
)
async def test_generate(body: dict[str, Any], client: httpx.AsyncClient) -> None:
    answer = (await client.post("/generate", json=body)).json()
    assert answer["text"] == "one two"
    assert answer["tokens"] == {"input": 2, "output": 2, "total": 4}
    assert 0 <= answer["time"] < 5
    assert (answer["model"], answer["finish_reason"], answer["cost"]) == ("fake/echo", "stop", "0")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, []),
        ({"prompt": "a", "messages": [{"role": "user", "content": "b"}]}, []),
        ({"messages": [{"role": "system", "content": "b"}]}, ["messages"]),
        ({"messages": []}, ["messages"]),
        ({"prompt": ""}, ["prompt"]),
        ({"prompt": "a", "parameters": {"temperature": 3}}, ["parameters", "temperature"]),
        ({"prompt": "a", "parameters": {"tmperature": 1}}, ["parameters", "tmperature"]),
        ({"prompt": "a", "parameters": {"stop": ["1", "2", "3", "4", "5"]}}, ["parameters", "stop"]),
        ({"prompt": "a", "iterations": 2}, ["iterations"]),
    ],
)
async def test_what_is_refused(body: dict[str, Any], field: list[str], client: httpx.AsyncClient) -> None:
    problem = assert_problem(await client.post("/generate", json=body), 422, "invalid_input")
    assert problem["errors"][0]["loc"] == ["body", *field]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("fake/nobody", 404, "unknown_model"),
        ("openai/gpt-4.1-mini", 503, "model_not_ready"),
        ("fake/error-401", 502, "model_auth_failed"),
        ("fake/error-429", 429, "model_rate_limited"),
        ("fake/error-context", 422, "context_too_long"),
    ],
)
async def test_errors_before_the_first_piece_have_their_status(
    model: str, status: int, code: str, stream: bool, client: httpx.AsyncClient
) -> None:
    answer = await client.post("/generate", json={"model": model, "prompt": "hi", "stream": stream})
    assert_problem(answer, status, code)


async def test_streaming(client: httpx.AsyncClient) -> None:
    answer = await client.post("/generate", json={"prompt": "eins zwei 여울", "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    assert answer.headers["x-accel-buffering"] == "no"
    *texts, done = data_of(answer.text)
    assert texts == [{"text": "eins "}, {"text": "zwei "}, {"text": "여울"}]
    assert done["done"] is True
    assert done["tokens"] == {"input": 3, "output": 3, "total": 6}
    assert (done["model"], done["finish_reason"], done["cost"]) == ("fake/echo", "stop", "0")
    assert "text" not in done


async def test_an_error_midway_arrives_in_the_stream(client: httpx.AsyncClient) -> None:
    script = json.dumps({"steps": ["half ", {"error": 500}]})
    answer = await client.post("/generate", json={"model": "fake/script", "prompt": script, "stream": True})
    assert answer.status_code == 200
    text, failed = data_of(answer.text)
    assert text == {"text": "half "}
    assert (failed["error"]["code"], failed["error"]["status"]) == ("model_unavailable", 503)
    assert failed["error"]["request_id"] == answer.headers["x-request-id"]


async def test_a_slow_start_keeps_the_connection_alive(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(rooms, "HEARTBEAT_SECONDS", 0.05)
    script = json.dumps({"steps": [{"text": "at last", "after_ms": 400}]})
    answer = await client.post("/generate", json={"model": "fake/script", "prompt": script, "stream": True})
    assert answer.text.startswith(": still here\n\n")
    assert data_of(answer.text)[0] == {"text": "at last"}


async def test_leaving_ends_the_call(client: httpx.AsyncClient, vendor_server: Server) -> None:
    vendor_server.scripts = [goes_on]
    body = {"model": VENDOR.model, "prompt": "hi", "stream": True}
    async with client.stream("POST", "/generate", json=body) as answer:
        assert data_of(await anext(answer.aiter_text())) == [{"text": "Half "}]
    await asyncio.wait_for(vendor_server.asked[0].gone.wait(), 1)


@pytest.mark.parametrize("stream", [False, True])
async def test_leaving_before_the_answer_begins_ends_the_call(
    stream: bool, client: httpx.AsyncClient, vendor_server: Server
) -> None:
    vendor_server.scripts = [says_nothing]
    body = {"model": VENDOR.model, "prompt": "hi", "stream": stream}
    asking = asyncio.create_task(client.post("/generate", json=body))
    asked = await vendor_server.wait_for(1)
    asking.cancel()
    await asyncio.wait_for(asked.gone.wait(), 1)
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_who_does_not_read_is_hung_up_on(
    client: httpx.AsyncClient, vendor_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "SLOW_CLIENT_SECONDS", 0.3)

    async def pours(asked: Asked, answer: Answer) -> None:
        await answer.open_stream()
        event = VENDOR.events(["x" * 100_000])[0]
        while not asked.gone.is_set():
            await answer.piece(event)

    vendor_server.scripts = [pours]
    body = {"model": VENDOR.model, "prompt": "hi", "stream": True}
    async with client.stream("POST", "/generate", json=body) as answer:
        assert answer.status_code == 200  # and nothing more is read
        asked = await vendor_server.wait_for(1)
        await asyncio.wait_for(asked.gone.wait(), 20)


async def test_a_batch(client: httpx.AsyncClient) -> None:
    questions = [
        {"model": "fake/echo", "prompt": "one"},
        {"model": "fake/error-400", "prompt": "two"},
        {"model": "fake/nobody", "prompt": "three"},
        {"model": "fake/slow", "prompt": "4 words, 1 ms"},
    ]
    answer = await client.post("/batch_generate", json={"requests": questions})
    assert answer.status_code == 200
    one, two, three, four = answer.json()["results"]
    assert (one["text"], four["text"]) == ("one", "word1 word2 word3 word4 ")
    assert (two["error"]["code"], three["error"]["code"]) == ("model_request_rejected", "unknown_model")


async def test_a_batch_is_bounded(client: httpx.AsyncClient) -> None:
    body = {"requests": [{"prompt": "x"}] * 33}
    assert_problem(await client.post("/batch_generate", json=body), 422, "invalid_input")
    assert_problem(await client.post("/batch_generate", json={"requests": []}), 422, "invalid_input")


async def test_a_batch_asks_four_at_a_time(app: FastAPI, client: httpx.AsyncClient) -> None:
    class Counting(Gateway):
        now = most = 0

        async def stream(self, request: Any, *, caller: Any = None, key: Any = None) -> AsyncGenerator[Any]:
            Counting.now += 1
            Counting.most = max(Counting.most, Counting.now)
            try:
                async with aclosing(super().stream(request, caller=caller, key=key)) as items:
                    async for item in items:
                        yield item
            finally:
                Counting.now -= 1

    counting = Counting(app.state.services.settings)
    app.state.services.gateway = counting
    body = {"requests": [{"model": "fake/slow", "prompt": "3 words, 20 ms"}] * 12}
    answer = await client.post("/batch_generate", json=body)
    assert [item["text"] for item in answer.json()["results"]] == ["word1 word2 word3 "] * 12
    assert Counting.most == 4
    await counting.aclose()


async def test_leaving_a_batch_ends_its_calls(client: httpx.AsyncClient, vendor_server: Server) -> None:
    vendor_server.scripts = [says_nothing]
    body = {"requests": [{"model": VENDOR.model, "prompt": "hi"}] * 3}
    asking = asyncio.create_task(client.post("/batch_generate", json=body))
    await vendor_server.wait_for(3)
    asking.cancel()
    async with asyncio.timeout(1):
        for asked in vendor_server.asked:
            await asked.gone.wait()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_many_at_once(client: httpx.AsyncClient) -> None:
    async def one(number: int) -> str:
        body = {"model": "fake/slow", "prompt": f"{number} words, 1 ms", "stream": True}
        parts = [part async for part in pieces(client, body)]
        return "".join(parts)

    answers = await asyncio.gather(*(one(number) for number in range(1, 21)))
    assert [len(answer.split()) for answer in answers] == list(range(1, 21))


async def pieces(client: httpx.AsyncClient, body: dict[str, Any]) -> AsyncIterator[str]:
    async with client.stream("POST", "/generate", json=body) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: ") and "text" in (data := json.loads(line[6:])):
                yield data["text"]
