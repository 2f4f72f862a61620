"""``/api/jobs`` as a client sees it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.conftest import Register
from yeoul.core.base.ids import new_id

ECHO = {"kind": "llm.complete", "input": {"model": "fake/echo", "prompt": "the quick brown fox"}}


async def submit(client: httpx.AsyncClient, headers: dict[str, str], **more: Any) -> dict[str, Any]:
    answer = await client.post("/api/jobs", json=ECHO | more, headers=headers)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/api/jobs/{job['id']}"
    return job


async def ended(client: httpx.AsyncClient, headers: dict[str, str], job_id: str) -> dict[str, Any]:
    """The job once its stream has closed."""
    async with asyncio.timeout(20):
        await client.get(f"/api/jobs/{job_id}/events", headers=headers)
    job: dict[str, Any] = (await client.get(f"/api/jobs/{job_id}", headers=headers)).json()
    return job


async def test_a_job_from_submit_to_stored_result(client: httpx.AsyncClient, register: Register) -> None:
    ann = await register("ann")
    submitted = await submit(client, ann.headers)
    assert submitted["status"] == "queued"
    stream = await client.get(f"/api/jobs/{submitted['id']}/events", headers=ann.headers)
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.headers["x-accel-buffering"] == "no"
    assert "event: text" in stream.text
    assert stream.text.count("event: succeeded") == 1
    job = await ended(client, ann.headers, submitted["id"])
    assert set(job) >= {
        "id", "kind", "status", "priority", "attempt", "max_attempts", "input", "output", "error", "progress",
        "queue_position", "created_at", "run_at", "started_at", "finished_at",
    }  # fmt: skip
    assert (job["status"], job["output"]["text"], job["error"]) == ("succeeded", "the quick brown fox", None)
    again = await client.get(f"/api/jobs/{job['id']}/events", headers=ann.headers | {"Last-Event-ID": "9999"})
    assert again.text.split("\n\n")[1].startswith("event: reset")


async def test_nothing_without_a_principal(client: httpx.AsyncClient) -> None:
    for method, path in (("POST", ""), ("GET", ""), ("GET", "/live"), ("GET", f"/{new_id()}"), ("GET", "/kinds")):
        answer = await client.request(method, f"/api/jobs{path}", json=ECHO if method == "POST" else None)
        assert answer.status_code == 401, path
        assert answer.headers["content-type"] == "application/problem+json"


async def test_somebody_elses_job_is_not_there(client: httpx.AsyncClient, register: Register) -> None:
    ann, bob = await register("ann"), await register("bob")
    job_id = (await submit(client, ann.headers))["id"]
    for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/retry")):
        answer = await client.request(method, f"/api/jobs/{job_id}{path}", headers=bob.headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found"), path
    assert (await client.get("/api/jobs", headers=bob.headers)).json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("body", "code", "where"),
    [
        ({"kind": "no.such", "input": {}}, "unknown_kind", None),
        ({"kind": "llm.complete", "input": {}}, "invalid_job_input", ["body", "input"]),
        (
            {"kind": "llm.complete", "input": {"prompt": "x", "colour": 1}},
            "invalid_job_input",
            ["body", "input", "colour"],
        ),
        (ECHO | {"priority": 10}, "invalid_input", ["body", "priority"]),
        (ECHO | {"max_attempts": 0}, "invalid_input", ["body", "max_attempts"]),
        (ECHO | {"colour": 1}, "invalid_input", ["body", "colour"]),
    ],
)
async def test_bad_input_is_told_where(
    client: httpx.AsyncClient, register: Register, body: dict[str, Any], code: str, where: list[str] | None
) -> None:
    ann = await register("ann")
    answer = await client.post("/api/jobs", json=body, headers=ann.headers)
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    if where:
        assert [error["loc"] for error in answer.json()["errors"]] == [where]
    assert (await client.get("/api/jobs", headers=ann.headers)).json()["items"] == []


async def test_a_users_priority_has_a_ceiling(client: httpx.AsyncClient, register: Register) -> None:
    admin, ann = await register("admin"), await register("ann")
    refused = await client.post("/api/jobs", json=ECHO | {"priority": 8}, headers=ann.headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "priority_not_allowed")
    assert (await submit(client, ann.headers, priority=7))["priority"] == 7
    assert (await submit(client, admin.headers, priority=9))["priority"] == 9


async def test_the_same_key_makes_one_job(client: httpx.AsyncClient, register: Register) -> None:
    ann, bob = await register("ann"), await register("bob")
    key = {"Idempotency-Key": "once"}
    first = await submit(client, ann.headers | key)
    second = await client.post("/api/jobs", json=ECHO, headers=ann.headers | key)
    assert (second.status_code, second.json()["id"]) == (202, first["id"])
    assert second.headers["idempotency-replayed"] == "true"
    other = await client.post("/api/jobs", json=ECHO | {"priority": 1}, headers=ann.headers | key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert (await submit(client, bob.headers | key))["id"] != first["id"]
    at_once = {"Idempotency-Key": "at once"}
    answers = await asyncio.gather(
        *(client.post("/api/jobs", json=ECHO, headers=ann.headers | at_once) for _ in range(8))
    )
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 202}) == 1


async def test_paging_misses_nothing_and_repeats_nothing(client: httpx.AsyncClient, register: Register) -> None:
    ann = await register("ann")
    made = [(await submit(client, ann.headers, run_at="2100-01-01T00:00:00Z"))["id"] for _ in range(25)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": 10} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/api/jobs", params=query, headers=ann.headers)).json()
        seen += [job["id"] for job in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]
    queued = await client.get("/api/jobs", params={"status": "queued", "limit": 100}, headers=ann.headers)
    assert len(queued.json()["items"]) == 25
    none = await client.get("/api/jobs", params={"kind": "no.such"}, headers=ann.headers)
    assert none.json()["items"] == []
    for bad in ({"limit": 101}, {"limit": 0}, {"cursor": "?"}, {"status": "asleep"}):
        refused = await client.get("/api/jobs", params=bad, headers=ann.headers)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input"), bad


async def test_cancel_with_wait_answers_with_the_end(client: httpx.AsyncClient, register: Register) -> None:
    ann = await register("ann")
    slow = {"model": "fake/slow", "prompt": "500 words, 20 ms"}
    job_id = (await submit(client, ann.headers, input=slow))["id"]
    canceled = await client.post(f"/api/jobs/{job_id}/cancel", params={"wait": 10}, headers=ann.headers)
    assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")
    stream = await client.get(f"/api/jobs/{job_id}/events", headers=ann.headers)
    assert stream.text.count("event: canceled") == 1
    again = await client.post(f"/api/jobs/{job_id}/cancel", headers=ann.headers)
    assert again.json()["status"] == "canceled"


async def test_retry_is_a_new_job(client: httpx.AsyncClient, register: Register) -> None:
    ann = await register("ann")
    waiting = (await submit(client, ann.headers, run_at=(datetime.now(UTC) + timedelta(days=1)).isoformat()))["id"]
    refused = await client.post(f"/api/jobs/{waiting}/retry", headers=ann.headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "job_not_finished")
    await client.post(f"/api/jobs/{waiting}/cancel", headers=ann.headers)
    retried = await client.post(f"/api/jobs/{waiting}/retry", headers=ann.headers)
    assert retried.status_code == 202
    job = await ended(client, ann.headers, retried.json()["id"])
    assert (job["retry_of"], job["status"]) == (waiting, "succeeded")
    assert (await client.get(f"/api/jobs/{waiting}", headers=ann.headers)).json()["status"] == "canceled"


async def test_kinds_tell_their_schemas(client: httpx.AsyncClient, register: Register) -> None:
    ann = await register("ann")
    kinds = (await client.get("/api/jobs/kinds", headers=ann.headers)).json()
    complete = next(kind for kind in kinds if kind["kind"] == "llm.complete")
    assert set(complete["input_schema"]["properties"]) >= {"model", "prompt", "messages", "system", "parameters"}
    assert complete["output_schema"]["properties"]["text"]
