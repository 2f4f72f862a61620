"""Many jobs of one kind submitted as one: in order, all or none, fair, and the rest held."""

from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text

from tests.conftest import process
from tests.core.runtime.helpers import Given, add, echo, events, read, until_status
from yeoul.core.base.errors import TooLarge
from yeoul.core.db.database import Database
from yeoul.core.jobs import service
from yeoul.core.jobs.errors import TooManyQueued
from yeoul.core.jobs.schemas import JobOut
from yeoul.core.runtime.services import DatabaseUrls, Services
from yeoul.core.runtime.submit import submit_many
from yeoul.settings import Settings

READY = "UPDATE jobs SET run_at = now(), fair_at = fair_tag(priority, owner_id, kind) WHERE id = ANY (%s)"
TAGS = "SELECT id FROM jobs WHERE fair_at IS NOT NULL ORDER BY fair_at, id"


async def many(services: Services, user_id: UUID, count: int, *, ready: int | None = None) -> list[UUID]:
    async with services.database.as_user(user_id) as session:
        given = [Given(word=f"w{n}") for n in range(count)]
        return await submit_many(session, services, echo, given, ready=ready)


async def test_each_runs_with_its_own_input(settings: Settings, urls: DatabaseUrls, user_id: UUID) -> None:
    async with process(settings, urls, echo, workers=1) as (services, _):
        ids = await many(services, user_id, 30)
        said = [(await events(services, user_id, job_id))[-1] for job_id in ids]
    assert [f'"w{n}"' in data for n, (_, kind, data) in enumerate(said) if kind == "succeeded"] == [True] * 30


async def test_what_is_held_waits_for_whoever_readies_it(
    settings: Settings, urls: DatabaseUrls, user_id: UUID, database: Database
) -> None:
    async with process(settings, urls, echo, workers=1) as (services, _):
        first, second = await many(services, user_id, 2, ready=1)
        await until_status(services, user_id, first, "succeeded")
        async with services.database.as_user(user_id) as session:
            shown = await service.show(session, second)
        assert (shown.status, shown.run_at, shown.queue_position) == ("queued", None, None)
        assert JobOut.model_validate(await read(services, user_id, second)).run_at is None
        async with database.service_connection() as connection:
            await connection.execute(READY, [[second]])
        services.doorbell.ring()
        await until_status(services, user_id, second, "succeeded")


async def test_a_held_job_is_cancelled_like_any(settings: Settings, urls: DatabaseUrls, user_id: UUID) -> None:
    async with process(settings, urls, echo) as (services, _):
        (held,) = await many(services, user_id, 1, ready=0)
        async with services.database.as_user(user_id) as session:
            assert (await service.cancel(session, services.ringer, held)).status == "canceled"


async def test_their_place_is_as_if_submitted_one_by_one(
    settings: Settings, urls: DatabaseUrls, user_id: UUID, database: Database
) -> None:
    async with process(settings, urls, echo) as (services, _):
        before = await add(services, user_id, echo)
        together = await many(services, user_id, 3)
        after = await add(services, user_id, echo)
    async with database.service_connection() as connection:
        rows = await (await connection.execute(TAGS)).fetchall()
        steps = await (
            await connection.execute("SELECT fair_at - lag(fair_at) OVER (ORDER BY fair_at) FROM jobs ORDER BY fair_at")
        ).fetchall()
    assert [job_id for (job_id,) in rows] == [before, *together, after]
    assert [step for (step,) in steps[1:]] == pytest.approx([1, 1, 1, 1])


async def test_all_or_none(settings: Settings, urls: DatabaseUrls, user_id: UUID, database: Database) -> None:
    tight = settings.model_copy(update={"max_queued_per_user": 5, "max_input_bytes": 1024})
    async with process(tight, urls, echo) as (services, _):
        for _ in range(2):
            await add(services, user_id, echo)
        with pytest.raises(TooManyQueued, match="these 4 jobs"):
            await many(services, user_id, 4)
        with pytest.raises(TooManyQueued, match="these 6 jobs"):
            await many(services, user_id, 6)
        with pytest.raises(TooLarge):
            async with services.database.as_user(user_id) as session:
                await submit_many(session, services, echo, [Given(), Given(word="x" * 2000)])
        assert await many(services, user_id, 0) == []
        assert len(await many(services, user_id, 3)) == 3  # exactly as many as may wait
    async with database.service_connection() as connection:
        assert await (await connection.execute("SELECT count(*) FROM jobs")).fetchall() == [(5,)]


async def test_for_somebody_alone(urls: DatabaseUrls, database: Database) -> None:
    async with database.as_service("test: no user in scope") as session:
        with pytest.raises(Exception, match="tenant scope") as caught:
            await session.execute(text("SELECT yeoul.submit_jobs('{}'::uuid[], 'test.echo', '[]', 5, 1, 1, 10)"))
    assert isinstance(caught.value.__cause__, psycopg.errors.InsufficientPrivilege)
