"""Answers that begin anew, read live through each dialect."""

import json
from typing import Any

import httpx
import openai as sdk
import pytest
from openai import AsyncOpenAI

from tests.conftest import Account
from tests.core.completions.helpers import ag_ui_text, sse, told, ui_text
from yeoul.core.jobs.kinds import Kinds

ALIKE = ["one two!", "one two three"]
UNLIKE = ["one two!", "uno dos tres"]


@pytest.fixture
def kinds() -> Kinds:
    kinds = Kinds()
    kinds.add(told)
    return kinds


def user(attempts: list[str]) -> list[Any]:
    return [{"role": "user", "content": json.dumps(attempts)}]


async def test_a_completion_that_repeats_itself_goes_on_as_if_nothing_were(openai: AsyncOpenAI) -> None:
    stream = await openai.chat.completions.create(model="fake/echo", messages=user(ALIKE), stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == "one two three "


async def test_a_completion_that_differs_ends_with_an_error_and_is_read_whole_elsewhere(openai: AsyncOpenAI) -> None:
    stream = await openai.chat.completions.create(model="fake/echo", messages=user(UNLIKE), stream=True)
    with pytest.raises(sdk.APIError) as error:
        _ = [chunk async for chunk in stream]
    assert error.value.code == "answer_began_anew"
    response_id = error.value.message.rpartition("/")[2].rstrip(".")
    rest = await openai.responses.retrieve(response_id, stream=True)
    *_, last = [event async for event in rest]
    assert last.type == "response.completed"
    assert last.response.output_text == "uno dos tres "


async def test_without_a_stream_only_the_answer_is_seen(openai: AsyncOpenAI) -> None:
    made = await openai.chat.completions.create(model="fake/echo", messages=user(UNLIKE))
    assert made.choices[0].message.content == "uno dos tres "


async def test_a_response_keeps_void_text_in_an_item_of_its_own(openai: AsyncOpenAI) -> None:
    async with openai.responses.stream(model="fake/echo", input=user(UNLIKE)) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    assert final.output_text == "uno dos tres "
    done = [event.item.model_dump() for event in events if event.type == "response.output_item.done"]
    assert [(item["status"], item["content"][0]["text"]) for item in done] == [
        ("incomplete", "one two "),
        ("completed", "uno dos tres "),
    ]
    assert [item.model_dump() for item in (await openai.responses.retrieve(final.id)).output] == done[1:]


@pytest.mark.parametrize("dialect", ["ai-sdk", "ag-ui"])
async def test_ui_streams_say_that_they_began_anew_and_resume_with_the_answer_alone(
    dialect: str, address: str, account: Account
) -> None:
    message = user(UNLIKE)[0]
    path, name = {"ai-sdk": ("/api/ai-sdk/chat", "errorText"), "ag-ui": ("/api/ag-ui", "message")}[dialect]
    read = {"ai-sdk": ui_text, "ag-ui": ag_ui_text}[dialect]
    parts = [{"type": "text", "text": message["content"]}]
    bodies: dict[str, dict[str, Any]] = {
        "ai-sdk": {"id": "c/1", "messages": [{"id": "1", "role": "user", "parts": parts}]},
        "ag-ui": {"threadId": "t", "runId": "c/1", "messages": [{"id": "1", **message}], "tools": [], "state": {}},
    }
    async with httpx.AsyncClient(base_url=address, headers=account.headers) as http:
        answer = await http.post(path, json=bodies[dialect])
        assert answer.status_code == 200, answer.text
        live = sse(answer.text)
        assert any("began anew" in event.get(name, "") for event in live)
        assert read(live) == "one two "
        resumed = sse((await http.get(f"{path}/c%2F1/stream")).text)
    assert read(resumed) == "uno dos tres "
    assert not any(name in event for event in resumed)
