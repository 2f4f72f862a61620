"""Jobs through a real worker on a real database: every way an attempt can end."""

import asyncio
from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest

from tests.conftest import process
from tests.core.runtime.helpers import QUICK, Given, Made, add, echo, events, read, until_status
from yeoul.core.base.errors import InvalidInput, Unavailable
from yeoul.core.db.database import Database
from yeoul.core.jobs import service
from yeoul.core.jobs.repository import database_now
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.core.runtime.submit import retry
from yeoul.settings import Settings


async def test_success(settings: Settings, urls: DatabaseUrls, user_id: UUID) -> None:
    async with process(settings, urls, echo, workers=1) as (services, _):
        job_id = await add(services, user_id, echo)
        said = await events(services, user_id, job_id)
        job = await read(services, user_id, job_id)
    logged = [(seq, kind) for seq, kind, _ in said if seq is not None]
    assert [seq for seq, _ in logged] == list(range(1, len(logged) + 1))
    assert [kind for _, kind in logged if kind != "text"] == ["started", "succeeded"]
    assert (job.status, job.output, job.error, job.attempt) == ("succeeded", {"word": "hello"}, None, 1)
    assert job.worker_id is None
    assert job.finished_at is not None


@pytest.mark.parametrize(
    ("failure", "attempts", "code"),
    [
        (InvalidInput("no"), 1, "invalid_input"),
        (Unavailable("later"), 3, "unavailable"),
        (ValueError("bug"), 3, "internal"),
    ],
)
async def test_failure(
    settings: Settings, urls: DatabaseUrls, user_id: UUID, failure: Exception, attempts: int, code: str
) -> None:
    @handler("test.fail", backoff=QUICK)
    async def fail(ctx: Context, _given: Given) -> None:
        await ctx.text("before")
        raise failure

    async with process(settings, urls, fail, workers=1) as (services, _):
        job_id = await add(services, user_id, fail)
        said = [event for event in await events(services, user_id, job_id) if event[0] is not None]
        job = await read(services, user_id, job_id)
    assert job.status == "failed"
    assert job.attempt == attempts
    assert job.error is not None
    assert job.error["code"] == code
    assert "bug" not in job.error["message"]
    kinds = [kind for _, kind, _ in said]
    assert kinds == [*["started", "text", "retrying"] * (attempts - 1), "started", "text", "failed"]
    assert [seq for seq, _, _ in said] == list(range(1, len(said) + 1))


async def test_cancel_running(settings: Settings, urls: DatabaseUrls, user_id: UUID) -> None:
    stopped = asyncio.Event()

    @handler("test.endless")
    async def endless(ctx: Context, _given: Given) -> None:
        await ctx.text("on and on")
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with process(settings, urls, endless, workers=1) as (services, _):
        job_id = await add(services, user_id, endless)
        await until_status(services, user_id, job_id, "running")
        async with services.database.as_user(user_id) as session:
            await service.cancel(session, services.ringer, job_id)
        async with asyncio.timeout(2):
            await stopped.wait()
        said = await events(services, user_id, job_id)
    assert [kind for _, kind, _ in said] == ["started", "text", "canceled"]


async def test_cancel_queued(settings: Settings, urls: DatabaseUrls, user_id: UUID) -> None:
    async with process(settings, urls, echo) as (services, _):
        job_id = await add(services, user_id, echo)
        async with services.database.as_user(user_id) as session:
            job = await service.cancel(session, services.ringer, job_id)
        assert job.status == "canceled"
        assert [kind for _, kind, _ in await events(services, user_id, job_id)] == ["canceled"]


async def test_steps_run_once(settings: Settings, urls: DatabaseUrls, user_id: UUID) -> None:
    calls: list[str] = []

    @handler("test.steps", backoff=QUICK)
    async def steps(ctx: Context, _given: Given) -> Made:
        async def first() -> Made:
            calls.append("first")
            await ctx.text("kept")
            return Made(word="one")

        one = await ctx.step("first", first, Made)
        await ctx.text("void")
        if ctx.attempt == 1:
            raise Unavailable("once")
        return Made(word=one.word + " two")

    async with process(settings, urls, steps, workers=1) as (services, _):
        job_id = await add(services, user_id, steps)
        said = await events(services, user_id, job_id)
        job = await read(services, user_id, job_id)
    assert calls == ["first"]
    assert job.output == {"word": "one two"}
    retrying = next(data for _, kind, data in said if kind == "retrying")
    kept = next(seq for seq, kind, data in said if kind == "step" and "finished" in data)
    assert f'"void_after" : {kept},' in retrying


