"""What an execution may take: time, money, one iteration less; and a judge that keeps its answer waiting."""

import asyncio
import time
from collections.abc import AsyncGenerator

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from tests.conftest import Account
from tests.core.llm import server
from tests.core.llm.server import Answer, Asked, Server
from tests.core.llm.vendors import STOP, OpenAI
from tests.playground.conftest import Ended, Execute, Json, messages, until
from yeoul.core.db.database import Database
from yeoul.settings import Settings

PAID = f"openai/{OpenAI().model.partition('/')[2]}"


async def says(answer: Answer, text: str) -> None:
    await answer.open_stream()
    for event in OpenAI().events([text], STOP):
        await answer.piece(event)
    await answer.end()


@pytest.fixture
async def vendor() -> AsyncGenerator[Server]:
    """An OpenAI whose answers cost money."""

    async def script(asked: Asked, answer: Answer) -> None:
        await says(answer, "PASS it is well said.")

    async with server.running() as running:
        running.scripts = [script]
        yield running


@pytest.fixture
def settings(settings: Settings, vendor: Server) -> Settings:
    keys = {"openai_api_key": SecretStr("k"), "anthropic_api_key": SecretStr("k")}
    return settings.model_copy(update={"openai_base_url": vendor.url, **keys})


async def test_a_time_of_ones_own(client: httpx.AsyncClient, account: Account, execute: Execute, ended: Ended) -> None:
    await ended((await execute())["execution_id"])  # what answers need has been imported
    made = await execute(models=["fake/silent", "fake/echo"], timeout_seconds=1)
    shown = await ended(made["execution_id"])
    silent, echo = shown["results"]
    assert (silent["status"], silent["error_code"]) == ("error", "timeout")
    assert "1 seconds" in silent["error_message"]
    assert 1000 <= silent["response_time_ms"] < 20_000
    job = (await client.get(f"/api/jobs/{silent['job_id']}", headers=account.headers)).json()
    assert job["attempt"] == 1 < job["max_attempts"], "it is not asked for again"
    assert echo["status"] == "completed"
    assert shown["status"] == "partial"


async def test_a_value_that_a_model_does_not_take(client: httpx.AsyncClient, account: Account) -> None:
    body = {"user_prompt": "x", "models": [PAID, "anthropic/claude-haiku-4-5"], "parameters": {"temperature": 1.5}}
    answer = await client.post("/api/prompts/execute", json=body, headers=account.headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "parameter_not_taken")
    words = "`anthropic/claude-haiku-4-5` takes `temperature` from 0 to 1, not 1.5."
    assert answer.json()["errors"] == [{"loc": ["body", "parameters", "temperature"], "message": words}]
    question = {"prompt": "x", "model": "anthropic/claude-haiku-4-5", "parameters": {"temperature": 1.5}}
    job = {"kind": "llm.complete", "input": question}
    job_id = (await client.post("/api/jobs", json=job, headers=account.headers)).json()["id"]
    async with asyncio.timeout(20):
        await client.get(f"/api/jobs/{job_id}/events", headers=account.headers)
    error = (await client.get(f"/api/jobs/{job_id}", headers=account.headers)).json()["error"]
    assert (error["code"], error["message"]) == ("model_cannot", words)


async def test_money(execute: Execute, ended: Ended, vendor: Server) -> None:
    made = await execute(selected_model=PAID, iterations=5, concurrency=1, max_cost_usd="0.00000001")
    shown = await ended(made["execution_id"])
    first, *rest = shown["results"]
    assert first["status"] == "completed"
    assert float(first["cost_usd"]) > 0
    assert [one["error_code"] for one in rest] == ["cost_cap"] * 4
    assert "higher `max_cost_usd`" in rest[0]["error_message"]
    assert len(vendor.asked) == 1
    assert shown["status"] == "partial"


async def test_enough_money(execute: Execute, ended: Ended) -> None:
    shown = await ended((await execute(selected_model=PAID, iterations=2, max_cost_usd=1))["execution_id"])
    assert shown["status"] == "completed"


async def test_what_judges_cost_counts(execute: Execute, ended: Ended, vendor: Server) -> None:
    judge = {"type": "judge", "model": PAID, "rubric": "It is well said."}
    made = await execute(checks=[judge], iterations=3, concurrency=1, max_cost_usd="0.00000001")
    shown = await ended(made["execution_id"])
    first, *rest = shown["results"]
    assert first["checks"][0] == {
        "name": "judge: It is well said.", "type": "judge", "passed": True, "detail": "it is well said.",
    }  # fmt: skip
    assert first["judging"]["input"] == 12
    assert first["cost_usd"] == first["judging"]["cost_usd"]
    assert float(first["cost_usd"]) > 0
    assert [one["error_code"] for one in rest] == ["cost_cap"] * 2
    assert len(vendor.asked) == 1


