"""``/v1`` through OpenAI's own Python client."""

import asyncio
import json
from typing import Any

import httpx
import openai as sdk
import pytest
from fastapi import FastAPI
from openai import AsyncOpenAI

from tests.conftest import Account, Register
from yeoul.settings import Settings

WORDS = "여울 is the stretch of a river where it runs fast"
SLOW = "400 words, 5 ms"
ENDLESS = "100000 words, 20 ms"


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


async def newest(client: httpx.AsyncClient, account: Account) -> dict[str, Any]:
    jobs = (await client.get("/api/jobs", headers=account.headers)).json()["items"]
    newest: dict[str, Any] = jobs[0]
    return newest


async def until_ended(client: httpx.AsyncClient, account: Account, job_id: str) -> dict[str, Any]:
    """Follows the job's events to their end, then reads it."""
    await client.get(f"/api/jobs/{job_id}/events", headers=account.headers, timeout=30)
    job: dict[str, Any] = (await client.get(f"/api/jobs/{job_id}", headers=account.headers)).json()
    return job


def job_id_of(response_id: str) -> str:
    return response_id.rsplit("_", maxsplit=1)[-1].removeprefix("chatcmpl-")


async def test_models(openai: AsyncOpenAI) -> None:
    models = [model.id async for model in openai.models.list()]
    assert models[0] == "default"
    assert "fake/echo" in models
    assert (await openai.models.retrieve("fake/echo")).owned_by == "fake"
    with pytest.raises(sdk.NotFoundError) as error:
        await openai.models.retrieve("fake/nobody")
    assert error.value.code == "model_not_found"


async def test_chat_completion(openai: AsyncOpenAI) -> None:
    made = await openai.chat.completions.create(
        model="default",
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": WORDS}]},
        ],
        user="somebody",
        metadata={"a": "b"},
        n=1,
    )
    assert made.id.startswith("chatcmpl-")
    assert made.model == "fake/echo"
    assert made.choices[0].message.content == WORDS
    assert made.choices[0].finish_reason == "stop"
    assert made.usage is not None
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens == 22


async def test_chat_completion_that_is_too_long(openai: AsyncOpenAI) -> None:
    made = await openai.chat.completions.create(model="fake/echo", messages=user(WORDS), max_completion_tokens=3)
    assert made.choices[0].finish_reason == "length"
    assert made.usage is not None
    assert made.usage.completion_tokens == 3


async def test_chat_stream(openai: AsyncOpenAI) -> None:
    for include_usage in (True, False):
        await _stream(openai, include_usage=include_usage)


async def _stream(openai: AsyncOpenAI, *, include_usage: bool) -> None:
    stream = await openai.chat.completions.create(
        model="fake/echo", messages=user(WORDS), stream=True, stream_options={"include_usage": include_usage}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == WORDS
    ends = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert ends[-1] == "stop"
    assert len({chunk.id for chunk in chunks}) == 1
    if include_usage:
        assert chunks[-1].choices == []
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.total_tokens == 22
        assert all(chunk.usage is None for chunk in chunks[:-1])
    else:
        assert all(chunk.usage is None for chunk in chunks)


async def test_chat_stream_arrives_as_it_is_made(openai: AsyncOpenAI) -> None:
    stream = await openai.chat.completions.create(model="fake/slow", messages=user(ENDLESS), stream=True)
    async with stream:
        words = 0
        async for chunk in stream:
            words += bool(chunk.choices[0].delta.content)
            if words == 3:
                break
    assert words == 3  # of an answer that takes half an hour


async def test_a_client_that_leaves_cancels_its_completion(
    openai: AsyncOpenAI, client: httpx.AsyncClient, account: Account
) -> None:
    live = await openai.chat.completions.create(model="fake/slow", messages=user(ENDLESS), stream=True)
    async for _ in live:
        break
    await live.close()
    streamed = (await newest(client, account))["id"]
    assert (await until_ended(client, account, streamed))["status"] == "canceled"
    with pytest.raises(sdk.APITimeoutError):
        await openai.with_options(timeout=0.5).chat.completions.create(model="fake/slow", messages=user(ENDLESS))
    waited = (await newest(client, account))["id"]
    assert waited != streamed
    assert (await until_ended(client, account, waited))["status"] == "canceled"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    ({"n": 2}, "n"),
    ({"response_format": {"type": "json_object"}}, "response_format.type"),
    ({"logprobs": True}, "logprobs"),
    ({"reasoning_effort": "low"}, "reasoning_effort"),
    ({"extra_body": {"guided_regex": ".*"}}, "guided_regex"),
    ({"stream_options": {"surprise": 1}, "stream": True}, "stream_options.surprise"),
    ({"temperature": 3}, "temperature"),
    ({"temperature": 0.5}, "temperature"),  # which this model does not honour
]


