"""Twenty iterations over three models, one of them the real local one, watched by two tabs with a reload between."""

import re
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.conftest import LOCAL_MODEL
from tests.e2e.conftest import IN_BROWSER, NewContext, Server, new_server, sign_up
from tests.e2e.playground import column, ended, run
from tests.playground import upstream

pytestmark = [*IN_BROWSER, pytest.mark.timeout(300)]

LOCAL = f"local/{LOCAL_MODEL}"
ITERATIONS = 20


@pytest_asyncio.fixture(loop_scope="session")
async def providers() -> AsyncGenerator[dict[str, str]]:
    """The environment that leads to two badly behaved providers."""
    async with AsyncExitStack() as stack:
        flaky = await stack.enter_async_context(upstream.flaky())
        strict = await stack.enter_async_context(upstream.strict())
        yield {
            "OPENAI_BASE_URL": flaky.url,
            "OPENAI_API_KEY": "k",
            "GOOGLE_GEMINI_BASE_URL": strict.url,
            "GEMINI_API_KEY": "k",
        }


@pytest.fixture
def whole(browser_path: str, providers: dict[str, str], local_weights: Path) -> Generator[Server]:
    """A server with all three."""
    yield from new_server(YEOUL_LOCAL_ENABLED="true", YEOUL_MODELS_DIR=str(local_weights), **providers)


@pytest_asyncio.fixture(loop_scope="session")
async def caching() -> AsyncGenerator[str]:
    async with upstream.caching() as running:
        yield running.url


@pytest.fixture
def cached(browser_path: str, caching: str) -> Generator[Server]:
    """A server whose provider has a cache."""
    yield from new_server(OPENAI_BASE_URL=caching, OPENAI_API_KEY="k")


async def test_what_came_from_a_cache_is_shown(cached: Server, new_context: NewContext) -> None:
    context = await new_context(cached.url)
    await sign_up(context, cached)
    page = await context.new_page()
    await page.goto("/playground")
    await run(page, "Say something.", upstream.OPENAI)
    await ended(page)
    facts = column(page, upstream.OPENAI).locator(".facts-line")
    await expect(facts).to_contain_text("12 in, 5 out")
    await expect(facts).to_contain_text(re.compile(r"From cache\s*8"))


async def test_every_column_ends_right(whole: Server, new_context: NewContext) -> None:
    """429s are waited out, a blocked answer says why in words, and both tabs show what the server has."""
    context = await new_context(whole.url)
    await sign_up(context, whole)
    first = await context.new_page()
    await first.goto("/playground")
    await first.get_by_text("Parameters", exact=True).click()
    await first.get_by_label("Longest answer, in tokens").fill("8")
    await run(first, "Say hello.", LOCAL, upstream.OPENAI, upstream.GEMINI, times=ITERATIONS)
    second = await context.new_page()
    await second.goto(first.url)
    await expect(column(first, upstream.OPENAI)).to_contain_text("Fast water.", timeout=60_000)
    await first.reload()
    for tab in (first, second):
        await ended(tab, seconds=120)
        await expect(tab.get_by_role("region", name="Answers").get_by_text("Some failed")).to_be_visible()
        await _check(tab)
    shown = await (await context.request.get(f"/api/prompts/{first.url.rsplit('/', 1)[1]}/status")).json()
    said = {
        model: [one["response_text"].strip() for one in shown["results"] if one["model"] == model]
        for model in (LOCAL, upstream.GEMINI)
    }
    assert len(said[LOCAL]) == ITERATIONS
    assert said[upstream.GEMINI] == ["First"] * ITERATIONS, "what was said before the filter stopped it"
    for tab in (first, second):
        for model, texts in said.items():
            assert await _texts(tab, model) == texts


async def _check(tab: Page) -> None:
    for model, answered in ((LOCAL, ITERATIONS), (upstream.OPENAI, ITERATIONS), (upstream.GEMINI, 0)):
        await expect(tab.get_by_role("row", name=model)).to_contain_text(f"{answered} of {ITERATIONS}")
    assert await _texts(tab, upstream.OPENAI) == ["Fast water."] * ITERATIONS
    blocked = column(tab, upstream.GEMINI).get_by_text(re.compile("judged unsafe"))
    await expect(blocked).to_have_count(ITERATIONS)


async def _texts(tab: Page, model: str) -> list[str]:
    return [text.strip() for text in await column(tab, model).locator(".pg-text").all_text_contents()]
