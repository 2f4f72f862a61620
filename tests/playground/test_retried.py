"""An iteration that is asked again: it waits, is stopped and deleted like every other."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

import httpx
import pytest

from tests.conftest import Account
from tests.playground.conftest import Ended, Execute, Json, script, until
from yeoul.core.db.database import Database
from yeoul.core.llm.errors import ModelAuthFailed
from yeoul.core.llm.gateway import Gateway

Retried = tuple[Json, Json, str]
"""A failed execution, its status before, and the job that now asks again and speaks for long."""


@pytest.fixture
async def retried(client: httpx.AsyncClient, address: str, account: Account, execute: Execute, ended: Ended) -> Retried:
    prompt = script({"text": "again ", "after_ms": 20}, repeat=100_000, fail_first=[400])
    made = await execute(selected_model="fake/script", user_prompt=prompt)
    before = await ended(made["execution_id"])
    failed = before["results"][0]
    assert (before["status"], failed["status"], before["pending"]) == ("failed", "error", [])
    answer = await client.post(f"/api/jobs/{failed['job_id']}/retry", headers=account.headers)
    job_id = answer.json()["id"]
    await until(address, account, job_id, "text")
    return made, before, job_id


async def status_of(client: httpx.AsyncClient, account: Account, made: Json) -> Json:
    answer = await client.get(f"/api/prompts/{made['execution_id']}/status", headers=account.headers)
    found: Json = answer.json()
    return found


async def job_ended(client: httpx.AsyncClient, account: Account, job_id: str) -> str:
    """How a job ended, once it has."""
    async with asyncio.timeout(20):
        await client.get(f"/api/jobs/{job_id}/events", headers=account.headers)
    return str((await client.get(f"/api/jobs/{job_id}", headers=account.headers)).json()["status"])


async def test_it_is_pending_until_it_ends(client: httpx.AsyncClient, account: Account, retried: Retried) -> None:
    made, before, job_id = retried
    shown = await status_of(client, account, made)
    (pending,) = shown["pending"]
    assert (pending["job_id"], pending["status"], pending["iteration_number"]) == (job_id, "running", 1)
    assert pending["characters"] > 0
    assert shown["results"] == before["results"], "until then, that is how it ended"


async def test_all_is_stopped_and_how_it_ended_before_stays(
    client: httpx.AsyncClient, account: Account, retried: Retried
) -> None:
    made, before, job_id = retried
    await client.post(f"/api/prompts/{made['execution_id']}/cancel", headers=account.headers)
    assert await job_ended(client, account, job_id) == "canceled"
    after = await status_of(client, account, made)
    assert (after["results"], after["pending"]) == (before["results"], [])


async def test_one_is_stopped_by_its_results_id(client: httpx.AsyncClient, account: Account, retried: Retried) -> None:
    made, before, job_id = retried
    iteration = before["results"][0]["id"]
    await client.post(f"/api/prompts/{made['execution_id']}/iterations/{iteration}/cancel", headers=account.headers)
    assert await job_ended(client, account, job_id) == "canceled"


async def test_a_deleted_prompt_leaves_no_answer(
    client: httpx.AsyncClient, account: Account, retried: Retried, database: Database
) -> None:
    """Jobs that have ended go with it; what one had said that was canceled by it is emptied."""
    made, before, job_id = retried
    await client.post(f"/api/prompts/{made['prompt_id']}/execute", headers=account.headers)
    answer = await client.delete(f"/api/prompts/{made['prompt_id']}", headers=account.headers)
    assert answer.status_code == 204
    gone = await client.get(f"/api/jobs/{before['results'][0]['job_id']}", headers=account.headers)
    assert gone.status_code == 404
    listed = (await client.get("/api/jobs?kind=playground.iteration", headers=account.headers)).json()["items"]
    assert [await job_ended(client, account, one["id"]) for one in listed] == ["canceled"] * 2
    async with database.service_connection() as connection:
        said = await (
            await connection.execute("SELECT DISTINCT data ->> 'delta' FROM events WHERE type = 'text'")
        ).fetchall()
        seqs = await (
            await connection.execute("SELECT min(seq), max(seq), count(*) FROM events WHERE stream_id = %s", [job_id])
        ).fetchall()
    assert said == [("",)]
    ((first, last, count),) = seqs
    assert (first, last) == (1, count), "who follows it is told its end"


async def test_an_ended_prompt_that_is_deleted_leaves_nothing(
    client: httpx.AsyncClient, account: Account, execute: Execute, ended: Ended, database: Database
) -> None:
    judge = {"type": "judge", "model": "fake/echo", "rubric": "It is well said."}
    made = await execute(iterations=2, checks=[judge], user_prompt="the words")
    other = await execute(user_prompt="another's words")
    kept = (await ended(other["execution_id"]))["results"][0]["job_id"]
    jobs = [one["job_id"] for one in (await ended(made["execution_id"]))["results"]]
    await client.delete(f"/api/prompts/{made['prompt_id']}", headers=account.headers)
    gone = await client.get(f"/api/prompts/{made['execution_id']}/status", headers=account.headers)
    assert (gone.status_code, gone.json()["code"]) == (404, "prompt_not_found")
    for path in (f"/api/jobs/{jobs[0]}", f"/api/jobs/{jobs[0]}/events"):
        assert (await client.get(path, headers=account.headers)).status_code == 404
    async with database.service_connection() as connection:
        for query in (
            "SELECT id FROM jobs WHERE kind = 'playground.iteration'",
            "SELECT DISTINCT stream_id FROM events WHERE type = 'text'",
        ):
            assert await (await connection.execute(query)).fetchall() == [(UUID(kept),)], query
        assert await (await connection.execute("SELECT name FROM steps")).fetchall() == []


async def test_a_retry_that_fails_without_a_word_keeps_what_had_been_said(
    client: httpx.AsyncClient, account: Account, execute: Execute, ended: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await execute(selected_model="fake/script", user_prompt=script({"text": "kept "}, {"error": 400}))
    (before,) = (await ended(made["execution_id"]))["results"]

    async def refused(*_: object, **_more: object) -> AsyncGenerator[None]:
        if before:
            raise ModelAuthFailed("no such key", model="fake/script")
        yield

    monkeypatch.setattr(Gateway, "stream", refused)
    answer = await client.post(f"/api/jobs/{before['job_id']}/retry", headers=account.headers)
    assert await job_ended(client, account, answer.json()["id"]) == "failed"
    (after,) = (await status_of(client, account, made))["results"]
    assert (after["job_id"], after["error_code"]) == (answer.json()["id"], "model_auth_failed")
    assert after["response_text"] == before["response_text"] == "kept "