async def test_what_cannot_be_honoured_is_refused_by_name(openai: AsyncOpenAI) -> None:
    for more, param in REFUSED:
        with pytest.raises(sdk.BadRequestError) as error:
            await openai.chat.completions.create(model="fake/echo", messages=user("hi"), **more)
        assert error.value.param == param
        assert error.value.type == "invalid_request_error"
        assert param in error.value.message


UNSAYABLE: list[tuple[list[Any], str]] = [
    ([], "messages"),
    ([{"role": "system", "content": "Be brief."}], "messages"),
    ([{"role": "tool", "content": "1", "tool_call_id": "x"}], "messages[0].tool_call_id"),
    (
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
        "messages[0].content[0].image_url",
    ),
    ([{"role": "user", "content": None}], "messages[0].content"),
    ([{"role": "user", "content": "hi", "name": "Mina"}], "messages[0].name"),
]


async def test_messages_that_cannot_be_said_are_refused(openai: AsyncOpenAI) -> None:
    for messages, param in UNSAYABLE:
        with pytest.raises(sdk.BadRequestError) as error:
            await openai.chat.completions.create(model="fake/echo", messages=messages)
        assert error.value.param == param


async def test_an_assistant_message_goes_back_as_it_came(openai: AsyncOpenAI) -> None:
    first = await openai.chat.completions.create(model="fake/echo", messages=user("one"))
    messages = [*user("one"), first.choices[0].message.model_dump(), *user("two")]
    second = await openai.chat.completions.create(model="fake/echo", messages=messages)
    assert second.choices[0].message.content == "two"


FAILING = [
    ("fake/nobody", 404, "invalid_request_error", "model_not_found"),
    ("nobody/at-all", 404, "invalid_request_error", "model_not_found"),
    ("fake/error-400", 400, "invalid_request_error", "model_request_rejected"),
    ("fake/error-context", 400, "invalid_request_error", "context_length_exceeded"),
    ("fake/error-401", 502, "server_error", "model_auth_failed"),
]


async def test_a_model_that_fails_has_its_own_status(openai: AsyncOpenAI) -> None:
    for stream in (True, False):
        for model, status, kind, code in FAILING:
            with pytest.raises(sdk.APIStatusError) as error:
                await openai.chat.completions.create(model=model, messages=user("hi"), stream=stream)
            assert error.value.status_code == status
            assert (error.value.type, error.value.code) == (kind, code)
            assert error.value.request_id


async def test_an_answer_that_is_blocked_midway_ends_its_stream_with_an_error(openai: AsyncOpenAI) -> None:
    stream = await openai.chat.completions.create(model="fake/blocked", messages=user("hi"), stream=True)
    with pytest.raises(sdk.APIError) as error:
        _ = [chunk async for chunk in stream]
    assert error.value.code == "content_filter"


async def test_every_other_failure_has_openais_shape(
    openai: AsyncOpenAI, client: httpx.AsyncClient, account: Account, settings: Settings
) -> None:
    with pytest.raises(sdk.AuthenticationError) as denied:
        await openai.with_options(api_key="wrong").models.list()
    assert denied.value.code == "invalid_api_key"
    with pytest.raises(sdk.NotFoundError):
        await openai.images.generate(model="default", prompt="hi")
    with pytest.raises(sdk.NotFoundError) as unknown:
        await openai.responses.retrieve("resp_00000000000070008000000000000000")
    assert unknown.value.code == "response_not_found"
    wrong_method = await client.put("/v1/models", headers=account.headers)
    large = await client.post("/v1/embeddings", headers=account.headers, content=b" " * (settings.max_body_bytes + 1))
    no_json = await client.post("/v1/responses", headers=account.headers, content=b"{")
    missing = await client.post("/v1/responses", headers=account.headers, json={"model": "default"})
    for answer, status in ((wrong_method, 405), (large, 413), (no_json, 400), (missing, 400)):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/json"
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert missing.json()["error"]["param"] == "input"
    elsewhere = await client.get("/api/nowhere", headers=account.headers)
    assert elsewhere.headers["content-type"] == "application/problem+json"


