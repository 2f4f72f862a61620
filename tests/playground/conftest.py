"""Executions over the scripted models, and ways to read them."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.conftest import Account, Register

Json = dict[str, Any]
Execute = Callable[..., Awaitable[Json]]
Ended = Callable[[str], Awaitable[Json]]


def script(*steps: object, **more: object) -> str:
    """A prompt for ``fake/script``."""
    return json.dumps({"steps": steps, **more}, ensure_ascii=False)


@pytest.fixture
async def account(register: Register) -> Account:
    return await register("mina")


@pytest.fixture
def execute(client: httpx.AsyncClient, account: Account) -> Execute:
    """Executes a prompt of ``fake/echo``, or what is given."""

    async def post(**given: object) -> Json:
        body = {"user_prompt": "hello there", "selected_model": "fake/echo"} | given
        answer = await client.post("/api/prompts/execute", json=body, headers=account.headers)
        assert answer.status_code == 202, answer.text
        made: Json = answer.json()
        return made

    return post


@pytest.fixture
def ended(client: httpx.AsyncClient, account: Account) -> Ended:
    """Follows an execution to its end, then its status."""

    async def wait(either: str) -> Json:
        async with asyncio.timeout(60):
            await client.get(f"/api/prompts/{either}/events", headers=account.headers)
        answer = await client.get(f"/api/prompts/{either}/status", headers=account.headers)
        assert answer.status_code == 200, answer.text
        shown: Json = answer.json()
        return shown

    return wait


async def messages(
    address: str, account: Account, either: str, after: str | None = None
) -> AsyncGenerator[tuple[str, str, Json]]:
    """The live channel over a real connection: cursor, type and data."""
    headers = account.headers | ({} if after is None else {"Last-Event-ID": after})
    async with (
        httpx.AsyncClient(base_url=address, timeout=60) as client,
        client.stream("GET", f"/api/prompts/{either}/events", headers=headers) as answer,
    ):
        assert answer.status_code in {200, 204}, await answer.aread()
        said: dict[str, str] = {}
        async for line in answer.aiter_lines():
            if not line and said:
                yield said["id"], said["event"], json.loads(said["data"])
                said = {}
            elif line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                said[name] = value


async def until(address: str, account: Account, job_id: str, kind: str) -> None:
    """Follows a job until an event of some type."""
    async with (
        asyncio.timeout(20),
        httpx.AsyncClient(base_url=address, timeout=60) as client,
        client.stream("GET", f"/api/jobs/{job_id}/events", headers=account.headers) as answer,
    ):
        async for line in answer.aiter_lines():
            if line == f"event: {kind}":
                return
    raise AssertionError(f"job {job_id} ended without {kind}")
