"""Executing: what is made, what comes of it, and what is refused."""

import asyncio
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI

from tests.conftest import Account, Register
from tests.playground.conftest import Ended, Execute, messages, script
from yeoul.core.db.database import Database


async def test_an_answer_of_each_iteration_and_model(execute: Execute, ended: Ended) -> None:
    made = await execute(
        system_prompt="be brief", models=["fake/echo", "fake/slow"], user_prompt="3 words, 1 ms", iterations=3,
        parameters={"max_tokens": 50},
    )  # fmt: skip
    assert set(made) == {"execution_id", "prompt_id", "status"}
    assert made["status"] == "started"
    shown = await ended(made["execution_id"])
    assert shown["status"] == shown["execution"]["status"] == "completed"
    assert shown["pending"] == []
    key = [(one["iteration_number"], one["model"]) for one in shown["results"]]
    assert key == [(n, model) for n in (1, 2, 3) for model in ("fake/echo", "fake/slow")]
    echo, slow = shown["results"][:2]
    assert echo["response_text"] == "3 words, 1 ms"
    assert slow["response_text"] == "word1 word2 word3 "
    assert echo["tokens_used"] == {"input": 4, "output": 4, "total": 8}
    assert echo["status"] == "completed"
    assert echo["error_message"] is None
    assert echo["finish_reason"] == "stop"
    assert echo["response_time_ms"] >= 0
    numbers = {one["model"]: one for one in shown["statistics"]}
    assert numbers["fake/slow"]["count"] == numbers["fake/slow"]["completed"] == 3
    assert numbers["fake/slow"]["agreement"] == 1
    assert numbers["fake/slow"]["output_tokens"] == 9
    assert numbers["fake/slow"]["p95_ms"] >= numbers["fake/slow"]["p50_ms"] > 0


async def test_the_prompts_id_does_as_well(execute: Execute, ended: Ended, client: httpx.AsyncClient) -> None:
    made = await execute()
    by_prompt = await ended(made["prompt_id"])
    assert by_prompt["execution_id"] == made["execution_id"]
    assert by_prompt["results"][0]["response_text"] == "hello there"


async def test_one_failing_does_not_stop_the_others(execute: Execute, ended: Ended) -> None:
    made = await execute(models=["fake/echo", "fake/error-400", "fake/blocked"], iterations=2)
    shown = await ended(made["execution_id"])
    assert shown["status"] == "partial"
    by_model = {one["model"]: one for one in shown["results"]}
    assert by_model["fake/echo"]["status"] == "completed"
    failed, blocked = by_model["fake/error-400"], by_model["fake/blocked"]
    assert (failed["status"], failed["error_code"]) == ("error", "model_request_rejected")
    assert failed["response_text"] is None
    assert blocked["error_code"] == "content_filtered"
    assert "it was judged unsafe (harassment)" in blocked["error_message"]
    assert blocked["response_text"] == "This is ", "what it had said stays"
    errors = {one["model"]: one["errors"] for one in shown["statistics"]}
    assert errors == {"fake/echo": 0, "fake/error-400": 2, "fake/blocked": 2}


async def test_all_failing_is_failed(execute: Execute, ended: Ended) -> None:
    shown = await ended((await execute(selected_model="fake/error-400", iterations=2))["execution_id"])
    assert shown["status"] == "failed"
    assert shown["statistics"][0]["agreement"] is None


async def test_what_may_pass_is_tried_again(execute: Execute, ended: Ended) -> None:
    prompt = script("it worked", fail_first=[500, 500, 500, 500])
    shown = await ended((await execute(selected_model="fake/script", user_prompt=prompt))["execution_id"])
    assert [one["response_text"] for one in shown["results"]] == ["it worked"]
    assert shown["status"] == "completed"


async def test_whole_answers(execute: Execute, ended: Ended, database: Database) -> None:
    shown = await ended((await execute(stream=False))["execution_id"])
    assert shown["results"][0]["response_text"] == "hello there"
    async with database.service_connection() as connection:
        rows = await (await connection.execute("SELECT count(*) FROM events WHERE type = 'text'")).fetchall()
    assert rows == [(0,)]


