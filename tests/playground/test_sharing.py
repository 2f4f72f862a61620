"""Shared prompts: what everybody who has the address sees, and above all what nobody does."""

from base64 import b64encode
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.conftest import Account, Register
from tests.core.llm.pictures import PNG
from tests.playground.conftest import Ended, Execute, Json
from yeoul.core.db.database import Database


@pytest.fixture
def share(client: httpx.AsyncClient, account: Account) -> Any:
    async def make(prompt_id: str) -> Json:
        answer = await client.post(f"/api/prompts/{prompt_id}/share", headers=account.headers)
        assert answer.status_code in {200, 201}, answer.text
        made: Json = answer.json()
        return made

    return make


async def ids_of_everything(database: Database) -> set[str]:
    """Every id there is of anything that has one, but for shares."""
    found: set[str] = set()
    async with database.service_connection() as connection:
        for table in ("users", "playground_prompts", "playground_executions", "playground_results", "jobs"):
            rows = await (await connection.execute(f"SELECT id FROM {table}")).fetchall()  # noqa: S608
            assert rows, table
            found |= {str(row[0]) for row in rows}
    return found


async def test_what_is_seen_without_signing_in(
    client: httpx.AsyncClient, account: Account, execute: Execute, ended: Ended, share: Any, database: Database
) -> None:
    secret = await execute(name="the first", user_prompt="a private thing")
    made = await execute(
        version_of=secret["prompt_id"], user_prompt="say {{word}}", cases=[{"word": "hello"}],
        checks=[{"type": "contains", "value": "{{word}}"}], images=[{"media_type": "image/png", "data": _base64(PNG)}],
        models=["fake/echo"],
    )  # fmt: skip
    await client.put(f"/api/prompts/{made['prompt_id']}/labels/production", headers=account.headers)
    running = await execute(selected_model="fake/silent", user_prompt="wait", version_of=made["prompt_id"])
    for one in (secret, made):
        await ended(one["execution_id"])
    address = await share(made["execution_id"])
    assert address["url"] == f"http://127.0.0.1:8000/shared/{address['id']}"
    assert UUID(address["id"]).version == 4
    answer = await client.get(f"/api/shared/prompts/{address['id']}")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    shown = answer.json()
    assert shown["prompt"]["user_prompt"] == "say {{word}}"
    (execution,) = shown["executions"]
    assert execution["execution"]["cases"] == [{"word": "hello"}]
    (result,) = execution["results"]
    assert result["response_text"].startswith("say hello")
    assert result["checks"][0]["passed"] is True
    assert execution["statistics"][0]["pass_rate"] == 1
    leaked = [one for one in await ids_of_everything(database) if one in answer.text]
    assert leaked == []
    for word in ("production", "a private thing", "family_id", "version", "labels", "job_id", account.email):
        assert word not in answer.text, word
    image = await client.get(f"/api/shared/prompts/{address['id']}/images/1")
    assert (image.content, image.headers["content-type"]) == (PNG, "image/png")
    await client.delete(f"/api/prompts/{running['prompt_id']}", headers=account.headers)


async def test_what_still_runs_has_no_job_id(
    client: httpx.AsyncClient, account: Account, execute: Execute, share: Any, database: Database
) -> None:
    made = await execute(selected_model="fake/silent", iterations=2)
    address = await share(made["prompt_id"])
    answer = await client.get(f"/api/shared/prompts/{address['id']}")
    assert [one["iteration_number"] for one in answer.json()["executions"][0]["pending"]] == [1, 2]
    async with database.service_connection() as connection:
        jobs = await (await connection.execute("SELECT id FROM jobs")).fetchall()
    assert [row for row in jobs if str(row[0]) in answer.text] == []
    await client.delete(f"/api/prompts/{made['prompt_id']}", headers=account.headers)


async def test_once_and_until_it_is_ended(
    client: httpx.AsyncClient, account: Account, execute: Execute, ended: Ended
) -> None:
    made = await execute()
    await ended(made["execution_id"])
    path = f"/api/prompts/{made['prompt_id']}/share"
    nothing = await client.get(path, headers=account.headers)
    assert (nothing.status_code, nothing.json()["code"]) == (404, "share_not_found")
    first = await client.post(path, headers=account.headers)
    second = await client.post(path, headers=account.headers)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json() == (await client.get(path, headers=account.headers)).json()
    assert (await client.delete(path, headers=account.headers)).status_code == 204
    gone = await client.get(f"/api/shared/prompts/{first.json()['id']}")
    assert (gone.status_code, gone.json()["code"]) == (404, "share_not_found")
    assert (await client.delete(path, headers=account.headers)).status_code == 204
    assert (await client.post(path, headers=account.headers)).json()["id"] != first.json()["id"]


async def test_the_latest_ten(client: httpx.AsyncClient, account: Account, execute: Execute, share: Any) -> None:
    made = await execute()
    for _ in range(11):
        await client.post(f"/api/prompts/{made['prompt_id']}/execute", headers=account.headers)
    address = await share(made["prompt_id"])
    shown = (await client.get(f"/api/shared/prompts/{address['id']}")).json()
    created = [one["execution"]["created_at"] for one in shown["executions"]]
    assert len(created) == 10
    assert created == sorted(created, reverse=True)


async def test_nothing_else_opens(
    client: httpx.AsyncClient, account: Account, register: Register, execute: Execute, share: Any, database: Database
) -> None:
    made = await execute()
    address = await share(made["prompt_id"])
    other = await register("jun")
    for method in ("GET", "POST", "DELETE"):
        answer = await client.request(method, f"/api/prompts/{made['prompt_id']}/share", headers=other.headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "prompt_not_found"), method
    for wrong in (made["prompt_id"], made["execution_id"], str(uuid4())):
        answer = await client.get(f"/api/shared/prompts/{wrong}")
        assert (answer.status_code, answer.json()["code"]) == (404, "share_not_found")
    for path in ("", "/status", "/events", "/export", "/code", "/versions", "/share"):
        assert (await client.get(f"/api/prompts/{address['id']}{path}")).status_code == 401, path
    async with database.service_connection() as connection:
        await connection.execute("UPDATE users SET disabled_at = now() WHERE id = %s", [account.id])
    assert (await client.get(f"/api/shared/prompts/{address['id']}")).status_code == 404


async def test_a_deleted_prompt_is_shared_no_more(
    client: httpx.AsyncClient, account: Account, execute: Execute, share: Any
) -> None:
    made = await execute()
    address = await share(made["prompt_id"])
    await client.delete(f"/api/prompts/{made['prompt_id']}", headers=account.headers)
    assert (await client.get(f"/api/shared/prompts/{address['id']}")).status_code == 404


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
