"""``/api/schedules`` as a client sees it. The worker beside it knows the kinds of a real installation."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.conftest import Account, Register
from tests.core.runtime.helpers import until
from tests.core.schedules.helpers import sql
from yeoul.core.db.database import Database
from yeoul.settings import Settings

PROMPT = {"model": "fake/echo", "prompt": "good morning"}
GIVEN: dict[str, Any] = {"name": "morning", "kind": "llm.complete", "input": PROMPT, "cron": "0 9 * * *"}


@pytest.fixture
async def admin(register: Register) -> Account:
    """The first user, who is an administrator."""
    return await register("admin")


@pytest.fixture
async def ann(admin: Account, register: Register) -> Account:
    """An ordinary user."""
    return await register("ann")


async def made(client: httpx.AsyncClient, who: Account, **more: Any) -> dict[str, Any]:
    body = {name: value for name, value in (GIVEN | more).items() if value is not None}
    answer = await client.post("/api/schedules", json=body, headers=who.headers)
    assert answer.status_code == 201, answer.text
    schedule: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/api/schedules/{schedule['id']}"
    return schedule


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_a_schedule_from_its_making_to_its_end(client: httpx.AsyncClient, ann: Account) -> None:
    schedule = await made(client, ann, time_zone="Asia/Seoul")
    assert (schedule["missed"], schedule["overlap"], schedule["enabled"]) == ("once", "skip", True)
    first = moment(schedule["next_at"])
    assert (first.hour, first.minute, first.utcoffset()) == (0, 0, timedelta(0))  # nine in Seoul
    assert timedelta(0) < first - datetime.now(UTC) <= timedelta(days=1)
    listed = (await client.get("/api/schedules", headers=ann.headers)).json()
    assert listed == {"items": [schedule], "next_cursor": None}
    place = f"/api/schedules/{schedule['id']}"
    assert (await client.get(place, headers=ann.headers)).json() == schedule

    paused = (await client.patch(place, json={"enabled": False}, headers=ann.headers)).json()
    assert (paused["enabled"], paused["next_at"]) == (False, None)
    moved = (await client.patch(place, json={"every_seconds": 7200, "name": "two hours"}, headers=ann.headers)).json()
    assert (moved["cron"], moved["every_seconds"], moved["next_at"]) == (None, 7200, None)
    going = (await client.patch(place, json={"enabled": True}, headers=ann.headers)).json()
    assert 7100 < (moment(going["next_at"]) - datetime.now(UTC)).total_seconds() <= 7200

    assert (await client.delete(place, headers=ann.headers)).status_code == 204
    assert (await client.get(place, headers=ann.headers)).status_code == 404
    assert (await client.delete(place, headers=ann.headers)).status_code == 404


async def test_run_now_is_an_ordinary_job_and_moves_no_tick(client: httpx.AsyncClient, ann: Account) -> None:
    schedule = await made(client, ann)
    place = f"/api/schedules/{schedule['id']}"
    answer = await client.post(f"{place}/run", headers=ann.headers)
    assert answer.status_code == 202
    job_id = answer.json()["id"]
    assert answer.headers["location"] == f"/api/jobs/{job_id}"
    assert "event: succeeded" in (await client.get(f"/api/jobs/{job_id}/events", headers=ann.headers)).text
    job = (await client.get(f"/api/jobs/{job_id}", headers=ann.headers)).json()
    assert job["output"]["text"] == "good morning"
    after = (await client.get(place, headers=ann.headers)).json()
    assert (after["next_at"], after["last_job_id"]) == (schedule["next_at"], job_id)
    assert moment(after["last_at"]) <= datetime.now(UTC)


async def test_run_now_does_not_overlap_a_run_that_has_not_ended(client: httpx.AsyncClient, ann: Account) -> None:
    slow = {"model": "fake/slow", "prompt": "5000 words, 20 ms"}
    schedule = await made(client, ann, input=slow)
    place = f"/api/schedules/{schedule['id']}"
    first = (await client.post(f"{place}/run", headers=ann.headers)).json()["id"]
    busy = await client.post(f"{place}/run", headers=ann.headers)
    assert (busy.status_code, busy.json()["code"], busy.json()["job_id"]) == (409, "schedule_busy", first)
    await client.patch(place, json={"overlap": "allow"}, headers=ann.headers)
    second = await client.post(f"{place}/run", headers=ann.headers)
    assert second.status_code == 202
    for job_id in (first, second.json()["id"]):
        await client.post(f"/api/jobs/{job_id}/cancel?wait=10", headers=ann.headers)


async def test_a_due_schedule_is_fired_by_the_worker(
    client: httpx.AsyncClient, admin: Account, database: Database
) -> None:
    schedule = await made(client, admin, cron=None, every_seconds=1)

    async def ran() -> bool:
        rows = await sql(database, "SELECT 1 FROM jobs WHERE owner_id = %s AND status = 'succeeded'", [admin.id])
        return len(rows) >= 2

    await until(ran)
    seen = (await client.get(f"/api/schedules/{schedule['id']}", headers=admin.headers)).json()
    assert seen["last_job_id"] is not None


@pytest.mark.parametrize(
    ("more", "status", "code", "field"),
    [
        ({"cron": "0 9 * *"}, 422, "invalid_schedule", "cron"),
        ({"cron": "61 9 * * *"}, 422, "invalid_schedule", "cron"),
        ({"cron": "* * * * * *"}, 422, "invalid_schedule", "cron"),
        ({"cron": None}, 422, "invalid_schedule", "cron"),
        ({"every_seconds": 60}, 422, "invalid_schedule", "cron"),
        ({"cron": None, "every_seconds": 59}, 422, "invalid_schedule", "every_seconds"),
        ({"cron": None, "every_seconds": 0}, 422, "invalid_input", "every_seconds"),
        ({"cron": None, "every_seconds": 10**9}, 422, "invalid_input", "every_seconds"),
        ({"time_zone": "Mars/Olympus"}, 422, "invalid_schedule", "time_zone"),
        ({"kind": "no.such"}, 422, "unknown_kind", "kind"),
        ({"kind": "maintenance.retention", "input": {}}, 422, "invalid_job_input", "kind"),
        ({"input": {"prompt": 7}}, 422, "invalid_job_input", "prompt"),
        ({"priority": 8}, 403, "priority_not_allowed", "priority"),
        ({"priority": 10}, 422, "invalid_input", "priority"),
        ({"missed": "all"}, 422, "invalid_input", "missed"),
        ({"overlap": "perhaps"}, 422, "invalid_input", "overlap"),
        ({"name": " "}, 422, "invalid_input", "name"),
        ({"name": "a\nb"}, 422, "invalid_input", "name"),
        ({"nonsense": 1}, 422, "invalid_input", "nonsense"),
    ],
)
async def test_what_does_not_fit_is_named(
    client: httpx.AsyncClient, ann: Account, more: dict[str, Any], status: int, code: str, field: str
) -> None:
    body = {name: value for name, value in (GIVEN | more).items() if value is not None}
    answer = await client.post("/api/schedules", json=body, headers=ann.headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert field in [step for error in answer.json()["errors"] for step in error["loc"]]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"cron": "nonsense"}, "cron"),
        ({"cron": "0 9 * * *", "every_seconds": 60}, "every_seconds"),
        ({"every_seconds": 5}, "every_seconds"),
        ({"time_zone": "Nowhere"}, "time_zone"),
        ({"input": {"model": 1}}, "model"),
        ({"name": "taken"}, "name"),
    ],
)
async def test_a_change_that_does_not_fit_changes_nothing(
    client: httpx.AsyncClient, ann: Account, change: dict[str, Any], field: str
) -> None:
    await made(client, ann, name="taken")
    schedule = await made(client, ann)
    place = f"/api/schedules/{schedule['id']}"
    answer = await client.patch(place, json=change | {"priority": 1}, headers=ann.headers)
    assert answer.status_code in {409, 422}, answer.text
    assert field in [step for error in answer.json()["errors"] for step in error["loc"]]
    assert (await client.get(place, headers=ann.headers)).json() == schedule


async def test_a_name_is_once_an_owners(client: httpx.AsyncClient, ann: Account, register: Register) -> None:
    await made(client, ann)
    again = await client.post("/api/schedules", json=GIVEN, headers=ann.headers)
    assert (again.status_code, again.json()["code"]) == (409, "schedule_name_taken")
    await made(client, await register("bob"))


async def test_there_is_a_most(client: httpx.AsyncClient, ann: Account, settings: Settings) -> None:
    settings.schedules_per_user = 2
    for name in ("one", "two"):
        await made(client, ann, name=name)
    third = await client.post("/api/schedules", json=GIVEN, headers=ann.headers)
    assert (third.status_code, third.json()["code"]) == (409, "too_many_schedules")


async def test_an_input_that_is_too_large(client: httpx.AsyncClient, ann: Account, settings: Settings) -> None:
    settings.max_input_bytes = 1024
    large = PROMPT | {"prompt": "x" * 1024}
    answer = await client.post("/api/schedules", json=GIVEN | {"input": large}, headers=ann.headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_an_administrator_may_do_more(client: httpx.AsyncClient, admin: Account) -> None:
    schedule = await made(client, admin, cron=None, every_seconds=5, priority=9)
    assert schedule["priority"] == 9


async def test_nobody_sees_or_touches_anothers(client: httpx.AsyncClient, ann: Account, admin: Account) -> None:
    schedule = await made(client, ann)
    place = f"/api/schedules/{schedule['id']}"
    assert (await client.get("/api/schedules", headers=admin.headers)).json()["items"] == []
    answers = [
        await client.get(place, headers=admin.headers),
        await client.patch(place, json={"enabled": False}, headers=admin.headers),
        await client.post(f"{place}/run", headers=admin.headers),
        await client.delete(place, headers=admin.headers),
        await client.get(f"/api/schedules/{uuid4()}", headers=ann.headers),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "schedule_not_found")] * 5
    assert (await client.get(place, headers=ann.headers)).json() == schedule
    assert (await client.get("/api/schedules")).status_code == 401


async def test_a_key_that_reads_does_not_write(client: httpx.AsyncClient, ann: Account) -> None:
    key = await client.post("/api/keys", json={"name": "reads", "scopes": ["read"]}, headers=ann.headers)
    headers = {"Authorization": f"Bearer {key.json()['key']}"}
    assert (await client.get("/api/schedules", headers=headers)).status_code == 200
    refused = await client.post("/api/schedules", json=GIVEN, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")


async def test_pages(client: httpx.AsyncClient, ann: Account) -> None:
    names = [(await made(client, ann, name=f"{n}"))["name"] for n in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/api/schedules", params=query, headers=ann.headers)).json()
        seen += [item["name"] for item in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == names[::-1]


async def test_deleting_one_leaves_its_jobs(client: httpx.AsyncClient, ann: Account) -> None:
    schedule = await made(client, ann)
    job_id = UUID((await client.post(f"/api/schedules/{schedule['id']}/run", headers=ann.headers)).json()["id"])
    await client.delete(f"/api/schedules/{schedule['id']}", headers=ann.headers)
    assert (await client.get(f"/api/jobs/{job_id}", headers=ann.headers)).status_code == 200
