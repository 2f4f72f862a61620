"""A model that only the user has a key for."""

from collections.abc import AsyncGenerator

import httpx
import pytest
from fastapi import FastAPI

from tests.conftest import Account, Register
from tests.core.llm.server import Server
from tests.playground import upstream
from tests.playground.conftest import Ended
from yeoul.settings import Settings


@pytest.fixture
async def strict() -> AsyncGenerator[Server]:
    async with upstream.strict() as running:
        yield running


@pytest.fixture
def settings(settings: Settings, strict: Server) -> Settings:
    """The installation itself has no key for it."""
    return settings.model_copy(update={"gemini_base_url": strict.url})


async def test_who_has_a_key_may_ask(
    client: httpx.AsyncClient, app: FastAPI, account: Account, register: Register, ended: Ended
) -> None:
    await app.state.services.keys.vault.store(account.id, "gemini", "a key of their own")
    body = {"user_prompt": "Hello", "selected_model": upstream.GEMINI}
    made = await client.post("/api/prompts/execute", json=body, headers=account.headers)
    assert made.status_code == 202, made.text
    (result,) = (await ended(made.json()["execution_id"]))["results"]
    assert result["error_code"] == "content_filtered"  # it has been asked
    again = await client.post(f"/api/prompts/{made.json()['prompt_id']}/execute", headers=account.headers)
    assert again.status_code == 202, again.text
    refused = await client.post("/api/prompts/execute", json=body, headers=(await register("jun")).headers)
    assert (refused.status_code, refused.json()["code"]) == (503, "model_not_ready")
