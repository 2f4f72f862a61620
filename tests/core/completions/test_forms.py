"""Structured output and images through OpenAI's own Python client."""

import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import openai as sdk
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.conftest import Account
from tests.core.llm.pictures import PNG
from yeoul.core.completions.dialects.base import Asked
from yeoul.core.completions.dialects.chat import usage_of
from yeoul.core.completions.dialects.responses import succeeded
from yeoul.core.completions.schemas import CompleteInput
from yeoul.core.llm.images import MOST_BYTES
from yeoul.settings import Settings

DOT = f"data:image/png;base64,{b64encode(PNG).decode()}"
SEEN = f"[image/png, {len(PNG)} bytes]"


class Person(BaseModel):
    name: str
    age: int


def form(schema: dict[str, Any]) -> Any:
    return {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": schema}}


def asks(url: str, text: str = "What is this?") -> list[Any]:
    return [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]},
    ]


async def test_a_pydantic_model_of_the_clients_is_parsed(openai: AsyncOpenAI) -> None:
    made = await openai.chat.completions.parse(
        model="fake/echo", messages=[{"role": "user", "content": "Mina is 30"}], response_format=Person
    )
    assert made.choices[0].message.parsed == Person(name="Mina is 30", age=30)


async def test_json_is_streamed_as_text(openai: AsyncOpenAI) -> None:
    stream = await openai.chat.completions.create(
        model="fake/echo",
        messages=[{"role": "user", "content": "Mina is 30"}],
        response_format=form(Person.model_json_schema()),
        stream=True,
    )
    said = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert json.loads("".join(said)) == {"name": "Mina is 30", "age": 30}


async def test_a_response_is_parsed_and_says_its_form(openai: AsyncOpenAI) -> None:
    made = await openai.responses.parse(model="fake/echo", input="Mina is 30", text_format=Person)
    assert made.output_parsed == Person(name="Mina is 30", age=30)
    read = await openai.responses.retrieve(made.id)
    assert read.text is not None
    assert read.text.format is not None
    assert read.text.format.type == "json_schema"
    assert read.text.format.name == "Person"
    assert read.text.format.schema_["required"] == ["name", "age"]


async def test_the_form_of_text_is_text(openai: AsyncOpenAI) -> None:
    made = await openai.chat.completions.create(
        model="fake/echo", messages=[{"role": "user", "content": "hi"}], response_format={"type": "text"}
    )
    assert made.choices[0].message.content == "hi"


async def test_images_are_seen_and_not_in_lists_of_jobs(
    openai: AsyncOpenAI, client: httpx.AsyncClient, account: Account
) -> None:
    made = await openai.chat.completions.create(model="fake/echo", messages=asks(DOT))
    assert made.choices[0].message.content == f"What is this? {SEEN}"
    [job] = (await client.get("/api/jobs", headers=account.headers)).json()["items"]
    assert "images" not in job["input"]
    assert job["input"]["messages"][-1]["content"] == "What is this?"
    whole = (await client.get(f"/api/jobs/{job['id']}", headers=account.headers)).json()
    assert whole["input"]["images"][0]["media_type"] == "image/png"


async def test_a_response_sees_images(openai: AsyncOpenAI) -> None:
    made = await openai.responses.create(
        model="fake/echo",
        input=[
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": DOT, "detail": "auto"},
                ],
            }
        ],
    )
    assert made.output_text == f"What is this? {SEEN}"


async def test_four_images_of_five_megabytes_fit(openai: AsyncOpenAI) -> None:
    large = PNG + b"\0" * (MOST_BYTES - len(PNG))
    url = f"data:image/png;base64,{b64encode(large).decode()}"
    messages: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}] * 4}]
    made = await openai.chat.completions.create(model="fake/echo", messages=messages)
    assert (made.choices[0].message.content or "").count("5000000 bytes") == 4


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"messages": asks("https://example.org/a.png")}, "messages[2].content[1].image_url", "nothing is fetched"),
    ({"messages": asks("data:image/svg+xml;base64,PHN2Zy8+")}, "messages[2].content[1].image_url", "image/png"),
    ({"messages": asks(DOT.replace("png", "gif"))}, "messages[2].content[1].image_url", "its bytes are image/png"),
    ({"messages": [*asks(DOT), *asks(DOT)]}, "messages[2].content[1]", "last message of the user alone"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": DOT}}] * 5}]},
        "images",
        "at most 4",
    ),
    ({"response_format": form({"type": "objct"})}, "response_format.json_schema.schema", "no valid JSON Schema"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "give `name` and `schema`"),
    ({"response_format": form({"$ref": "http://127.0.0.1/"})}, "response_format.json_schema.schema", "cannot fetch"),
]


async def test_what_cannot_be_is_refused_by_name(openai: AsyncOpenAI) -> None:
    for more, param, words in REFUSED:
        given: dict[str, Any] = {"model": "fake/echo", "messages": [{"role": "user", "content": "hi"}], **more}
        with pytest.raises(sdk.BadRequestError) as error:
            await openai.chat.completions.create(**given)
        assert error.value.param == param
        assert words in error.value.message


async def test_a_model_that_cannot_names_those_that_can(openai: AsyncOpenAI) -> None:
    with pytest.raises(sdk.BadRequestError, match="Models that can: `fake/echo`") as error:
        await openai.chat.completions.create(model="fake/slow", messages=asks(DOT))
    assert error.value.code == "model_cannot"


async def test_generate_takes_both(client: httpx.AsyncClient, account: Account) -> None:
    image = {"media_type": "image/png", "data": b64encode(PNG).decode()}
    body: dict[str, Any] = {"model": "fake/echo", "prompt": "look", "images": [image]}
    made = (await client.post("/generate", json=body, headers=account.headers)).json()
    assert made["text"] == f"look {SEEN}"
    schema = Person.model_json_schema()
    body = {"model": "fake/echo", "prompt": "Mina is 30", "response_schema": schema}
    made = (await client.post("/generate", json=body, headers=account.headers)).json()
    assert json.loads(made["text"]) == {"name": "Mina is 30", "age": 30}
    body = {"model": "fake/slow", "prompt": "look", "images": [image]}
    refused = await client.post("/generate", json=body, headers=account.headers)
    assert (refused.status_code, refused.json()["code"]) == (422, "model_cannot")


def test_tokens_from_the_cache_are_where_openais_clients_look() -> None:
    usage = {"input_tokens": 12, "output_tokens": 5}
    output = {"text": "hi", "finish_reason": "stop", "model": "fake/echo", "usage": {**usage, "cached_input_tokens": 8}}
    plain = {**output, "usage": usage}
    assert (usage_of(output) or {})["prompt_tokens_details"] == {"cached_tokens": 8}
    assert "prompt_tokens_details" not in (usage_of(plain) or {})
    asked = Asked(UUID(int=1), datetime(2026, 1, 1, tzinfo=UTC), CompleteInput(prompt="hi"))
    for made, cached in ((output, 8), (plain, 0)):
        assert succeeded(asked, made, {})["usage"]["input_tokens_details"]["cached_tokens"] == cached


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/generate", "/api/prompts/execute"])
async def test_large_bodies_are_for_who_is_signed_in(
    path: str, client: httpx.AsyncClient, account: Account, settings: Settings
) -> None:
    body = b" " * (settings.max_body_bytes + 1)
    refused = await client.post(path, content=body)
    assert refused.status_code == 401, refused.text
    read = await client.post(path, content=body, headers=account.headers)
    assert read.status_code in {400, 422}, read.text
