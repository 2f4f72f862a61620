"""An execution whose worker is killed in the middle: every result is right, once."""

import asyncio
import json
import signal
from typing import Any

import httpx
import pytest

from tests.faults.system import System

pytestmark = pytest.mark.faults

WORDS = "".join(f"word{n} " for n in range(1, 31))
ASKED = {
    "user_prompt": "30 words, 40 ms",
    "models": ["fake/slow", "fake/error-400"],
    "iterations": 6,
    "concurrency": 8,
}


async def follow(system: System, client: httpx.AsyncClient, execution_id: str, said: list[Any], chunks: int) -> None:
    """Reads the live channel until so many chunks have come, or it has ended; goes on after the last message."""
    headers = {"Last-Event-ID": said[-1][0]} if said else {}
    address = system.path(f"/api/prompts/{execution_id}/events")
    async with client.stream("GET", address, headers=headers) as answer:
        cursor = ""
        async for line in answer.aiter_lines():
            if line.startswith("id: "):
                cursor = line[4:]
            if line.startswith("data: "):
                said.append((cursor, json.loads(line[6:])))
                if sum(data["type"] == "chunk" for _, data in said) >= chunks:
                    return


async def test_kill_9_in_the_middle_of_an_execution(system: System, client: httpx.AsyncClient) -> None:
    first = system.serve()
    await system.register(client)
    made = (await client.post(system.path("/api/prompts/execute"), json=ASKED)).json()
    said: list[Any] = []
    async with asyncio.timeout(60):
        await follow(system, client, made["execution_id"], said, 12)
    first.end(signal.SIGKILL)
    second = system.serve()
    async with asyncio.timeout(90):
        await follow(system, client, made["execution_id"], said, 1_000_000)
    assert said[-1][1]["type"] == "end"
    shown = (await client.get(system.path(f"/api/prompts/{made['execution_id']}/status"))).json()
    assert shown["status"] == "partial"
    assert shown["pending"] == []
    assert [(one["iteration_number"], one["model"]) for one in shown["results"]] == [
        (n, model)
        for n in range(1, 7)
        for model in ASKED["models"]  # type: ignore[attr-defined]
    ]
    for one in shown["results"]:
        if one["model"] == "fake/slow":
            assert (one["status"], one["response_text"]) == ("completed", WORDS)
        else:
            assert (one["status"], one["error_code"]) == ("error", "model_request_rejected")
    columns: dict[int, str] = {}
    ended = []
    for _, data in said:
        if data["type"] == "chunk":
            columns[data["iteration"]] = columns.get(data["iteration"], "") + data["content"]
        elif data["type"] == "retrying" and data["model"] == "fake/slow":
            columns[data["iteration"]] = ""
        elif data["type"] in {"complete", "error"}:
            ended.append((data["iteration"], data["model"]))
    assert columns == dict.fromkeys(range(1, 7), WORDS)
    assert len(ended) == len(set(ended)) == 12
    assert any(data["type"] == "retrying" for _, data in said)
    assert second.end(signal.SIGTERM) == 0