async def test_no_more_at_a_time_than_asked(execute: Execute, ended: Ended, database: Database) -> None:
    made = await execute(selected_model="fake/slow", user_prompt="10 words, 5 ms", iterations=9, concurrency=2)
    shown = await ended(made["execution_id"])
    assert shown["status"] == "completed"
    assert len(shown["results"]) == 9
    async with database.service_connection() as connection:
        spans = await (
            await connection.execute("SELECT started_at, finished_at FROM jobs WHERE kind = 'playground.iteration'")
        ).fetchall()
    most = max(sum(start < moment < end for start, end in spans) for moment, _ in spans)
    assert most + 1 <= 2


async def test_the_same_key_makes_one(client: httpx.AsyncClient, account: Account, database: Database) -> None:
    body = {"user_prompt": "hi", "selected_model": "fake/echo", "iterations": 2}
    headers = account.headers | {"Idempotency-Key": "k1"}
    first = await client.post("/api/prompts/execute", json=body, headers=headers)
    second = await client.post("/api/prompts/execute", json=body, headers=headers)
    assert first.json() == second.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    other = await client.post("/api/prompts/execute", json=body | {"iterations": 3}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    async with database.service_connection() as connection:
        rows = await (await connection.execute("SELECT count(*) FROM playground_prompts")).fetchall()
    assert rows == [(1,)]


async def test_all_or_nothing(app: FastAPI, client: httpx.AsyncClient, account: Account, database: Database) -> None:
    app.state.services.settings.max_queued_per_user = 3
    body = {"user_prompt": "hi", "selected_model": "fake/silent", "iterations": 50, "concurrency": 1}
    answer = await client.post("/api/prompts/execute", json=body, headers=account.headers)
    assert answer.status_code == 429
    async with database.service_connection() as connection:
        for table in ("playground_prompts", "playground_executions", "jobs WHERE kind = 'playground.iteration'"):
            rows = await (await connection.execute(f"SELECT count(*) FROM {table}")).fetchall()  # noqa: S608
            assert rows == [(0,)], table


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"user_prompt": ""}, 422, "user_prompt"),
        ({"user_prompt": "x", "iterations": 51}, 422, "iterations"),
        ({"user_prompt": "x", "iterations": 0}, 422, "iterations"),
        ({"user_prompt": "x", "temprature": 1}, 422, "temprature"),
        ({"user_prompt": "x", "parameters": {"temprature": 1}}, 422, "temprature"),
        ({"user_prompt": "x", "parameters": {"temperature": 9}}, 422, "temperature"),
        ({"user_prompt": "x", "selected_model": "nobody/nothing"}, 404, "nobody/nothing"),
        ({"user_prompt": "x", "selected_model": "openai/gpt-5"}, 503, "model_not_ready"),
        ({"user_prompt": "x", "selected_model": "fake/embedding"}, 422, "embeddings"),
        ({"user_prompt": "x", "models": []}, 422, "models"),
    ],
)
async def test_refused(client: httpx.AsyncClient, account: Account, body: object, status: int, said: str) -> None:
    answer = await client.post("/api/prompts/execute", json=body, headers=account.headers)
    assert answer.status_code == status, answer.text
    assert said in answer.text


async def test_a_parameter_a_model_does_not_take(client: httpx.AsyncClient, account: Account) -> None:
    body = {"user_prompt": "x", "selected_model": "fake/echo", "parameters": {"seed": 4}}
    answer = await client.post("/api/prompts/execute", json=body, headers=account.headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "parameter_not_taken")
    assert answer.json()["errors"][0]["loc"] == ["body", "parameters", "seed"]
    assert "`fake/echo` does not take `seed`" in answer.json()["detail"]


async def test_again_exactly_as_before(
    client: httpx.AsyncClient, account: Account, execute: Execute, ended: Ended
) -> None:
    made = await execute(models=["fake/slow", "fake/echo"], user_prompt="2 words, 1 ms", iterations=2, stream=False)
    await ended(made["execution_id"])
    answer = await client.post(f"/api/prompts/{made['prompt_id']}/execute", headers=account.headers)
    again = answer.json()
    assert answer.status_code == 202
    assert again["prompt_id"] == made["prompt_id"]
    assert again["execution_id"] != made["execution_id"]
    first, second = await ended(made["execution_id"]), await ended(again["execution_id"])
    same = ("models", "iterations", "stream", "concurrency", "status")
    assert [first["execution"][name] for name in same] == [second["execution"][name] for name in same]
    assert [one["response_text"] for one in first["results"]] == [one["response_text"] for one in second["results"]]
    shown = (await client.get(f"/api/prompts/{made['prompt_id']}", headers=account.headers)).json()
    assert [one["id"] for one in shown["executions"]] == [again["execution_id"], made["execution_id"]]