async def test_too_many_jobs_are_429_with_retry_after(
    openai: AsyncOpenAI, app: FastAPI, client: httpx.AsyncClient, account: Account
) -> None:
    app.state.services.settings.max_queued_per_user = 1
    later = {"kind": "llm.complete", "input": {"prompt": "hi"}, "run_at": "2999-01-01T00:00:00Z"}
    assert (await client.post("/api/jobs", headers=account.headers, json=later)).status_code == 202
    with pytest.raises(sdk.RateLimitError) as error:
        await openai.responses.create(model="fake/echo", input="hi", background=True)
    assert error.value.response.headers["retry-after"] == "10"
    assert error.value.type == "rate_limit_error"


async def test_the_same_idempotency_key_makes_one_job(openai: AsyncOpenAI) -> None:
    made = [
        await openai.responses.create(input="hi", model="fake/echo", extra_headers={"Idempotency-Key": "one"})
        for _ in range(2)
    ]
    assert made[0] == made[1]


async def test_response(openai: AsyncOpenAI) -> None:
    made = await openai.responses.create(
        model="default",
        instructions="Be brief.",
        input=[{"role": "user", "content": [{"type": "input_text", "text": WORDS}]}],
        metadata={"order": "7"},
        max_output_tokens=50,
    )
    assert (made.status, made.output_text, made.model) == ("completed", WORDS, "fake/echo")
    assert (made.metadata, made.instructions, made.max_output_tokens) == ({"order": "7"}, "Be brief.", 50)
    assert made.usage is not None
    assert made.usage.total_tokens == 22
    assert await openai.responses.retrieve(made.id) == made


async def test_a_response_that_is_too_long_is_incomplete(openai: AsyncOpenAI) -> None:
    made = await openai.responses.create(model="fake/echo", input=WORDS, max_output_tokens=2)
    assert made.status == "incomplete"
    assert made.incomplete_details is not None
    assert made.incomplete_details.reason == "max_output_tokens"


async def test_response_helper_of_the_client(openai: AsyncOpenAI) -> None:
    async with openai.responses.stream(model="fake/echo", input=WORDS) as stream:
        types = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert final.output_text == WORDS
    assert types[:2] == ["response.created", "response.queued"]
    assert types[-1] == "response.completed"


async def test_from_any_cursor_the_rest_is_the_same(openai: AsyncOpenAI) -> None:
    live = await openai.responses.create(model="fake/slow", input="40 words, 5 ms", stream=True, background=True)
    events = [event.model_dump() async for event in live]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    final = events[-1]["response"]
    assert (await openai.responses.retrieve(final["id"])).model_dump() == final
    for after in range(0, len(events), 5):
        rest = await openai.responses.retrieve(final["id"], stream=True, starting_after=after)
        assert [event.model_dump() async for event in rest] == events[after + 1 :]


async def test_a_background_response_outlives_its_client_and_is_taken_up_where_it_was_left(
    openai: AsyncOpenAI,
) -> None:
    live = await openai.responses.create(model="fake/slow", input=SLOW, stream=True, background=True)
    text, last, response_id = "", 0, ""
    async for event in live:
        last = event.sequence_number
        if event.type == "response.created":
            response_id = event.response.id
        elif event.type == "response.output_text.delta":
            text += event.delta
            break
    await live.close()
    running = await openai.responses.retrieve(response_id)
    assert (running.status, running.background) == ("in_progress", True)
    rest = await openai.responses.retrieve(response_id, stream=True, starting_after=last)
    async for event in rest:
        if event.type == "response.output_text.delta":
            text += event.delta
    done = await openai.responses.retrieve(response_id)
    assert done.status == "completed"
    assert done.output_text == text == "".join(f"word{n} " for n in range(1, 401))


