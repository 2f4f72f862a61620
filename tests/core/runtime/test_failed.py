import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI

from tests.conftest import Account, Register
from tests.core.runtime.helpers import events


async def fail(app: FastAPI, client: httpx.AsyncClient, who: Account, model: str = "fake/error-401") -> str:
    """A job that has failed for good; its id."""
    body = {"kind": "llm.complete", "input": {"model": model, "prompt": "please"}, "max_attempts": 1}
    answer = await client.post("/api/jobs", json=body, headers=who.headers)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    await events(app.state.services, who.id, UUID(job_id))
    return job_id


async def failed(client: httpx.AsyncClient, who: Account, **query: Any) -> list[str]:
    answer = await client.get("/api/jobs/failed", params=query, headers=who.headers)
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["items"]]


async def retry(client: httpx.AsyncClient, who: Account, body: object) -> dict[str, Any]:
    answer = await client.post("/api/jobs/retry", json=body, headers=who.headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_everybody_sees_their_own_and_administrators_all(
    app: FastAPI, client: httpx.AsyncClient, register: Register
) -> None:
    admin, ann, bob = [await register(name) for name in ("admin", "ann", "bob")]
    mine, theirs = await fail(app, client, ann), await fail(app, client, bob, "fake/error-500")
    assert await failed(client, ann) == [mine]
    assert await failed(client, bob) == [theirs]
    assert await failed(client, admin) == []
    assert await failed(client, admin, everyone=True) == [theirs, mine]
    assert await failed(client, admin, everyone=True, code="model_auth_failed") == [mine]
    assert await failed(client, admin, everyone=True, kind="no.such") == []
    rows = (await client.get("/api/jobs/failed?everyone=true", headers=admin.headers)).json()["items"]
    assert [row["owner"] for row in rows] == ["bob@example.com", "ann@example.com"]
    for path in ("/api/jobs/failed?everyone=true", "/api/jobs/failed/groups?everyone=true"):
        assert (await client.get(path, headers=ann.headers)).json()["code"] == "admin_only"
    asked = {"filter": {"everyone": True}}
    answer = await client.post("/api/jobs/retry", json=asked, headers=ann.headers)
    assert answer.json()["code"] == "admin_only"


async def test_groups_by_kind_and_code(app: FastAPI, client: httpx.AsyncClient, register: Register) -> None:
    ann = await register("ann")
    for model in ("fake/error-401", "fake/error-401", "fake/error-500"):
        await fail(app, client, ann, model)
    answer = (await client.get("/api/jobs/failed/groups", headers=ann.headers)).json()
    assert (answer["jobs"], answer["capped"]) == (3, False)
    assert [(group["kind"], group["code"], group["jobs"]) for group in answer["groups"]] == [
        ("llm.complete", "model_auth_failed", 2),
        ("llm.complete", "model_unavailable", 1),
    ]
    assert answer["groups"][0]["message"]


async def test_pages_go_on_where_they_ended(app: FastAPI, client: httpx.AsyncClient, register: Register) -> None:
    ann = await register("ann")
    made = [await fail(app, client, ann) for _ in range(3)]
    first = (await client.get("/api/jobs/failed?limit=2", headers=ann.headers)).json()
    rest = await failed(client, ann, limit=2, cursor=first["next_cursor"])
    assert [job["id"] for job in first["items"]] + rest == made[::-1]


async def test_a_double_click_retries_once(app: FastAPI, client: httpx.AsyncClient, register: Register) -> None:
    ann = await register("ann")
    ids = [await fail(app, client, ann) for _ in range(4)]
    answers = await asyncio.gather(*(retry(client, ann, {"ids": ids + ids[:1]}) for _ in range(4)))
    assert sorted(answer["retried"] for answer in answers) == [0, 0, 0, 4]
    made = {result["job_id"] for answer in answers for result in answer["results"]}
    assert len(made) == 4
    assert [result["id"] for result in answers[0]["results"]] == ids
    for new in made:
        await events(app.state.services, ann.id, UUID(new))
    everything = (await client.get("/api/jobs", headers=ann.headers)).json()["items"]
    assert sorted(job["retry_of"] or "" for job in everything) == sorted(["", "", "", "", *ids])
    # What was retried has left the list; what failed anew is on it.
    assert set(await failed(client, ann)) == made


async def test_an_administrators_retry_is_the_owners_job(
    app: FastAPI, client: httpx.AsyncClient, register: Register
) -> None:
    admin, ann, bob = [await register(name) for name in ("admin", "ann", "bob")]
    ids = [await fail(app, client, ann), await fail(app, client, bob)]
    answer = await retry(client, admin, {"ids": ids})
    assert answer["retried"] == 2
    for who, result in zip((ann, bob), answer["results"], strict=True):
        job = (await client.get(f"/api/jobs/{result['job_id']}", headers=who.headers)).json()
        assert job["retry_of"] == result["id"]
    assert (await client.get("/api/jobs", headers=admin.headers)).json()["items"] == []


async def test_others_jobs_are_not_there_to_be_retried(
    app: FastAPI, client: httpx.AsyncClient, register: Register
) -> None:
    _, ann, bob = [await register(name) for name in ("admin", "ann", "bob")]
    theirs = await fail(app, client, bob)
    answer = await retry(client, ann, {"ids": [theirs, str(uuid4())]})
    assert [(result["outcome"], result["error"]["code"]) for result in answer["results"]] == [
        ("refused", "job_not_found")
    ] * 2
    assert len((await client.get("/api/jobs", headers=bob.headers)).json()["items"]) == 1


async def test_each_id_has_its_own_answer(app: FastAPI, client: httpx.AsyncClient, register: Register) -> None:
    ann = await register("ann")
    good = await fail(app, client, ann)
    body = {"kind": "llm.complete", "input": {"model": "fake/echo", "prompt": "hello"}}
    fine = (await client.post("/api/jobs", json=body, headers=ann.headers)).json()["id"]
    await events(app.state.services, ann.id, UUID(fine))
    later = (
        await client.post("/api/jobs", json=body | {"run_at": "2099-01-01T00:00:00Z"}, headers=ann.headers)
    ).json()["id"]
    answer = await retry(client, ann, {"ids": [fine, good, later]})
    assert [(r["outcome"], (r["error"] or {}).get("code")) for r in answer["results"]] == [
        ("refused", "job_not_failed"),
        ("retried", None),
        ("refused", "job_not_finished"),
    ]


async def test_a_filter_takes_the_oldest(app: FastAPI, client: httpx.AsyncClient, register: Register) -> None:
    ann = await register("ann")
    ids = [await fail(app, client, ann) for _ in range(3)]
    other = await fail(app, client, ann, "fake/error-500")
    answer = await retry(client, ann, {"filter": {"code": "model_auth_failed"}, "limit": 2})
    assert [result["id"] for result in answer["results"]] == ids[:2]
    answer = await retry(client, ann, {"filter": {"kind": "llm.complete", "code": "model_unavailable"}})
    assert [result["id"] for result in answer["results"]] == [other]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ids": []},
        {"ids": [str(uuid4())], "filter": {}},
        {"ids": [str(UUID(int=n)) for n in range(501)]},
        {"filter": {}, "limit": 501},
        {"filter": {"owner": "x"}},
    ],
)
async def test_requests_that_say_nothing_clear(
    client: httpx.AsyncClient, register: Register, body: dict[str, Any]
) -> None:
    ann = await register("ann")
    assert (await client.post("/api/jobs/retry", json=body, headers=ann.headers)).status_code == 422


async def test_visitors_see_nothing(client: httpx.AsyncClient) -> None:
    for path in ("/api/jobs/failed", "/api/jobs/failed/groups"):
        assert (await client.get(path)).status_code == 401
    assert (await client.post("/api/jobs/retry", json={"filter": {}})).status_code == 401