async def test_a_retried_iteration_mends_its_result(
    client: httpx.AsyncClient, account: Account, execute: Execute, ended: Ended
) -> None:
    prompt = script("better", fail_first=[400])
    made = await execute(selected_model="fake/script", user_prompt=prompt, models=["fake/script", "fake/slow"])
    shown = await ended(made["execution_id"])
    assert shown["status"] == "partial"
    failed = shown["results"][0]
    answer = await client.post(f"/api/jobs/{failed['job_id']}/retry", headers=account.headers)
    job_id = answer.json()["id"]
    async with asyncio.timeout(20):
        await client.get(f"/api/jobs/{job_id}/events", headers=account.headers)
    mended = (await client.get(f"/api/prompts/{made['execution_id']}/status", headers=account.headers)).json()
    assert mended["status"] == "completed"
    assert (mended["results"][0]["id"], mended["results"][0]["job_id"]) == (failed["id"], job_id)
    assert mended["results"][0]["response_text"] == "better"


async def test_cancel(client: httpx.AsyncClient, account: Account, execute: Execute, ended: Ended) -> None:
    made = await execute(models=["fake/silent", "fake/echo"], iterations=4, concurrency=3)
    answer = await client.post(f"/api/prompts/{made['execution_id']}/cancel", headers=account.headers)
    assert answer.status_code == 200
    assert answer.json()["execution"]["cancel_requested"] is True
    shown = await ended(made["execution_id"])
    assert shown["status"] == "canceled"
    assert len(shown["results"]) == 8
    assert {one["error_code"] for one in shown["results"] if one["status"] == "error"} == {"canceled"}
    again = await client.post(f"/api/prompts/{made['execution_id']}/cancel", headers=account.headers)
    assert again.json()["results"] == shown["results"]


async def test_pending(client: httpx.AsyncClient, account: Account, execute: Execute, address: str) -> None:
    made = await execute(selected_model="fake/slow", user_prompt="100000 words, 20 ms", iterations=2, concurrency=1)
    async for _, kind, _ in messages(address, account, made["execution_id"]):
        if kind == "chunk":
            break
    shown = (await client.get(f"/api/prompts/{made['execution_id']}/status", headers=account.headers)).json()
    assert shown["status"] == "running"
    assert [(one["status"], one["iteration_number"]) for one in shown["pending"]] == [("running", 1), ("queued", 2)]
    assert shown["pending"][0]["characters"] > 0
    await client.delete(f"/api/prompts/{made['prompt_id']}", headers=account.headers)


async def test_history(client: httpx.AsyncClient, account: Account, execute: Execute) -> None:
    made = [await execute(user_prompt=text) for text in ("100% blue", "여울 red", "100 blue")]
    ids = [one["prompt_id"] for one in reversed(made)]
    first = (await client.get("/api/prompts?limit=2", headers=account.headers)).json()
    assert [one["id"] for one in first["items"]] == ids[:2]
    assert first["items"][0]["execution"]["id"] == made[2]["execution_id"]
    query = {"limit": 2, "cursor": first["next_cursor"]}
    rest = (await client.get("/api/prompts", params=query, headers=account.headers)).json()
    assert [one["id"] for one in rest["items"]] == ids[2:]
    assert rest["next_cursor"] is None
    for words, found in {"BLUE": [0, 2], "100%": [0], "여울": [1], "nothing": []}.items():
        answer = await client.get("/api/prompts", params={"search": words}, headers=account.headers)
        assert [one["user_prompt"] for one in answer.json()["items"]] == [
            ("100% blue", "여울 red", "100 blue")[n] for n in reversed(found)
        ], words


async def test_anothers_is_not_there(client: httpx.AsyncClient, register: Register, execute: Execute) -> None:
    made = await execute()
    other = await register("jun")
    for either in (made["prompt_id"], made["execution_id"], str(uuid4())):
        for method, path in (
            ("GET", ""), ("GET", "/status"), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/execute"),
        ):  # fmt: skip
            answer = await client.request(method, f"/api/prompts/{either}{path}", headers=other.headers)
            assert (answer.status_code, answer.json()["code"]) == (404, "prompt_not_found"), (method, path)
    answer = await client.delete(f"/api/prompts/{made['prompt_id']}", headers=other.headers)
    assert answer.status_code == 404
    assert (await client.get("/api/prompts", headers=other.headers)).json()["items"] == []
    assert UUID(made["prompt_id"])
