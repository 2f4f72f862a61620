"""Firing: once a tick whoever is there, nothing half done, and what the policies say."""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from tests.conftest import add_user, process
from tests.core.runtime.helpers import echo, until
from tests.core.schedules.helpers import add, as_json, finish, jobs, row, sql
from yeoul.core.auth.repository import SYSTEM_ID
from yeoul.core.db.database import Database
from yeoul.core.runtime.services import DatabaseUrls, Services
from yeoul.core.schedules.scheduler import BuiltIn, Scheduler
from yeoul.settings import Settings


@pytest.fixture
async def services(settings: Settings, urls: DatabaseUrls) -> AsyncGenerator[Services]:
    async with process(settings, urls, echo) as (services, _):
        yield services


async def test_several_processes_fire_each_tick_once(
    settings: Settings, urls: DatabaseUrls, database: Database
) -> None:
    owners = [await add_user(database) for _ in range(3)]
    made = [await add(database, owner) for owner in owners for _ in range(10)]
    async with AsyncExitStack() as stack:
        nodes = [(await stack.enter_async_context(process(settings, urls, echo)))[0] for _ in range(4)]
        counts = await asyncio.gather(*(Scheduler(node).fire_due() for node in nodes for _ in range(2)))
    assert sum(counts) == len(made)
    assert [len(await jobs(database, owner)) for owner in owners] == [10, 10, 10]
    runs = await sql(
        database, "SELECT count(*), count(DISTINCT schedule_id), count(DISTINCT job_id) FROM schedule_runs"
    )
    assert runs == [(30, 30, 30)]
    for schedule_id in made:
        found = await row(database, schedule_id)
        assert 3500 < found["ahead"] < 3600
        assert found["last_job_id"] in await jobs(database, found["owner_id"])


async def test_loops_of_several_processes_keep_the_beat(
    settings: Settings, urls: DatabaseUrls, database: Database, user_id: UUID
) -> None:
    """Woken at the tick, not by the clock: four ticks of a second each, one job each."""
    schedule_id = await add(database, user_id, due=0.5, every_seconds=1, overlap="allow")
    async with AsyncExitStack() as stack:
        schedulers = []
        for _ in range(3):
            node, _workers = await stack.enter_async_context(process(settings, urls, echo))
            schedulers.append(Scheduler(node))
            await schedulers[-1].start()

        async def four() -> bool:
            return len(await jobs(database, user_id)) >= 4

        await until(four)
        for scheduler in schedulers:
            await scheduler.stop()
    late = await sql(
        database,
        "SELECT extract(epoch FROM j.created_at - r.tick)::float8 FROM schedule_runs r JOIN jobs j ON j.id = r.job_id"
        " WHERE r.schedule_id = %s ORDER BY r.tick",
        [schedule_id],
    )
    ticks = await sql(
        database,
        "SELECT DISTINCT extract(epoch FROM tick - lag(tick) OVER (ORDER BY tick))::float8 FROM schedule_runs",
    )
    assert len(late) == len(await jobs(database, user_id))
    assert min(seconds for (seconds,) in late) < 0.25
    assert all(seconds >= 0 for (seconds,) in late)
    assert {gap for (gap,) in ticks if gap is not None} == {1.0}


async def test_a_new_schedule_wakes_the_loops(services: Services, database: Database, user_id: UUID) -> None:
    """A loop that would sleep for an hour hears of a nearer tick."""
    from yeoul.core.auth.principal import Principal
    from yeoul.core.schedules import service
    from yeoul.core.schedules.schemas import ScheduleIn

    async with process_of(services):
        principal = Principal(user_id, "admin", None, "bearer")
        given = ScheduleIn(name="soon", kind="test.echo", input={}, every_seconds=1)
        async with services.database.as_service("test") as session:
            await service.add(session, services, principal, given)

        async def fired() -> bool:
            return len(await jobs(database, user_id)) >= 1

        await until(fired, seconds=10)


class process_of:  # noqa: N801  (a context manager)
    """A scheduler of these services, running; it hears rings since the services listen again with it."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.scheduler = Scheduler(services)

    async def __aenter__(self) -> Scheduler:
        await self.services.listen.stop()
        await self.services.listen.start()
        self.scheduler._look.clear()
        pause, asleep = self.scheduler._pause, asyncio.Event()

        async def paused() -> float:
            seconds = await pause()
            asleep.set()
            return seconds

        self.scheduler._pause = paused  # type: ignore[method-assign]
        await self.scheduler.start()
        await asleep.wait()  # it has looked, and sleeps until it is woken
        return self.scheduler

    async def __aexit__(self, *_: object) -> None:
        await self.scheduler.stop()


VICTIM = """
import asyncio, sys
from tests.core.runtime.helpers import echo
from yeoul.core.jobs.kinds import Kinds
from yeoul.core.runtime.services import DatabaseUrls, open_services
from yeoul.core.schedules import repository, service
from yeoul.core.schedules.scheduler import Scheduler
from yeoul.settings import Settings
from pathlib import Path

