"""Many who end, cancel, submit and ready iterations at a time: nothing waits for ever, and every sum is right."""

import asyncio
import random

import httpx

from tests.conftest import Account, Register
from tests.playground.conftest import Execute
from yeoul.core.db.database import Database

_WRONG = """
SELECT count(*) FROM playground_executions e WHERE completed_at IS NULL OR status <> (
    SELECT CASE WHEN count(*) <> cardinality(e.job_ids) THEN 'wrong'
                WHEN bool_or(coalesce(error_code, '') = 'canceled') THEN 'canceled'
                WHEN bool_and(r.status = 'completed') THEN 'completed'
                WHEN bool_and(r.status = 'error') THEN 'failed' ELSE 'partial' END
    FROM playground_results r WHERE r.execution_id = e.id)
"""


async def test_no_deadlocks(
    client: httpx.AsyncClient, account: Account, register: Register, execute: Execute, database: Database
) -> None:
    accounts = [account, await register("jun")]
    chance = random.Random(4)

    async def one(number: int) -> None:
        who = accounts[number % 2]
        body = {
            "user_prompt": f"{chance.randint(1, 6)} words, 2 ms",
            "models": ["fake/slow", "fake/echo", "fake/error-400"][: chance.randint(1, 3)],
            "iterations": chance.randint(1, 6),
            "concurrency": chance.choice([None, 1, 2, 3]),
        }
        answer = await client.post("/api/prompts/execute", json=body, headers=who.headers)
        assert answer.status_code == 202, answer.text
        execution_id = answer.json()["execution_id"]
        if number % 3 == 0:
            canceled = await client.post(f"/api/prompts/{execution_id}/cancel", headers=who.headers)
            assert canceled.status_code == 200, canceled.text
        if number % 5 == 0:
            shown = (await client.get(f"/api/prompts/{execution_id}/status", headers=who.headers)).json()
            for pending in shown["pending"]:
                await client.post(f"/api/jobs/{pending['job_id']}/cancel", headers=who.headers)
        async with asyncio.timeout(80):
            await client.get(f"/api/prompts/{execution_id}/events", headers=who.headers)

    await asyncio.gather(*(one(number) for number in range(30)))
    async with database.service_connection() as connection:
        assert await (await connection.execute(_WRONG)).fetchall() == [(0,)]
        query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        assert await (await connection.execute(query)).fetchall() == [(0,)]
