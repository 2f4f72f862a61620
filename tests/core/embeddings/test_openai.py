"""``/v1/embeddings`` through OpenAI's own Python client, and as programs send it by hand."""

import base64
from array import array
from typing import Any

import httpx
import openai as sdk
import pytest
from openai import AsyncOpenAI

from tests.conftest import Account
from yeoul.core.llm.providers.fake_embedding import vector
from yeoul.settings import Settings

MODEL = "fake/embedding"
TEXT = "여울 is the stretch of a river where it runs fast"


async def test_the_clients_own_way_is_base64(openai: AsyncOpenAI) -> None:
    made = await openai.embeddings.create(model=MODEL, input=[TEXT, "second"])
    assert [one.index for one in made.data] == [0, 1]
    assert made.data[0].embedding == pytest.approx(vector(TEXT), abs=1e-6)
    assert made.data[1].embedding == pytest.approx(vector("second"), abs=1e-6)
    assert (made.object, made.model) == ("list", MODEL)
    assert (made.usage.prompt_tokens, made.usage.total_tokens) == (12, 12)


async def test_numbers_dimensions_and_one_text(openai: AsyncOpenAI) -> None:
    made = await openai.embeddings.create(
        model=MODEL,
        input=TEXT,
        encoding_format="float",
        dimensions=16,
        user="somebody",
        extra_body={"input_type": "query"},
    )
    assert made.data[0].embedding == pytest.approx(vector(TEXT, 16), abs=1e-6)


async def test_default_and_the_list(openai: AsyncOpenAI) -> None:
    assert (await openai.embeddings.create(model="default", input=TEXT)).model == MODEL
    assert MODEL in [model.id async for model in openai.models.list()]
    assert (await openai.models.retrieve(MODEL)).owned_by == "fake"


async def test_as_many_as_openai_takes(openai: AsyncOpenAI) -> None:
    made = await openai.embeddings.create(model=MODEL, input=[f"text {n}" for n in range(2048)])
    assert len(made.data) == 2048
    assert made.data[-1].embedding == pytest.approx(vector("text 2047"), abs=1e-6)


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"input": [1, 2, 3]}, "input", "send the text itself"),
        ({"input": [[1, 2], [3]]}, "input", "check_embedding_ctx_length=False"),
        ({"input": ""}, "input[0]", "leave it out"),
        ({"input": ["one", ""]}, "input[1]", "leave it out"),
        ({"input": []}, "input", "at least 1"),
        ({"input": {"text": "one"}}, "input", "a list of texts"),
        ({"input": ["one", None]}, "input[1]", "give a text"),
        ({"input": ["x"] * 2049}, "input", "2,048 go in a request"),
        ({"input": "x" * 200_001}, "input[0]", "200,000 is the most"),
        ({"input": "one", "dimensions": 0}, "dimensions", "greater than or equal to 1"),
        ({"input": "one", "dimensions": 65}, None, "64 dimensions at most"),
        ({"input": "one", "encoding_format": "int8"}, "encoding_format", "base64"),
        ({"input": "one", "input_type": "poem"}, "input_type", "passage"),
        ({"input": "one", "truncate": "END"}, "truncate", "not supported"),
        ({"input": "\ud800"}, None, ""),
        ({}, "input", ""),
    ],
)
async def test_what_is_refused(
    client: httpx.AsyncClient, account: Account, fields: dict[str, Any], param: str | None, words: str
) -> None:
    import json

    body = json.dumps({"model": MODEL} | fields)
    headers = account.headers | {"Content-Type": "application/json"}
    answer = await client.post("/v1/embeddings", content=body, headers=headers)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    if param is not None:
        assert error["param"] == param
    assert words in error["message"]


async def test_models_that_make_none(openai: AsyncOpenAI) -> None:
    with pytest.raises(sdk.BadRequestError, match="makes no embeddings"):
        await openai.embeddings.create(model="fake/echo", input="one")
    with pytest.raises(sdk.BadRequestError, match="makes embeddings, no text"):
        await openai.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}])
    with pytest.raises(sdk.NotFoundError) as error:
        await openai.embeddings.create(model="nobody/else", input="one")
    assert error.value.code == "model_not_found"
    with pytest.raises(sdk.InternalServerError, match="OPENAI_API_KEY"):
        await openai.embeddings.create(model="openai/text-embedding-3-small", input="one")


async def test_who_asks_must_be_known(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/embeddings", json={"input": "one"})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"


async def test_too_large_a_body(client: httpx.AsyncClient, account: Account, settings: Settings) -> None:
    texts = ["x" * 190_000] * 6
    assert sum(map(len, texts)) > settings.max_body_bytes
    answer = await client.post("/v1/embeddings", json={"model": MODEL, "input": texts}, headers=account.headers)
    assert answer.status_code == 413
    assert "bytes" in answer.json()["error"]["message"]


async def test_the_catalogue_says_which_models_make_them(client: httpx.AsyncClient, account: Account) -> None:
    found = (await client.get("/api/models", headers=account.headers)).json()
    assert found["default_embedding"] == MODEL
    (fake,) = (model for model in found["models"] if model["id"] == MODEL)
    assert (fake["capabilities"], fake["dimensions"], fake["parameters"]) == (["embeddings"], 64, ["dimensions"])


class TestJob:
    """The kind ``llm.embed``."""

    @staticmethod
    async def run(client: httpx.AsyncClient, account: Account, given: dict[str, Any]) -> tuple[dict[str, Any], str]:
        submitted = await client.post("/api/jobs", json={"kind": "llm.embed", "input": given}, headers=account.headers)
        assert submitted.status_code == 202, submitted.text
        path = f"/api/jobs/{submitted.json()['id']}"
        events = (await client.get(f"{path}/events", headers=account.headers, timeout=30)).text
        job: dict[str, Any] = (await client.get(path, headers=account.headers)).json()
        return job, events

    async def test_many_texts(self, client: httpx.AsyncClient, account: Account) -> None:
        texts = [f"text {n}" for n in range(150)]
        job, events = await self.run(client, account, {"texts": texts})
        assert job["status"] == "succeeded"
        output = job["output"]
        assert (output["model"], output["dimensions"], output["tokens"], output["usd"]) == (MODEL, 64, 300, "0")
        assert len(output["vectors"]) == 150
        last = array("f", base64.b64decode(output["vectors"][-1]))
        assert list(last) == pytest.approx(vector("text 149"), abs=1e-6)
        assert events.count("event: progress") == 3
        assert events.count('"status":"finished"') == 3

    async def test_numbers(self, client: httpx.AsyncClient, account: Account) -> None:
        job, _ = await self.run(
            client, account, {"model": MODEL, "texts": [TEXT], "encoding_format": "float", "dimensions": 8}
        )
        assert job["output"]["vectors"][0] == pytest.approx(vector(TEXT, 8), abs=1e-6)

    async def test_a_model_that_makes_none(self, client: httpx.AsyncClient, account: Account) -> None:
        job, _ = await self.run(client, account, {"model": "fake/echo", "texts": [TEXT]})
        assert (job["status"], job["error"]["code"]) == ("failed", "model_request_rejected")

    @pytest.mark.parametrize("texts", [[], [""], ["\0"], ["x"] * 513])
    async def test_what_is_refused(self, client: httpx.AsyncClient, account: Account, texts: list[str]) -> None:
        body = {"kind": "llm.embed", "input": {"texts": texts}}
        answer = await client.post("/api/jobs", json=body, headers=account.headers)
        assert answer.status_code == 422
