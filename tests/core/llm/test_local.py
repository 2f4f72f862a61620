"""The local model, for real: SmolLM2 135M in its own llama.cpp process."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.core.llm.conftest import Open
from tests.core.llm.pictures import PNG
from tests.core.llm.vendors import settings
from yeoul.core.base import json_schema
from yeoul.core.llm import local as local_module
from yeoul.core.llm.errors import ContextTooLong, ModelCannot, ModelNotReady
from yeoul.core.llm.gateway import Gateway, Retry
from yeoul.core.llm.images import Image
from yeoul.core.llm.local import LocalServer
from yeoul.core.llm.schemas import Completed, CompletionRequest, Parameters, TextDelta
from yeoul.settings import Settings

NAME = "smollm2-135m"


@pytest.fixture
def local(local_weights: Path) -> Settings:
    return settings(models_dir=local_weights, local_context=1024)


@pytest.fixture
async def server(local: Settings) -> AsyncGenerator[LocalServer]:
    made = LocalServer(local)
    yield made
    await made.stop()


@pytest.fixture
async def gateway(local: Settings) -> AsyncGenerator[Gateway]:
    made = Gateway(local, retry=Retry(first=0.1))
    yield made
    await made.aclose()


def ours() -> list[psutil.Process]:
    """The local models' processes that this one started."""
    return [child for child in psutil.Process().children() if "yeoul.core.llm.local_server" in child.cmdline()]


async def ask(gateway: Gateway, prompt: str, **parameters: object) -> tuple[list[str], Completed]:
    request = CompletionRequest.ask(prompt, model=f"local/{NAME}", parameters=Parameters.model_validate(parameters))
    items = [item async for item in gateway.stream(request)]
    last = items.pop()
    assert isinstance(last, Completed)
    return [item.text for item in items if isinstance(item, TextDelta)], last


async def test_two_questions_get_two_answers(gateway: Gateway) -> None:
    france, first = await ask(gateway, "What is the capital of France?", max_tokens=40)
    rivers, second = await ask(gateway, "Write one sentence about rivers.", max_tokens=40)
    assert len(france) > 3
    assert len(rivers) > 3
    assert first.text != second.text
    assert first.text == "".join(france)
    for done in (first, second):
        assert done.model == f"local/{NAME}"
        assert done.cost.usd == 0
        assert done.usage is not None
        assert done.usage.input_tokens > 5
        assert done.usage.output_tokens > 3
        assert done.first_token_ms is not None


async def test_the_longest_answer(gateway: Gateway) -> None:
    _, done = await ask(gateway, "Count to a hundred.", max_tokens=7)
    assert done.finish_reason == "length"
    assert done.usage is not None
    assert done.usage.output_tokens == 7


async def test_an_answer_keeps_to_a_schema(gateway: Gateway) -> None:
    """Small as the model is, its grammar leaves it no other choice."""
    person = {
        "type": "object",
        "properties": {
            "mood": {"enum": ["calm", "angry"]},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "calm": {"type": "boolean"},
        },
        "required": ["mood", "age", "calm"],
        "additionalProperties": False,
    }
    request = CompletionRequest.ask(
        "Mina is a calm woman of 31 years. Describe her.",
        model=f"local/{NAME}",
        response_schema=person,
        parameters=Parameters(max_tokens=100),
    )
    items = [item async for item in gateway.stream(request)]
    done = items.pop()
    assert isinstance(done, Completed)
    assert len(items) > 3, "JSON is streamed as any text"
    answer = json.loads(done.text)
    assert json_schema.faults(person, answer) == []
    assert list(answer) == ["mood", "age", "calm"]


async def test_it_reads_no_images(gateway: Gateway) -> None:
    request = CompletionRequest.ask("hi", model=f"local/{NAME}", images=[Image(media_type="image/png", data=PNG)])
    with pytest.raises(ModelCannot, match="reads no images"):
        await gateway.complete(request)
    assert ours() == [], "nothing was started for it"


async def test_a_conversation_that_is_too_long(gateway: Gateway) -> None:
    with pytest.raises(ContextTooLong):
        await ask(gateway, "word " * 3000)


async def test_more_questions_than_slots_wait_their_turn(local: Settings) -> None:
    # What waits longer than the silence allowed inside a call is no silence of the model.
    patient = local.model_copy(update={"local_parallel": 1, "model_idle_seconds": 5})
    gateway = Gateway(patient)
    try:
        answers = await asyncio.gather(*(ask(gateway, f"Write about the number {n}.", max_tokens=20) for n in range(3)))
    finally:
        await gateway.aclose()
    assert all(done.usage is not None and done.usage.output_tokens <= 20 for _, done in answers)


