"""Answers whose events are past their time, read in every dialect: the answer is there, in one piece."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from openai import AsyncOpenAI

from tests.conftest import Account
from tests.core.completions.helpers import ag_ui_text, sse, ui_text

BODIES: dict[str, dict[str, Any]] = {
    "/api/ai-sdk/chat": {
        "id": "c1",
        "messages": [{"id": "1", "role": "user", "parts": [{"type": "text", "text": "one two three"}]}],
    },
    "/api/ag-ui": {
        "threadId": "t", "runId": "c1", "tools": [], "state": {},
        "messages": [{"id": "1", "role": "user", "content": "one two three"}],
    },
}  # fmt: skip


async def forget_events(app: FastAPI) -> None:
    async with app.state.services.database.service_connection() as connection:
        await connection.execute("DELETE FROM events WHERE stream_id IN (SELECT id FROM jobs)")


@pytest.mark.parametrize("starting_after", [None, 0, 3, 1000])
async def test_a_response_is_told_again_with_numbers_nobody_holds(
    app: FastAPI, openai: AsyncOpenAI, starting_after: int | None
) -> None:
    made = await openai.responses.create(model="fake/echo", input="one two three")
    await forget_events(app)
    assert (await openai.responses.retrieve(made.id)).model_dump() == made.model_dump()
    more: dict[str, Any] = {} if starting_after is None else {"starting_after": starting_after}
    events = [event async for event in await openai.responses.retrieve(made.id, stream=True, **more)]
    numbers = [event.sequence_number for event in events]
    first = 0 if starting_after is None else starting_after + 1
    assert numbers == list(range(first, first + len(events)))
    assert [event.delta for event in events if event.type == "response.output_text.delta"] == ["one two three"]
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == made.output_text == "one two three"


async def test_a_failed_response_stays_failed(app: FastAPI, openai: AsyncOpenAI) -> None:
    made = await openai.responses.create(model="fake/error-400", input="x", background=True)
    before = [event async for event in await openai.responses.retrieve(made.id, stream=True)]
    await forget_events(app)
    after = [event async for event in await openai.responses.retrieve(made.id, stream=True)]
    assert before[-1].type == after[-1].type == "response.failed"
    assert before[-1].response.error == after[-1].response.error is not None
    assert (await openai.responses.retrieve(made.id)).error == after[-1].response.error


async def test_a_request_sent_again_finds_its_answer(app: FastAPI, openai: AsyncOpenAI) -> None:
    again: dict[str, Any] = {"model": "fake/echo", "extra_headers": {"Idempotency-Key": "k1"}}
    asked: Any = [{"role": "user", "content": "one two three"}]
    made = await openai.chat.completions.create(messages=asked, **again)
    await forget_events(app)
    found = await openai.chat.completions.create(messages=asked, **again)
    assert found.model_dump() == made.model_dump()


@pytest.mark.parametrize("path", list(BODIES))
async def test_a_chat_resumes(app: FastAPI, address: str, account: Account, path: str) -> None:
    read = ui_text if "ai-sdk" in path else ag_ui_text
    async with httpx.AsyncClient(base_url=address, headers=account.headers) as http:
        assert read(sse((await http.post(path, json=BODIES[path])).text)) == "one two three"
        await forget_events(app)
        assert read(sse((await http.get(f"{path}/c1/stream")).text)) == "one two three"
