import asyncio
import json
import subprocess
import sys
from contextlib import aclosing

import pytest

from tests.core.llm.conftest import Open
from tests.core.llm.vendors import settings
from yeoul.core.llm.errors import (
    ContentFiltered,
    ContextTooLong,
    ModelAuthFailed,
    ModelError,
    ModelNotReady,
    ModelOverloaded,
    ModelRateLimited,
    ModelTimeout,
    ModelUnavailable,
    RequestRejected,
    UnknownModel,
)
from yeoul.core.llm.gateway import Gateway, Retry
from yeoul.core.llm.schemas import Completed, CompletionRequest, Parameters, TextDelta, Usage


@pytest.fixture
def gateway(open_gateway: Open) -> Gateway:
    return open_gateway(settings(fake_models=True, model_idle_seconds=1))


def script(**fields: object) -> CompletionRequest:
    return CompletionRequest.ask(json.dumps(fields), model="fake/script")


async def heard(gateway: Gateway, request: CompletionRequest) -> tuple[list[str], Completed | ModelError]:
    """The pieces of an answer, and how it ended."""
    said: list[str] = []
    try:
        async for item in gateway.stream(request):
            if isinstance(item, Completed):
                return said, item
            said.append(item.text)
    except ModelError as error:
        return said, error
    raise AssertionError("neither an end nor an error")


async def test_echo(gateway: Gateway) -> None:
    said, done = await heard(gateway, CompletionRequest.ask("one  two\nthree", model="fake/echo"))
    assert said == ["one  ", "two\n", "three"]
    assert isinstance(done, Completed)
    assert (done.text, done.finish_reason, done.model) == ("one  two\nthree", "stop", "fake/echo")
    assert done.usage == Usage(input_tokens=3, output_tokens=3)
    assert done.cost.usd == 0


async def test_slow_counts_as_told(gateway: Gateway) -> None:
    done = await gateway.complete(CompletionRequest.ask("30 words, 1 ms", model="fake/slow"))
    assert done.text.split() == [f"word{n}" for n in range(1, 31)]
    assert done.time_ms >= 30


async def test_the_longest_answer(gateway: Gateway) -> None:
    request = CompletionRequest.ask("30 words, 0 ms", model="fake/slow", parameters=Parameters(max_tokens=4))
    done = await gateway.complete(request)
    assert (len(done.text.split()), done.finish_reason) == (4, "length")


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("fake/error-400", RequestRejected),
        ("fake/error-401", ModelAuthFailed),
        ("fake/error-429", ModelRateLimited),
        ("fake/error-500", ModelUnavailable),
        ("fake/error-529", ModelOverloaded),
        ("fake/error-context", ContextTooLong),
        ("fake/blocked", ContentFiltered),
        ("fake/silent", ModelTimeout),
        ("fake/nobody", UnknownModel),
        ("fake/script", RequestRejected),
    ],
)
async def test_scripted_errors(gateway: Gateway, model: str, error: type[ModelError]) -> None:
    _, ended = await heard(gateway, CompletionRequest.ask("hi", model=model))
    assert type(ended) is error


async def test_a_script_that_fails_first_is_tried_again(gateway: Gateway) -> None:
    said, done = await heard(gateway, script(fail_first=[500, 429], steps=["at ", "last"]))
    assert said == ["at ", "last"]
    assert isinstance(done, Completed)


async def test_a_failure_after_the_first_piece_is_not(gateway: Gateway) -> None:
    said, error = await heard(gateway, script(steps=["half ", {"error": 500}]))
    assert said == ["half "]
    assert isinstance(error, ModelUnavailable)


async def test_canceling_ends_the_call(gateway: Gateway) -> None:
    begun = asyncio.Event()

    async def listen() -> None:
        async for _ in gateway.stream(CompletionRequest.ask("100000 words, 10 ms", model="fake/slow")):
            begun.set()

    listening = asyncio.create_task(listen())
    await asyncio.wait_for(begun.wait(), 5)
    listening.cancel()
    async with asyncio.timeout(1):
        with pytest.raises(asyncio.CancelledError):
            await listening


async def test_who_stops_reading_ends_the_call(gateway: Gateway) -> None:
    async with aclosing(gateway.stream(CompletionRequest.ask("100000 words, 10 ms", model="fake/slow"))) as items:
        assert await anext(items) == TextDelta("word1 ")
    assert [item async for item in items] == []


async def test_models_that_are_not_set_up(open_gateway: Open) -> None:
    gateway = open_gateway(settings(fake_models=False))
    with pytest.raises(ModelNotReady, match="YEOUL_FAKE_MODELS=true"):
        await gateway.complete(CompletionRequest.ask("hi", model="fake/echo"))
    with pytest.raises(ModelNotReady, match="OPENAI_API_KEY is missing: set it or choose another model"):
        await gateway.complete(CompletionRequest.ask("hi", model="openai/gpt-4.1-mini"))


@pytest.mark.parametrize(
    ("attempt", "error", "delay"),
    [
        (1, ModelUnavailable("", retry_after=None), (0.25, 0.5)),
        (2, ModelUnavailable("", retry_after=None), (0.5, 1)),
        (3, ModelUnavailable(""), None),
        (1, ModelRateLimited("", retry_after=4), (4, 4)),
        (1, ModelRateLimited("", retry_after=6), None),
        (1, ModelTimeout(""), None),
        (1, RequestRejected(""), None),
    ],
)
def test_when_to_try_again(attempt: int, error: ModelError, delay: tuple[float, float] | None) -> None:
    waited = Retry(attempts=3, first=0.5, longest=5).delay(attempt, error)
    if delay is None:
        assert waited is None
    else:
        assert waited is not None
        assert delay[0] <= waited <= delay[1]


def test_nothing_heavy_is_imported_before_the_first_question() -> None:
    heavy = ("pydantic_ai", "openai", "anthropic", "google.genai", "genai_prices", "xllamacpp", "httpx", "fastapi")
    code = f"""
import sys
from yeoul.core.llm.gateway import Gateway
from yeoul.settings import Settings
Gateway(Settings(_env_file=None, fake_models=True)).route("fake/echo")
print(sorted(set({heavy!r}) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