async def test_a_retry_by_hand_reuses_finished_steps(settings: Settings, urls: DatabaseUrls, user_id: UUID) -> None:
    """So does a retry of the retry: all of them are of one root."""
    calls: list[str] = []
    may = ["one"]

    @handler("test.dear")
    async def dear(ctx: Context, _given: Given) -> Made:
        async def part(name: str) -> Made:
            calls.append(name)
            return Made(word=name)

        words = [(await ctx.step(name, partial(part, name), Made)).word for name in may]
        if len(words) < 3:
            raise InvalidInput("not yet")
        return Made(word=" ".join(words))

    async with process(settings, urls, dear, workers=1) as (services, _):
        jobs = [await add(services, user_id, dear)]
        said = [await events(services, user_id, jobs[0])]
        for name in ("two", "three"):
            may.append(name)
            async with services.database.as_user(user_id) as session:
                jobs.append((await retry(session, services, jobs[-1])).id)
            said.append(await events(services, user_id, jobs[-1]))
        last = await read(services, user_id, jobs[-1])
    assert calls == ["one", "two", "three"]
    assert (last.status, last.output, last.root_id) == ("succeeded", {"word": "one two three"}, jobs[0])
    assert [sum('"reused"' in data for _, kind, data in log if kind == "step") for log in said] == [0, 1, 2]


async def test_drain_gives_jobs_back(settings: Settings, urls: DatabaseUrls, user_id: UUID) -> None:
    quick = settings.model_copy(update={"drain_seconds": 0.05})
    going = asyncio.Event()

    @handler("test.slow")
    async def slow(ctx: Context, _given: Given) -> Made:
        going.set()
        if ctx.services.settings.drain_seconds < 1:
            await asyncio.Event().wait()
        return Made(word=f"attempt {ctx.attempt}")

    async with process(quick, urls, slow, workers=1) as (services, _):
        job_id = await add(services, user_id, slow)
        await going.wait()
    async with process(settings, urls, slow, workers=1) as (services, _):
        said = await events(services, user_id, job_id)
        job = await read(services, user_id, job_id)
    assert [kind for _, kind, _ in said if kind != "queued"] == ["started", "retrying", "started", "succeeded"]
    assert (job.attempt, job.epoch, job.output) == (1, 2, {"word": "attempt 1"})


async def test_lost_lease(settings: Settings, urls: DatabaseUrls, database: Database, user_id: UUID) -> None:
    """A job taken away while its worker goes on: one result, one stream, and the old worker says nothing more."""
    taken, go_on = asyncio.Event(), asyncio.Event()

    @handler("test.taken")
    async def taken_away(ctx: Context, _given: Given) -> Made:
        await ctx.text(f"attempt {ctx.attempt}")
        if ctx.attempt == 1:
            taken.set()
            await go_on.wait()
            await ctx.text("too late")
        return Made(word=f"attempt {ctx.attempt}")

    async with process(settings, urls, taken_away, workers=2, concurrency=1) as (services, _):
        job_id = await add(services, user_id, taken_away)
        await taken.wait()
        async with database.service_connection() as connection:
            await connection.execute(
                'UPDATE jobs SET status = \'queued\', worker_id = NULL, error = \'{"code": "lost", "message": "x"}\''
            )
        said = await events(services, user_id, job_id)
        go_on.set()
        job = await read(services, user_id, job_id)
    kinds = [kind for seq, kind, _ in said if kind != "text" and seq is not None]
    assert kinds == ["started", "retrying", "started", "succeeded"]
    assert not any("too late" in data for _, _, data in said)
    assert job.output == {"word": "attempt 2"}


async def test_run_at_and_priority(settings: Settings, urls: DatabaseUrls, user_id: UUID) -> None:
    order: list[UUID] = []

    @handler("test.order")
    async def ordered(ctx: Context, _given: Given) -> None:
        order.append(ctx.job_id)

    async with process(settings, urls, ordered) as (services, _):
        low = await add(services, user_id, ordered, priority=1)
        high = await add(services, user_id, ordered, priority=7)
        async with services.database.as_service("test: the database's clock") as session:
            soon = await database_now(session) + timedelta(seconds=0.5)
        later = await add(services, user_id, ordered, priority=7, run_at=soon)
    async with process(settings, urls, ordered, workers=1, concurrency=1) as (services, _):
        for job_id in (low, high, later):
            await events(services, user_id, job_id)
    assert order == [high, low, later]
