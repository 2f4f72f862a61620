"""``/api/jobs`` at its edges: odd values, limits, two requests at once, a database that is away."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from tests.conftest import Account, Register
from tests.core.runtime.helpers import until
from tests.core.runtime.test_router import ECHO, ended, submit
from yeoul.core.base.ids import new_id
from yeoul.core.jobs.sweeper import WORKER_LOST
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.settings import Settings

FUTURE = "2100-01-01T00:00:00Z"
SLOW = {"kind": "llm.complete", "input": {"model": "fake/silent", "prompt": "x"}}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={"drain_seconds": 0.05, "max_queued_per_user": 3, "max_input_bytes": 2000, "max_body_bytes": 20_000}
    )


@pytest.fixture
async def ann(register: Register) -> Account:
    await register("admin")
    return await register("ann")


def fill(urls: DatabaseUrls, owner: UUID, count: int) -> list[str]:
    """Many ended jobs of all kinds and states, the newest first."""
    ids = [new_id() for _ in range(count)]
    with psycopg.connect(urls.service, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO yeoul.jobs (id, owner_id, kind, status, input, max_attempts, root_id, finished_at)"
            " SELECT id, %s, 'kind.' || n %% 3, (ARRAY['failed', 'succeeded'])[n %% 2 + 1], '{}', 1, id, now()"
            " FROM unnest(%s::uuid[]) WITH ORDINALITY i(id, n)",
            [owner, ids],
        )
    return [str(i) for i in reversed(ids)]


async def pages(client: httpx.AsyncClient, ann: Account, **query: Any) -> list[list[str]]:
    """The ids of every page."""
    found: list[list[str]] = []
    while True:
        page = (await client.get("/api/jobs", params=query, headers=ann.headers)).json()
        found.append([job["id"] for job in page["items"]])
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]


async def test_pages_of_many(client: httpx.AsyncClient, ann: Account, urls: DatabaseUrls) -> None:
    """250 jobs, while others come: nothing twice, nothing left out, the last page the last."""
    ids = fill(urls, ann.id, 250)
    found = await pages(client, ann, limit=50)
    assert [len(page) for page in found] == [50] * 5
    assert [i for page in found for i in page] == ids
    filters: list[tuple[dict[str, str], int]] = [
        ({"kind": "kind.1"}, 3), ({"status": "failed"}, 2), ({"status": "failed", "kind": "kind.2"}, 6)
    ]  # fmt: skip
    for query, every in filters:
        found = await pages(client, ann, limit=7, **query)
        assert len([i for page in found for i in page]) == pytest.approx(250 / every, abs=1)
    first = (await client.get("/api/jobs", params={"limit": 100}, headers=ann.headers)).json()
    fill(urls, ann.id, 10)
    second = (
        await client.get("/api/jobs", params={"limit": 100, "cursor": first["next_cursor"]}, headers=ann.headers)
    ).json()
    assert [job["id"] for job in first["items"] + second["items"]] == ids[:200]


NONSENSE = (
    {"kind": "a\0b"}, {"kind": "x" * 101}, {"cursor": "a\0"}, {"cursor": "é"}, {"cursor": "AAAA"}, {"cursor": ""},
    {"limit": "1.5"}, {"limit": "0"}, {"limit": "101"}, {"status": "QUEUED"},
)  # fmt: skip


async def test_nonsense_in_the_address_is_told(client: httpx.AsyncClient, ann: Account) -> None:
    for query in NONSENSE:
        answer = await client.get("/api/jobs", params=query, headers=ann.headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), query


ROUTES = (("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/retry"))


async def test_what_is_no_id_is_told(client: httpx.AsyncClient, ann: Account) -> None:
    for method, path in ROUTES:
        for bad in ("x", "123", "00000000-0000-0000-0000-00000000000g"):
            answer = await client.request(method, f"/api/jobs/{bad}{path}", headers=ann.headers)
            assert answer.status_code == 422, (path, bad)
        answer = await client.request(method, f"/api/jobs/{new_id()}{path}", headers=ann.headers)
        assert answer.status_code == 404, path


# As JSON writes them.
TEXTS = (
    "a\\u0000b", "\\ud83d\\ude00", "\\u2028", "한국어 여울", "é" * 100, "\\r\\n", "<script>", "%00", "--", "\\\\u0000",
)  # fmt: skip


async def post(client: httpx.AsyncClient, ann: Account, body: bytes) -> httpx.Response:
    return await client.post("/api/jobs", content=body, headers=ann.headers | {"Content-Type": "application/json"})


async def test_any_text_goes_round(client: httpx.AsyncClient, ann: Account) -> None:
    for text in TEXTS:
        body = f'{{"kind":"llm.complete","input":{{"model":"fake/echo","prompt":"{text}","system":"{text}"}}}}'
        answer = await post(client, ann, body.encode())
        assert answer.status_code == 202, answer.text
        job = await ended(client, ann.headers, answer.json()["id"])
        assert job["input"]["prompt"] == json.loads(f'"{text}"').replace("\0", "\ufffd")
        assert (job["status"], job["output"]["text"]) == ("succeeded", job["input"]["prompt"])


async def test_half_a_character_is_refused(client: httpx.AsyncClient, ann: Account) -> None:
    answer = await post(client, ann, b'{"kind":"llm.complete","input":{"prompt":"\\ud83d"}}')
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_job_input")


async def test_any_unknown_field_is_told(client: httpx.AsyncClient, ann: Account) -> None:
    for key in ("\\ud83d", "\\u0000", "x" * 500):
        body = f'{{"kind":"llm.complete","input":{{"prompt":"x","{key}":1}}}}'
        answer = await post(client, ann, body.encode())
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_job_input"), key


async def test_what_is_no_body_is_told(client: httpx.AsyncClient, ann: Account) -> None:
    for body in (b"", b"{", b"null", b"[]", b"\xff", b'{"kind":' + b"[" * 5000):
        answer = await post(client, ann, body)
        assert answer.status_code in {400, 422}, body
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_time_in_any_zone_is_one_moment(client: httpx.AsyncClient, ann: Account, urls: DatabaseUrls) -> None:
    """One without a zone is UTC, wherever the server stands."""
    with psycopg.connect(urls.admin or "", autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET timezone = 'Asia/Seoul'".encode())
    await client.get("/api/jobs", headers=ann.headers)
    for run_at, shown in (
        ("2100-01-01T09:00:00+09:00", FUTURE),
        ("2100-01-01T00:00:00", FUTURE),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
    ):
        job = await submit(client, ann.headers, run_at=run_at)
        assert job["run_at"] == shown
        assert (await client.get(f"/api/jobs/{job['id']}", headers=ann.headers)).json()["run_at"] == shown


async def test_a_time_that_cannot_be_is_refused(client: httpx.AsyncClient, ann: Account) -> None:
    for run_at in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "soon", "2100-13-01"):
        answer = await client.post("/api/jobs", json=ECHO | {"run_at": run_at}, headers=ann.headers)
        assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["body", "run_at"]), run_at
    assert (await client.get("/api/jobs", headers=ann.headers)).json()["items"] == []


async def test_a_time_in_the_past_is_now(client: httpx.AsyncClient, ann: Account) -> None:
    for run_at in ("2001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"):
        job = await submit(client, ann.headers, run_at=run_at)
        assert job["run_at"] == job["created_at"]
        assert (await ended(client, ann.headers, job["id"]))["status"] == "succeeded"


async def test_too_much_is_refused(client: httpx.AsyncClient, ann: Account) -> None:
    for size, status in ((1000, 202), (2500, 413), (30_000, 413)):
        answer = await client.post(
            "/api/jobs", json={"kind": "llm.complete", "input": {"prompt": "x" * size}}, headers=ann.headers
        )
        assert answer.status_code == status, answer.text


async def test_too_many_are_refused(client: httpx.AsyncClient, ann: Account) -> None:
    ids = [(await submit(client, ann.headers, run_at=FUTURE))["id"] for _ in range(3)]
    refused = await client.post("/api/jobs", json=ECHO, headers=ann.headers | {"Idempotency-Key": "later"})
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (
        429, "too_many_queued", "10"
    )  # fmt: skip
    await client.post(f"/api/jobs/{ids[0]}/cancel", headers=ann.headers)
    job = await submit(client, ann.headers | {"Idempotency-Key": "later"})  # a refusal uses up no key
    assert (await ended(client, ann.headers, job["id"]))["status"] == "succeeded"


@asynccontextmanager
async def held_up(urls: DatabaseUrls) -> AsyncGenerator[None]:
    """Meanwhile nothing can be submitted: requests stop in the middle of their transaction."""
    connection = await psycopg.AsyncConnection.connect(urls.service)
    async with connection:
        await connection.execute("LOCK TABLE yeoul.queue_flow IN ACCESS EXCLUSIVE MODE")
        yield
        await connection.rollback()


async def test_a_key_in_flight_is_told(client: httpx.AsyncClient, ann: Account, urls: DatabaseUrls) -> None:
    """The first request is under way, really: the second one neither waits nor makes another job."""
    headers = ann.headers | {"Idempotency-Key": "once"}

    def waiting() -> bool:
        with psycopg.connect(urls.admin or "") as connection:
            return (
                connection.execute(
                    "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'yeoul_app'"
                    " AND datname = current_database()"
                ).rowcount
                == 1
            )

    async with held_up(urls):
        first = asyncio.create_task(client.post("/api/jobs", json=ECHO, headers=headers))
        await until(waiting)
        second = await client.post("/api/jobs", json=ECHO, headers=headers)
        assert (second.status_code, second.json()["code"], second.headers["retry-after"]) == (
            409, "idempotency_in_flight", "1"
        )  # fmt: skip
    answer = await first
    assert answer.status_code == 202
    third = await client.post("/api/jobs", json=ECHO, headers=headers)
    assert (third.json()["id"], third.headers["idempotency-replayed"]) == (answer.json()["id"], "true")
    assert len((await client.get("/api/jobs", headers=ann.headers)).json()["items"]) == 1


async def test_a_refused_request_uses_up_no_key(client: httpx.AsyncClient, ann: Account) -> None:
    headers = ann.headers | {"Idempotency-Key": "once"}
    bad = await client.post("/api/jobs", json=ECHO | {"kind": "no.such"}, headers=headers)
    assert bad.status_code == 422
    assert (await client.post("/api/jobs", json=ECHO, headers=headers)).status_code == 202


async def test_a_cancel_does_not_wait_unless_asked(client: httpx.AsyncClient, ann: Account) -> None:
    job = (await client.post("/api/jobs", json=SLOW, headers=ann.headers)).json()

    async def running() -> bool:
        shown = (await client.get(f"/api/jobs/{job['id']}", headers=ann.headers)).json()
        return bool(shown["status"] == "running")

    await until(running)
    answer = await client.post(f"/api/jobs/{job['id']}/cancel", headers=ann.headers)
    shown = answer.json()
    assert (answer.status_code, shown["status"]) in {(202, "running"), (200, "canceled")}
    assert shown["cancel_requested"] is True
    answer = await client.post(f"/api/jobs/{job['id']}/cancel", params={"wait": 20}, headers=ann.headers)
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")


async def test_a_cancel_waits_no_longer_than_asked(client: httpx.AsyncClient, ann: Account, urls: DatabaseUrls) -> None:
    """Its worker is gone; the job will end, but not now."""
    with psycopg.connect(urls.service, autocommit=True) as connection:
        job_id, worker = new_id(), new_id()
        connection.execute(
            "INSERT INTO yeoul.workers (id, host, pid, born, concurrency, kinds, expires_at)"
            " VALUES (%s, 'elsewhere', 1, 'b', 1, '{}', now() + interval '1 hour')",
            [worker],
        )
        connection.execute(
            "INSERT INTO yeoul.jobs (id, owner_id, kind, status, worker_id, input, max_attempts, root_id)"
            " VALUES (%s, %s, 'test.echo', 'running', %s, '{}', 1, %s)",
            [job_id, ann.id, worker, job_id],
        )
    began = asyncio.get_running_loop().time()
    answer = await client.post(f"/api/jobs/{job_id}/cancel", params={"wait": 0.2}, headers=ann.headers)
    assert 0.2 <= asyncio.get_running_loop().time() - began < 10
    assert (answer.status_code, answer.json()["status"], answer.json()["cancel_requested"]) == (202, "running", True)
    for wait in (-1, 61, "x"):
        refused = await client.post(f"/api/jobs/{job_id}/cancel", params={"wait": wait}, headers=ann.headers)
        assert refused.status_code == 422


async def test_a_lost_job_is_shown_as_it_is(client: httpx.AsyncClient, ann: Account, urls: DatabaseUrls) -> None:
    with psycopg.connect(urls.service, autocommit=True) as connection:
        job_id = fill(urls, ann.id, 1)[0]
        connection.execute("DELETE FROM yeoul.jobs WHERE id = %s", [job_id])
        connection.execute(
            "INSERT INTO yeoul.jobs (id, owner_id, kind, status, input, max_attempts, root_id, finished_at, error)"
            " VALUES (%s, %s, 'gone.kind', 'failed', '{}', 1, %s, now(), %s)",
            [job_id, ann.id, job_id, WORKER_LOST],
        )
    shown = (await client.get(f"/api/jobs/{job_id}", headers=ann.headers)).json()
    assert shown["error"]["code"] == "worker_lost"
    retried = await client.post(f"/api/jobs/{job_id}/retry", headers=ann.headers)
    assert (retried.status_code, retried.json()["code"]) == (422, "unknown_kind")


async def test_a_place_in_the_queue_is_shown(
    client: httpx.AsyncClient, ann: Account, urls: DatabaseUrls, app: FastAPI
) -> None:
    job = await submit(client, ann.headers, run_at=FUTURE)
    assert job["queue_position"] is None
    with psycopg.connect(urls.service, autocommit=True) as connection:
        connection.execute("UPDATE yeoul.jobs SET fair_at = 1, kind = 'nobody.runs' WHERE id = %s", [job["id"]])
    shown = (await client.get(f"/api/jobs/{job['id']}", headers=ann.headers)).json()
    assert (shown["status"], shown["queue_position"]) == ("queued", 1)


async def test_a_database_that_is_away_is_said(client: httpx.AsyncClient, ann: Account, app: FastAPI) -> None:
    """503 with a time to come back, and all is well again as soon as it answers."""
    database = app.state.services.database
    url = database._app.url
    await database._app.dispose()
    database._app.pool._creator, creator = _nowhere, database._app.pool._creator
    answer = await client.get("/api/jobs", headers=ann.headers)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    database._app.pool._creator = creator
    assert (await client.get("/api/jobs", headers=ann.headers)).status_code == 200
    assert database._app.url == url


def _nowhere(*_: object) -> None:
    raise psycopg.OperationalError("connection refused")
