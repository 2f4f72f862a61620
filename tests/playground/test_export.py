"""Results as files: every format, any number, and safe in a spreadsheet."""

import csv
import io
import json
import tracemalloc
from collections.abc import AsyncGenerator, Callable
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from tests.conftest import Account, Register
from tests.core.llm.server import Server
from tests.playground import upstream
from tests.playground.conftest import Ended, Execute
from yeoul.core.db.database import Database
from yeoul.playground.export import COLUMNS, Format, export
from yeoul.settings import Settings

MANY = """
INSERT INTO playground_results (id, owner_id, execution_id, iteration_number, model, job_id, response_text, status)
SELECT gen_random_uuid(), owner_id, id, n, 'fake/echo', gen_random_uuid(), 'answer ' || n || repeat(' x', 500),
       'completed'
FROM playground_executions, generate_series(%s::int, %s::int) n
"""


EXECUTIONS = """
INSERT INTO playground_executions (id, owner_id, prompt_id, iterations, models, stream, job_ids, checks)
SELECT uuidv7(), owner_id, id, 1, '{fake/echo}', true, '{}', (
    SELECT jsonb_agg(jsonb_build_object('type', 'equals', 'name', 'check ' || n, 'value', repeat('x', 100000)))
    FROM generate_series(1, 10) n)
FROM playground_prompts, generate_series(%s::int, %s::int)
"""


@pytest.fixture
async def caching() -> AsyncGenerator[Server]:
    async with upstream.caching() as running:
        yield running


@pytest.fixture
def settings(settings: Settings, caching: Server) -> Settings:
    return settings.model_copy(update={"openai_base_url": caching.url, "openai_api_key": SecretStr("k")})