async def test_canceling_frees_the_model(local: Settings) -> None:
    gateway = Gateway(local.model_copy(update={"local_parallel": 1}))
    begun = asyncio.Event()

    async def listen() -> None:
        request = CompletionRequest.ask("Write a very long story.", model=f"local/{NAME}")
        async for _ in gateway.stream(request):
            begun.set()

    try:
        listening = asyncio.create_task(listen())
        await asyncio.wait_for(begun.wait(), 60)
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening
        _, done = await ask(gateway, "Hi", max_tokens=3)
    finally:
        await gateway.aclose()
    assert done.first_token_ms is not None
    assert done.first_token_ms < 5_000  # a story of 900 tokens takes longer


async def test_the_process(server: LocalServer) -> None:
    assert ours() == []
    address, key = await server.address()
    assert address.startswith("http://127.0.0.1:")
    pid = server.pid
    assert pid is not None
    process = psutil.Process(pid)
    assert process.nice() == 10
    assert {connection.laddr.ip for connection in process.net_connections() if connection.status == "LISTEN"} == {
        "127.0.0.1"
    }
    question = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    async with httpx.AsyncClient(base_url=address) as client:
        assert (await client.post("/v1/chat/completions", json=question)).status_code == 401
        known = {"Authorization": f"Bearer {key}"}
        assert (await client.post("/v1/chat/completions", json=question, headers=known)).status_code == 200
    assert await server.address() == (address, key)
    await server.stop()
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize(("cores", "given", "threads"), [(8, None, 7), (2, None, 1), (1, None, 1), (8, 3, 3)])
def test_it_leaves_a_core_to_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cores: int, given: int | None, threads: int
) -> None:
    monkeypatch.setattr(local_module, "cores", lambda: cores)
    server = LocalServer(settings(models_dir=tmp_path, local_threads=given))
    assert server._order(NAME, "key")["threads"] == threads


@pytest.mark.faults
async def test_a_killed_process_is_started_again(gateway: Gateway, server: LocalServer) -> None:
    first = await server.address()
    pid = server.pid
    assert pid is not None
    process = psutil.Process(pid)
    process.kill()
    process.wait(5)
    async with asyncio.timeout(5):
        while await server.address() == first:  # until the loop has heard of it
            await asyncio.to_thread(time.sleep, 0.01)
    assert server.pid not in {None, pid}


async def test_who_gives_up_waiting_leaves_the_start_to_the_others(server: LocalServer) -> None:
    first, second = (asyncio.create_task(server.address()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    address = await second
    assert await server.address() == address
    assert [process.pid for process in ours()] == [server.pid]


async def test_stopping_while_it_starts(server: LocalServer) -> None:
    starting = asyncio.create_task(server.address())
    async with asyncio.timeout(10):
        while not ours():
            await asyncio.to_thread(time.sleep, 0.01)
    await server.stop()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert ours() == []


@pytest.mark.faults
async def test_a_question_survives_the_death_of_an_idle_process(gateway: Gateway) -> None:
    await ask(gateway, "Hi", max_tokens=2)
    (victim,) = ours()
    victim.kill()
    _, done = await ask(gateway, "Hi", max_tokens=2)
    assert done.text


PARENT = """
import asyncio, sys
from pathlib import Path
from yeoul.core.llm.images import Image
from yeoul.core.llm.local import LocalServer
from yeoul.settings import Settings

async def main():
    server = LocalServer(Settings(_env_file=None, models_dir=Path(sys.argv[1]), local_context=1024))
    await server.address()
    print("pid", server.pid, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


@pytest.mark.faults
async def test_the_process_dies_with_its_parent(local: Settings) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(local.weights_dir), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    while not (line := await parent.stdout.readline()).startswith(b"pid "):
        assert line, "the parent died"
    child = psutil.Process(int(line.split()[1]))
    assert child.is_running()
    parent.kill()
    began = time.monotonic()
    await asyncio.to_thread(child.wait, 5)
    assert time.monotonic() - began < 2
    await parent.wait()


async def test_weights_that_are_none(tmp_path: Path, open_gateway: Open) -> None:
    pytest.importorskip("xllamacpp", reason="the extra `local` is not installed")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")
    gateway = open_gateway(settings(local_model=str(broken)))
    with pytest.raises(ModelNotReady, match="`local/broken` did not start"):
        await gateway.complete(CompletionRequest.ask("hi", model="local/broken"))