async def test_background_without_a_stream_answers_at_once(openai: AsyncOpenAI) -> None:
    made = await openai.responses.create(model="fake/slow", input=ENDLESS, background=True)
    assert made.status in {"queued", "in_progress"}
    canceled = await openai.responses.cancel(made.id)
    assert canceled.status == "cancelled"
    assert await openai.responses.cancel(made.id) == canceled
    assert await openai.responses.retrieve(made.id) == canceled
    *_, last = [event async for event in await openai.responses.retrieve(made.id, stream=True)]
    assert last.type == "response.incomplete"
    assert last.response == canceled


async def test_a_failed_background_response_says_why(openai: AsyncOpenAI) -> None:
    live = await openai.responses.create(model="fake/error-400", input="hi", background=True, stream=True)
    *_, last = [event async for event in live]
    assert last.type == "response.failed"
    read = await openai.responses.retrieve(last.response.id)
    assert read == last.response
    assert read.error is not None
    assert read.error.type == "model_request_rejected"


async def test_nobody_reads_or_cancels_anothers_response(openai: AsyncOpenAI, register: Register, address: str) -> None:
    made = await openai.responses.create(model="fake/slow", input=ENDLESS, background=True)
    other = (await register("jun")).headers["Authorization"].removeprefix("Bearer ")
    async with AsyncOpenAI(base_url=f"{address}/v1", api_key=other, max_retries=0) as stranger:
        for ask in (stranger.responses.retrieve(made.id), stranger.responses.cancel(made.id)):
            with pytest.raises(sdk.NotFoundError):
                await ask
    assert (await openai.responses.retrieve(made.id)).status in {"queued", "in_progress"}
    await openai.responses.cancel(made.id)


REFUSED_RESPONSES: list[tuple[dict[str, Any], str]] = [
    ({"previous_response_id": "resp_1"}, "previous_response_id"),
    ({"tools": [{"type": "web_search"}]}, "tools"),
    ({"text": {"format": {"type": "json_object"}}}, "text.format.type"),
    ({"reasoning": {"effort": "low"}}, "reasoning"),
    ({"truncation": "auto"}, "truncation"),
    ({"input": [{"type": "function_call_output", "call_id": "1", "output": "2"}]}, "input[0].type"),
]


async def test_what_a_response_cannot_honour_is_refused_by_name(openai: AsyncOpenAI) -> None:
    for more, param in REFUSED_RESPONSES:
        with pytest.raises(sdk.BadRequestError) as error:
            await openai.responses.create(**{"model": "fake/echo", "input": "hi", **more})
        assert error.value.param == param


async def test_a_stopping_server_tells_streams_where_to_read_on(openai: AsyncOpenAI, app: FastAPI) -> None:
    chat = await openai.chat.completions.create(model="fake/slow", messages=user(ENDLESS), stream=True)
    live = await openai.responses.create(model="fake/slow", input=ENDLESS, stream=True, background=True)
    chunk = await anext(aiter(chat))
    seen = [await anext(aiter(live)) for _ in range(2)]
    app.state.services.events.end_all()
    with pytest.raises(sdk.APIError, match="/v1/responses/resp_") as error:
        _ = [chunk async for chunk in chat]
    assert error.value.code == "server_stopping"
    seen += [event async for event in live]
    assert seen[-1].type == "error"
    assert f"starting_after={seen[-2].sequence_number}" in seen[-1].message
    # The jobs go on.
    for response_id in (f"resp_{job_id_of(chunk.id)}", seen[0].response.id):  # type: ignore[union-attr]
        assert (await openai.responses.retrieve(response_id)).status == "in_progress"
        await openai.responses.cancel(response_id)


async def test_metadata_is_in_the_job_but_not_in_the_question(
    openai: AsyncOpenAI, client: httpx.AsyncClient, account: Account
) -> None:
    made = await openai.responses.create(model="fake/echo", input="hi", metadata={"a": "b"})
    job = await newest(client, account)
    assert job["id"].replace("-", "") == job_id_of(made.id)
    assert job["input"]["client"] == {"dialect": "responses", "metadata": {"a": "b"}}
    assert json.dumps(job["output"]).count("hi") == 1


async def test_clients_at_once(openai: AsyncOpenAI) -> None:
    async def ask(n: int) -> str | None:
        made = await openai.chat.completions.create(model="fake/echo", messages=user(f"number {n}"))
        return made.choices[0].message.content

    assert await asyncio.gather(*(ask(n) for n in range(20))) == [f"number {n}" for n in range(20)]