async def test_an_answer_waits_for_its_judge(
    address: str, account: Account, execute: Execute, ended: Ended, vendor: Server, database: Database
) -> None:
    """The judge takes no questions for a second: the job goes back to the queue, and its answer is not asked again."""
    busy = vendor.scripts[0]

    async def first(asked: Asked, answer: Answer) -> None:
        await answer.json(429, OpenAI().error(429), {"Retry-After": "1"})

    vendor.scripts = [first, busy]
    made = await execute(
        checks=[{"type": "judge", "model": PAID, "rubric": "It is well said."}], user_prompt="said once"
    )
    said = [(kind, data) async for _, kind, data in messages(address, account, made["execution_id"])]
    kinds = [kind for kind, _ in said]
    assert kinds.count("started") == 2
    assert not {"retrying", "reset"} & set(kinds)
    assert "".join(data["content"] for kind, data in said if kind == "chunk") == "said once"
    shown = await ended(made["execution_id"])
    (result,) = shown["results"]
    assert (result["response_text"], result["checks"][0]["passed"]) == ("said once", True)
    assert len(vendor.asked) == 2
    async with database.service_connection() as connection:
        rows = await (await connection.execute("SELECT count(*) FROM events WHERE type = 'usage'")).fetchall()
    assert rows == [(1,)], "the answer was asked once, and no judge's text is in the stream"


async def test_what_waits_for_its_judge_and_is_stopped_keeps_its_answer(
    client: httpx.AsyncClient, address: str, account: Account, execute: Execute, ended: Ended, vendor: Server
) -> None:
    async def first(asked: Asked, answer: Answer) -> None:
        await answer.json(429, OpenAI().error(429), {"Retry-After": "3000"})

    vendor.scripts = [first]
    made = await execute(
        checks=[{"type": "judge", "model": PAID, "rubric": "It is well said."}], user_prompt="said once"
    )
    pending = (await client.get(f"/api/prompts/{made['execution_id']}/status", headers=account.headers)).json()
    await until(address, account, pending["pending"][0]["job_id"], "retrying")
    await client.post(f"/api/prompts/{made['execution_id']}/cancel", headers=account.headers)
    (result,) = (await ended(made["execution_id"]))["results"]
    assert (result["error_code"], result["response_text"]) == ("canceled", "said once")


@pytest.fixture
async def running(
    client: httpx.AsyncClient, account: Account, execute: Execute, address: str
) -> AsyncGenerator[tuple[Json, list[Json]]]:
    """An execution that runs one of three at a time, the first for long, and its pending ones."""
    made = await execute(selected_model="fake/slow", user_prompt="100000 words, 20 ms", iterations=3, concurrency=1)
    async for _, kind, _ in messages(address, account, made["execution_id"]):
        if kind == "chunk":
            break
    shown = (await client.get(f"/api/prompts/{made['execution_id']}/status", headers=account.headers)).json()
    yield made, shown["pending"]
    await client.delete(f"/api/prompts/{made['prompt_id']}", headers=account.headers)


async def test_one_is_stopped(
    client: httpx.AsyncClient, account: Account, running: tuple[Json, list[Json]], address: str
) -> None:
    made, pending = running
    path = f"/api/prompts/{made['execution_id']}/iterations"
    held = await client.get(f"/api/jobs/{pending[1]['job_id']}", headers=account.headers)
    assert (held.json()["status"], held.json()["run_at"], held.json()["queue_position"]) == ("queued", None, None)
    answer = await client.post(f"{path}/{pending[1]['job_id']}/cancel", headers=account.headers)
    assert answer.status_code == 200
    assert [one["iteration_number"] for one in answer.json()["pending"]] == [1, 3]
    await client.post(f"{path}/{pending[0]['job_id']}/cancel", headers=account.headers)
    async with asyncio.timeout(20):
        async for _, kind, data in messages(address, account, made["execution_id"]):
            if kind == "chunk" and data["iteration"] == 3:
                break
    shown = (await client.get(f"/api/prompts/{made['execution_id']}/status", headers=account.headers)).json()
    assert [(one["iteration_number"], one["error_code"]) for one in shown["results"]] == [
        (1, "canceled"), (2, "canceled"),
    ]  # fmt: skip
    again = await client.post(f"{path}/{shown['results'][0]['id']}/cancel", headers=account.headers)
    assert again.json()["results"] == shown["results"], "what has ended stays"
    for stranger in (made["execution_id"], "01a1ff7b-46b4-72c1-a73b-4cc1109fa99a"):
        answer = await client.post(f"{path}/{stranger}/cancel", headers=account.headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "iteration_not_found")


async def test_a_thousand_at_once(
    app: FastAPI, client: httpx.AsyncClient, account: Account, execute: Execute, database: Database
) -> None:
    body = {
        "user_prompt": "{{a}} words, 1 ms", "models": ["fake/slow", "fake/echo"], "iterations": 5, "concurrency": 1,
        "cases": [{"a": str(n)} for n in range(100)],
    }  # fmt: skip
    await execute()  # imports and plans are there
    began = time.perf_counter()
    answer = await client.post("/api/prompts/execute", json=body, headers=account.headers)
    took = time.perf_counter() - began
    assert answer.status_code == 202
    assert took < 3, took
    async with database.service_connection() as connection:
        rows = await (
            await connection.execute(
                "SELECT count(*), count(*) FILTER (WHERE run_at IS NULL) >= 990 FROM jobs WHERE status <> 'succeeded'"
                " OR input ->> 'execution_id' = %s",
                [answer.json()["execution_id"]],
            )
        ).fetchall()
    assert rows == [(1000, True)]
    status = await client.post(f"/api/prompts/{answer.json()['execution_id']}/cancel", headers=account.headers)
    assert len(status.json()["results"]) + len(status.json()["pending"]) == 1000
