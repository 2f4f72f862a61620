"""The whole of it: three models, one that fails every third call, one that is blocked; two watchers and a reload."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pydantic import SecretStr

from tests.conftest import Account
from tests.core.llm.server import Server
from tests.playground import upstream
from tests.playground.conftest import Ended, Execute, Json, messages
from yeoul.settings import Settings

ITERATIONS = 20
SLOW = "10 words, 10 ms"
SLOW_TEXT = "".join(f"word{n} " for n in range(1, 11))


@pytest.fixture
async def flaky() -> AsyncGenerator[Server]:
    async with upstream.flaky() as running:
        yield running


@pytest.fixture
async def strict() -> AsyncGenerator[Server]:
    async with upstream.strict() as running:
        yield running


@pytest.fixture
def settings(settings: Settings, flaky: Server, strict: Server) -> Settings:
    known = {"openai_base_url": flaky.url, "openai_api_key": SecretStr("k")}
    return settings.model_copy(update=known | {"gemini_base_url": strict.url, "gemini_api_key": SecretStr("k")})


class Tab:
    """What one page shows."""

    def __init__(self) -> None:
        self.columns: dict[tuple[int, str], str] = {}
        self.ended: dict[tuple[int, str], Json] = {}
        self.over = False

    async def watch(self, address: str, account: Account, either: str, *, until: int = 1_000_000) -> None:
        """Shows what comes, to the end or to so many chunks."""
        chunks = 0
        async for _, kind, data in messages(address, account, either):
            self.over = kind == "end"
            if self.over:
                return
            key = data["iteration"], data["model"]
            if kind == "chunk":
                chunks += 1
                self.columns[key] = self.columns.get(key, "") + data["content"]
            elif kind in {"retrying", "reset"}:
                self.columns[key] = ""
            elif kind in {"complete", "error"}:
                assert key not in self.ended
                self.ended[key] = data
            if chunks >= until:
                return


async def test_every_column_ends_right(address: str, account: Account, execute: Execute, ended: Ended) -> None:
    models = ["fake/slow", upstream.OPENAI, upstream.GEMINI]
    made = await execute(models=models, iterations=ITERATIONS, user_prompt=SLOW)
    first, closed, reloaded = Tab(), Tab(), Tab()

    async def second_tab() -> None:
        await closed.watch(address, account, made["execution_id"], until=30)
        await reloaded.watch(address, account, made["execution_id"])

    async with asyncio.timeout(100):
        await asyncio.gather(first.watch(address, account, made["execution_id"]), second_tab())
    shown = await ended(made["execution_id"])
    assert shown["status"] == "partial"
    rows: dict[tuple[int, str], Any] = {(one["iteration_number"], one["model"]): one for one in shown["results"]}
    assert Counter((model, one["status"]) for (_, model), one in rows.items()) == {
        (models[0], "completed"): ITERATIONS,
        (models[1], "completed"): ITERATIONS,
        (models[2], "error"): ITERATIONS,
    }
    for tab in (first, reloaded):
        assert tab.over
        assert tab.ended.keys() == rows.keys()
        for (iteration, model), row in rows.items():
            expected = {models[0]: SLOW_TEXT, models[1]: "Fast water.", models[2]: "First "}[model]
            assert tab.columns[iteration, model] == expected
            if model == models[2]:
                assert row["error_code"] == "content_filtered"
                assert "judged unsafe (harassment)" in tab.ended[iteration, model]["error_message"]
            else:
                assert tab.ended[iteration, model]["response_text"] == row["response_text"] == expected