async def exported(client: httpx.AsyncClient, account: Account, either: str, **query: object) -> httpx.Response:
    answer = await client.get(
        f"/api/prompts/{either}/export", params={name: str(value) for name, value in query.items()},
        headers=account.headers,
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    return answer


async def test_the_rows_in_each_format(
    client: httpx.AsyncClient, account: Account, execute: Execute, ended: Ended
) -> None:
    made = await execute(models=["fake/echo", "fake/error-400"], iterations=2, user_prompt='여울 "quoted", 1\nline')
    shown = await ended(made["execution_id"])
    results = sorted(shown["results"], key=lambda one: (one["iteration_number"], one["model"]))
    as_json = await exported(client, account, made["execution_id"], format="json")
    assert as_json.headers["content-type"] == "application/json"
    assert as_json.headers["content-disposition"] == f'attachment; filename="results-{made["execution_id"]}.json"'
    assert as_json.json()["results"] == results
    assert as_json.json()["prompt"]["user_prompt"] == '여울 "quoted", 1\nline'
    lines = await exported(client, account, made["execution_id"], format="jsonl")
    assert [json.loads(line) for line in lines.text.splitlines()] == results
    plain = await exported(client, account, made["execution_id"], format="csv")
    assert plain.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(plain.text, newline="")))
    assert tuple(rows[0]) == COLUMNS
    assert rows[0]["response_text"] == '여울 "quoted", 1\nline'
    assert [row["status"] for row in rows] == ["completed", "error"] * 2
    assert rows[0]["total_tokens"] == str(results[0]["tokens_used"]["total"])
    assert rows[1]["error_code"] == "model_request_rejected"
    excel = await exported(client, account, made["execution_id"], format="csv", bom=True)
    assert excel.content == b"\xef\xbb\xbf" + plain.content


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =cmd|' /C calc'!A0", "\uff1d1"])
async def test_no_formulas(
    text: str, client: httpx.AsyncClient, account: Account, execute: Execute, ended: Ended
) -> None:
    made = await execute(user_prompt=text)
    await ended(made["execution_id"])
    answer = await exported(client, account, made["execution_id"], format="csv")
    row = next(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert row["response_text"] == "'" + text


async def test_no_cells_where_some_would_split(
    client: httpx.AsyncClient, account: Account, execute: Execute, ended: Ended
) -> None:
    """Some spreadsheets also split at semicolons and tabs, but not inside quotes."""
    made = await execute(user_prompt="x;=1+1")
    await ended(made["execution_id"])
    head, row = (await exported(client, account, made["execution_id"], format="csv")).text.splitlines()
    assert '"response_text"' in head
    assert '"x;=1+1"' in row


async def test_tokens_from_a_cache(client: httpx.AsyncClient, account: Account, execute: Execute, ended: Ended) -> None:
    made = await execute(models=[upstream.OPENAI, "fake/echo"])
    first, second = (await ended(made["execution_id"]))["results"]
    assert first["tokens_used"] == {"input": 12, "output": 5, "total": 17, "cached": 8}
    assert "cached" not in second["tokens_used"]
    text = (await exported(client, account, made["execution_id"], format="csv")).text
    by_model = {row["model"]: row["cached_tokens"] for row in csv.DictReader(io.StringIO(text, newline=""))}
    assert by_model == {upstream.OPENAI: "8", "fake/echo": ""}


async def test_all_of_a_prompts(client: httpx.AsyncClient, account: Account, execute: Execute, ended: Ended) -> None:
    made = await execute(iterations=2)
    again = (await client.post(f"/api/prompts/{made['prompt_id']}/execute", headers=account.headers)).json()
    await ended(made["execution_id"])
    await ended(again["execution_id"])
    rows = (await exported(client, account, made["prompt_id"], format="json")).json()["results"]
    assert [row["execution_id"] for row in rows] == [made["execution_id"]] * 2 + [again["execution_id"]] * 2


async def test_nothing_yet(client: httpx.AsyncClient, account: Account, execute: Execute) -> None:
    made = await execute(selected_model="fake/silent")
    assert (await exported(client, account, made["execution_id"], format="json")).json()["results"] == []
    assert (await exported(client, account, made["execution_id"], format="jsonl")).text == ""
    await client.delete(f"/api/prompts/{made['prompt_id']}", headers=account.headers)


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
async def test_many_take_no_more_memory(
    form: Format, app: FastAPI, account: Account, execute: Execute, ended: Ended, database: Database
) -> None:
    made = await execute()
    await ended(made["execution_id"])

    async def peak(count: Callable[[str], int]) -> tuple[int, int]:
        tracemalloc.start()
        found = 0
        text = export(app.state.services, account.id, UUID(made["execution_id"]), form, bom=False)
        async for part in text:
            found += count(part)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found, most

    def answers(part: str) -> int:
        return part.count("answer ")

    async with database.service_connection() as connection:
        await connection.execute(MANY, [2, 301])
    few, little = await peak(answers)
    async with database.service_connection() as connection:
        await connection.execute(MANY, [302, 15_001])
    many, much = await peak(answers)
    assert (few, many) == (300, 15_000)
    assert much < little * 1.5, (little, much)


@pytest.mark.parametrize("form", ["json", "csv"])
async def test_many_executions_with_large_checks_take_no_more_memory(
    form: Format, app: FastAPI, account: Account, execute: Execute, ended: Ended, database: Database
) -> None:
    made = await execute(user_prompt="the answer")
    await ended(made["execution_id"])

    async def peak() -> int:
        tracemalloc.start()
        text = "".join(
            [part async for part in export(app.state.services, account.id, UUID(made["prompt_id"]), form, bom=False)]
        )
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert "the answer" in text
        assert form == "json" or text.count("check: check ") == 10
        return most

    peaks = []
    for begin, end in ((1, 10), (11, 120)):
        async with database.service_connection() as connection:
            await connection.execute(EXECUTIONS, [begin, end])
        peaks.append(await peak())
    assert peaks[1] < peaks[0] * 1.5, peaks


async def test_anothers(client: httpx.AsyncClient, register: Register, execute: Execute) -> None:
    made = await execute()
    other = await register("jun")
    for path in ("export", "code"):
        answer = await client.get(f"/api/prompts/{made['execution_id']}/{path}", headers=other.headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "prompt_not_found")
