"""Providers that behave badly, as servers: one fails every third call, a safety filter stops all of the other."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tests.core.llm import server
from tests.core.llm.server import Answer, Asked, Server
from tests.core.llm.vendors import FILTER, STOP, Gemini, OpenAI, Vendor

OPENAI = f"openai/{OpenAI().model.partition('/')[2]}"
GEMINI = f"gemini/{Gemini().model.partition('/')[2]}"


@asynccontextmanager
async def flaky() -> AsyncGenerator[Server]:
    """An OpenAI that answers every third call with 429, the others with ``Fast water.``."""
    vendor = OpenAI()
    calls = 0

    async def script(asked: Asked, answer: Answer) -> None:
        nonlocal calls
        calls += 1
        if calls % 3 == 0:
            await answer.json(429, vendor.error(429), {"Retry-After": "1"})
        else:
            await _say(vendor, answer, "Fast ", "water.")

    async with server.running() as running:
        running.scripts = [script]
        yield running


@asynccontextmanager
async def caching() -> AsyncGenerator[Server]:
    """An OpenAI that says ``Fast water.`` and took 8 of the 12 tokens it read from its cache."""

    async def script(asked: Asked, answer: Answer) -> None:
        await answer.open_stream()
        for event in OpenAI().cached(["Fast water."]):
            await answer.piece(event)
        await answer.end()

    async with server.running() as running:
        running.scripts = [script]
        yield running


@asynccontextmanager
async def strict() -> AsyncGenerator[Server]:
    """A Gemini that says ``First `` and is then stopped by its safety filter."""

    async def script(asked: Asked, answer: Answer) -> None:
        await _say(Gemini(), answer, "First ", finish=FILTER)

    async with server.running() as running:
        running.scripts = [script]
        yield running


async def _say(vendor: Vendor, answer: Answer, *texts: str, finish: str = STOP) -> None:
    await answer.open_stream()
    for event in vendor.events(texts, finish):
        await answer.piece(event)
    await answer.end()