app, service_url, folder = sys.argv[1:]
add_run = repository.add_run

async def inserted(*arguments):
    await add_run(*arguments)
    print("inserted", flush=True)
    await asyncio.Event().wait()

repository.add_run = inserted

async def main():
    settings = Settings(_env_file=None, data_dir=Path(folder), database_url=app, service_database_url=service_url,
                        local_enabled=False)
    kinds = Kinds()
    kinds.add(echo)
    async with open_services(settings, DatabaseUrls(app, service_url), kinds) as services:
        await Scheduler(services).fire_due()

asyncio.run(main())
"""


async def test_a_process_killed_between_insert_and_commit_leaves_the_tick_due(
    services: Services, database: Database, urls: DatabaseUrls, user_id: UUID, settings: Settings
) -> None:
    schedule_id = await add(database, user_id)
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-c", VICTIM, urls.app, urls.service, str(settings.data_dir),
        stdout=asyncio.subprocess.PIPE, cwd=Path.cwd(),
    )  # fmt: skip
    assert victim.stdout is not None
    assert (await asyncio.wait_for(victim.stdout.readline(), 60)) == b"inserted\n"
    assert await Scheduler(services).fire_due() == 0  # the other one has it
    victim.send_signal(signal.SIGKILL)
    await victim.wait()
    assert await jobs(database, user_id) == []
    scheduler = Scheduler(services)

    async def fired() -> bool:  # the server notices a moment later that the client is gone
        return await scheduler.fire_due() == 1

    await until(fired)
    assert len(await jobs(database, user_id)) == 1
    assert (await row(database, schedule_id))["ahead"] > 0


async def test_the_same_tick_cannot_be_written_twice(database: Database, services: Services, user_id: UUID) -> None:
    await add(database, user_id)
    await Scheduler(services).fire_due()
    with pytest.raises(psycopg.errors.UniqueViolation):
        await sql(database, "INSERT INTO schedule_runs SELECT * FROM schedule_runs")


# What was missed


async def test_many_missed_ticks_make_one_job(database: Database, services: Services, user_id: UUID) -> None:
    schedule_id = await add(database, user_id, due=-86_400 * 3, cron="*/5 * * * *", every_seconds=None)
    assert await Scheduler(services).fire_due() == 1
    assert len(await jobs(database, user_id)) == 1
    assert 0 < (await row(database, schedule_id))["ahead"] <= 300


async def test_missed_ticks_are_left_out_where_asked(database: Database, services: Services, user_id: UUID) -> None:
    schedule_id = await add(database, user_id, due=-3600, missed="skip", every_seconds=600)
    assert await Scheduler(services).fire_due() == 0
    found = await row(database, schedule_id)
    assert found["last_error"]["code"] == "schedule_missed"
    assert 0 < found["ahead"] <= 600
    assert await jobs(database, user_id) == []


async def test_a_tick_a_little_late_is_not_missed(database: Database, services: Services, user_id: UUID) -> None:
    await add(database, user_id, due=-30, missed="skip", every_seconds=600)
    assert await Scheduler(services).fire_due() == 1


# What overlaps


async def test_a_run_that_has_not_ended_holds_back_the_next(
    database: Database, services: Services, user_id: UUID
) -> None:
    schedule_id = await add(database, user_id)
    scheduler = Scheduler(services)
    assert await scheduler.fire_due() == 1
    (first,) = await jobs(database, user_id)
    again = "UPDATE schedules SET next_at = now() - interval '1 s'"
    await sql(database, again)
    assert await scheduler.fire_due() == 0
    found = await row(database, schedule_id)
    assert (found["last_error"]["code"], found["last_error"]["job_id"]) == ("schedule_busy", str(first))
    assert found["ahead"] > 0
    await finish(database, first)
    await sql(database, again)
    assert await scheduler.fire_due() == 1
    assert (await row(database, schedule_id))["last_error"] is None


async def test_runs_overlap_where_asked(database: Database, services: Services, user_id: UUID) -> None:
    await add(database, user_id, overlap="allow")
    for count in (1, 2):
        await Scheduler(services).fire_due()
        await sql(database, "UPDATE schedules SET next_at = now() - interval '1 s'")
        assert len(await jobs(database, user_id)) == count


# What cannot be fired


async def test_a_refused_job_is_told_and_holds_up_nobody(
    database: Database, settings: Settings, urls: DatabaseUrls, user_id: UUID
) -> None:
    other = await add_user(database)
    bad = await add(database, user_id, due=-10, input=as_json({"word": 7}))
    full = await add(database, user_id, due=-9, every_seconds=60, overlap="allow")
    full_again = await add(database, user_id, due=-8, every_seconds=60, overlap="allow")
    await add(database, other, due=-1)
    few = settings.model_copy(update={"max_queued_per_user": 1})
    async with process(few, urls, echo) as (services, _):
        assert await Scheduler(services).fire_due() == 2
    assert (await row(database, bad))["last_error"]["code"] == "invalid_job_input"
    assert (await row(database, full))["last_error"] is None
    assert (await row(database, full_again))["last_error"]["code"] == "too_many_queued"
    assert len(await jobs(database, user_id)) == len(await jobs(database, other)) == 1
    for schedule_id in (bad, full, full_again):
        assert (await row(database, schedule_id))["ahead"] > 0


async def test_a_fault_of_ours_puts_one_schedule_off_and_no_other(
    database: Database, services: Services, user_id: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    broken = await add(database, user_id, due=-10, cron="not cron", every_seconds=None)
    await add(database, user_id)
    assert await Scheduler(services).fire_due() == 1
    found = await row(database, broken)
    assert found["last_error"]["code"] == "internal"
    assert 50 < found["ahead"] <= 60


async def test_a_kind_that_nobody_here_knows_waits_for_somebody_who_does(
    database: Database, services: Services, user_id: UUID
) -> None:
    schedule_id = await add(database, user_id, kind="elsewhere.kind")
    scheduler = Scheduler(services)
    assert await scheduler.fire_due() == 0
    assert (await row(database, schedule_id))["ahead"] < 0
    assert await scheduler._pause() > 1  # and nobody spins over it


async def test_a_disabled_accounts_schedules_stand_still(database: Database, services: Services, user_id: UUID) -> None:
    await add(database, user_id)
    await sql(database, "UPDATE users SET disabled_at = now() WHERE id = %s", [user_id])
    assert await Scheduler(services).fire_due() == 0
    await sql(database, "UPDATE users SET disabled_at = NULL WHERE id = %s", [user_id])
    assert await Scheduler(services).fire_due() == 1


async def test_a_paused_one_does_too(database: Database, services: Services, user_id: UUID) -> None:
    await add(database, user_id, enabled=False)
    assert await Scheduler(services).fire_due() == 0


async def test_a_former_administrators_priority_is_what_they_may_ask_for_now(
    database: Database, services: Services, user_id: UUID
) -> None:
    await add(database, user_id, priority=9)
    await Scheduler(services).fire_due()
    assert await sql(database, "SELECT priority FROM jobs") == [(services.settings.user_max_priority,)]


async def test_the_loop_outlives_a_database_that_goes(
    database: Database, services: Services, urls: DatabaseUrls, user_id: UUID
) -> None:
    scheduler = Scheduler(services)
    await scheduler.start()
    try:
        with psycopg.connect(urls.admin or "", autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'yeoul%'"
            )
        await add(database, user_id)
        scheduler._look.set()

        async def fired() -> bool:
            return len(await jobs(database, user_id)) == 1

        await until(fired)
    finally:
        await scheduler.stop()


# The installation's own


async def test_built_in_schedules_are_made_once_and_kept_up_to_date(
    database: Database, services: Services, settings: Settings, urls: DatabaseUrls
) -> None:
    given = BuiltIn("own", echo.name, every_seconds=300)
    async with process(settings, urls, echo) as (other, _):
        both = [Scheduler(node, [given]) for node in (services, other)]
        await asyncio.gather(*(scheduler.start() for scheduler in both))

        async def fired() -> bool:
            return len(await jobs(database, SYSTEM_ID)) == 1

        await until(fired)
        for scheduler in both:
            await scheduler.stop()
    ((schedule_id, name, every),) = await sql(database, "SELECT id, built_in, every_seconds FROM schedules")
    assert (name, every) == ("own", 300)
    assert await sql(database, "SELECT priority FROM jobs") == [(9,)]
    await sql(database, "UPDATE schedules SET enabled = false, next_at = NULL")
    changed = Scheduler(services, [BuiltIn("own", echo.name, cron="0 3 * * *")])
    await changed.start()
    await changed.stop()
    found = await row(database, schedule_id)
    assert (found["cron"], found["every_seconds"], found["enabled"], found["next_at"]) == (
        "0 3 * * *", None, False, None,
    )  # fmt: skip


async def test_a_built_in_of_an_unknown_kind_is_not_made(database: Database, services: Services) -> None:
    scheduler = Scheduler(services, [BuiltIn("own", "no.such", every_seconds=300)])
    await scheduler.start()
    await scheduler.stop()
    assert await sql(database, "SELECT 1 FROM schedules") == []
