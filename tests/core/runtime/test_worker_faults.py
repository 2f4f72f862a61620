"""A worker among handlers that misbehave, answers that get lost, and connections that break."""

import asyncio
from contextlib import suppress
from typing import Any
from uuid import UUID

import psycopg
import pytest
from pydantic import BaseModel, RootModel

from tests.conftest import process
from tests.core.runtime.helpers import QUICK, Given, Made, add, echo, events, read, until, until_status
from yeoul.core.base.errors import Unavailable
from yeoul.core.db.database import Database
from yeoul.core.jobs import queries, service
from yeoul.core.jobs.errors import LostLease
from yeoul.core.runtime import worker as worker_module
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler
from yeoul.core.runtime.services import DatabaseUrls, Services
from yeoul.core.runtime.worker import Worker
from yeoul.settings import Settings


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Heartbeats every quarter of a second, and no waiting at the end."""
    return settings.model_copy(update={"lease_seconds": 1, "drain_seconds": 0.05})


async def said(services: Services, user_id: UUID, job_id: UUID) -> list[str]:
    """The types of what is in the log, to the end."""
    return [kind for seq, kind, _ in await events(services, user_id, job_id) if seq is not None]


async def cancel(services: Services, user_id: UUID, job_id: UUID) -> None:
    async with services.database.as_user(user_id) as session:
        await service.cancel(session, services.ringer, job_id)


def kill_connections(urls: DatabaseUrls) -> int:
    """Of everybody at this database."""
    with psycopg.connect(urls.admin or "", autocommit=True) as connection:
        return len(
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchall()
        )


@pytest.mark.parametrize("ending", ["cancel", "timeout"])
async def test_a_handler_that_does_not_let_itself_be_cancelled(
    settings: Settings, urls: DatabaseUrls, user_id: UUID, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """Its job ends without it, and what it says afterwards comes to nothing."""
    monkeypatch.setattr(worker_module, "UNWIND_SECONDS", 0.05)
    let_go, late = asyncio.Event(), asyncio.Event()

    @handler("test.stubborn", timeout=0.1 if ending == "timeout" else 60, max_attempts=1)
    async def stubborn(ctx: Context, _given: Given) -> Made:
        await ctx.text("begun")
        with suppress(asyncio.CancelledError):
            await let_go.wait()
        await let_go.wait()
        try:
            while True:
                await ctx.text("late")
                await asyncio.sleep(0.01)
        except LostLease:
            late.set()
            raise

    async with process(settings, urls, stubborn, workers=1, concurrency=1) as (services, _):
        job_id = await add(services, user_id, stubborn)
        await until_status(services, user_id, job_id, "running")
        if ending == "cancel":
            await cancel(services, user_id, job_id)
        end = {"cancel": "canceled", "timeout": "failed"}[ending]
        assert await said(services, user_id, job_id) == ["started", "text", end]
        let_go.set()
        async with asyncio.timeout(5):
            await late.wait()
        assert await said(services, user_id, job_id) == ["started", "text", end]


async def test_a_stubborn_handler_does_not_keep_its_job_from_the_next_worker(
    settings: Settings, urls: DatabaseUrls, user_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "UNWIND_SECONDS", 0.05)
    let_go, begun = asyncio.Event(), asyncio.Event()

    @handler("test.stubborn")
    async def stubborn(ctx: Context, _given: Given) -> Made:
        if begun.is_set():
            return Made(word=f"attempt {ctx.attempt}")
        begun.set()
        while not let_go.is_set():
            with suppress(asyncio.CancelledError):
                await let_go.wait()
        return Made(word="too late")

    async with process(settings, urls, stubborn, workers=1) as (services, _):
        job_id = await add(services, user_id, stubborn)
        await begun.wait()
    async with process(settings, urls, stubborn, workers=1) as (services, _):
        assert await said(services, user_id, job_id) == ["started", "retrying", "started", "succeeded"]
        assert (await read(services, user_id, job_id)).output == {"word": "attempt 1"}
        let_go.set()


class Listed(RootModel[list[int]]):
    """An output that is no object."""


class Odd(BaseModel):
    """An output that JSON cannot say."""

    value: Any


async def test_an_output_that_is_no_json_object_fails(settings: Settings, urls: DatabaseUrls, user_id: UUID) -> None:
    outputs: list[Any] = [Listed([1]), Odd(value=object()), Odd(value={1: {2: lambda: 3}}), [1], "text"]

    @handler("test.odd", max_attempts=1)
    async def odd(_ctx: Context, _given: Given) -> Made:
        return outputs.pop()  # type: ignore[no-any-return]

    async with process(settings, urls, odd, workers=1) as (services, _):
        while outputs:
            job_id = await add(services, user_id, odd)
            assert await said(services, user_id, job_id) == ["started", "failed"]
            error = (await read(services, user_id, job_id)).error
            assert error is not None
            assert error["code"] == "internal"


async def test_whatever_a_handler_raises_is_its_own_failure(
    settings: Settings, urls: DatabaseUrls, user_id: UUID
) -> None:
    errors = [SystemExit(3), asyncio.CancelledError(), LostLease("not really"), KeyError("x"), GeneratorExit()]

    @handler("test.raise", max_attempts=1)
    async def fail(_ctx: Context, _given: Given) -> None:
        raise errors.pop()

    async with process(settings, urls, fail, echo, workers=1) as (services, _):
        while errors:
            job_id = await add(services, user_id, fail)
            assert await said(services, user_id, job_id) == ["started", "failed"]
        job_id = await add(services, user_id, echo)
        assert (await said(services, user_id, job_id))[-1] == "succeeded"


async def test_input_that_no_longer_fits_fails_at_once(
    settings: Settings, urls: DatabaseUrls, user_id: UUID, database: Database
) -> None:
    """The kind has changed since it was submitted: trying again would not help."""
    async with process(settings, urls, echo) as (services, _):
        job_id = await add(services, user_id, echo)
    async with database.service_connection() as connection:
        await connection.execute("UPDATE jobs SET input = '{\"word\": [1]}'")
    async with process(settings, urls, echo, workers=1) as (services, _):
        assert await said(services, user_id, job_id) == ["started", "failed"]
        error = (await read(services, user_id, job_id)).error
    assert error is not None
    assert error["code"] == "invalid_job_input"


async def test_a_handler_cannot_speak_for_the_queue(settings: Settings, urls: DatabaseUrls, user_id: UUID) -> None:
    """An end, a cursor or a row's progress of its own making would mislead whoever reads."""
    refused = []

    @handler("test.forge")
    async def forge(ctx: Context, _given: Given) -> None:
        for kind in ("succeeded", "started", "text", "step", "progress", "reset", "a\nid: 9", "", "a" * 101):
            try:
                await ctx.emit(kind, {"output": "forged"})
            except ValueError:
                refused.append(kind)

    async with process(settings, urls, forge, workers=1) as (services, _):
        job_id = await add(services, user_id, forge)
        assert await said(services, user_id, job_id) == ["started", "succeeded"]
    assert len(refused) == 9


async def test_a_retry_waits_as_long_as_the_error_asks(settings: Settings, urls: DatabaseUrls, user_id: UUID) -> None:
    @handler("test.later", backoff=QUICK)
    async def later(_ctx: Context, _given: Given) -> None:
        raise Unavailable("ask again", retry_after=3600)

    async with process(settings, urls, later, workers=1) as (services, _):
        job_id = await add(services, user_id, later)

        async def is_put_off() -> bool:
            job = await read(services, user_id, job_id)
            return (job.status, job.attempt) == ("queued", 1)

        await until(is_put_off)
        job = await read(services, user_id, job_id)
        assert job.started_at is not None
        assert job.run_at is not None
        assert 3590 < (job.run_at - job.started_at).total_seconds() < 3660


async def test_no_more_run_than_there_are_slots(settings: Settings, urls: DatabaseUrls, user_id: UUID) -> None:
    running = most = 0
    full = asyncio.Event()

    @handler("test.count")
    async def count(_ctx: Context, _given: Given) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if most == 3:
            full.set()
        await full.wait()
        await asyncio.sleep(0.01)
        running -= 1

    alone = settings.model_copy(update={"user_share": 1})
    async with process(alone, urls, count, workers=1, concurrency=3) as (services, _):
        jobs = [await add(services, user_id, count) for _ in range(20)]
        assert {(await said(services, user_id, job_id))[-1] for job_id in jobs} == {"succeeded"}
    assert most == 3


async def test_a_claim_whose_answer_is_lost(
    settings: Settings, urls: DatabaseUrls, user_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jobs are ours and nobody knows: they go back, the attempt not counted, and are claimed again."""
    async with process(settings, urls, echo, workers=1) as (services, (worker,)):
        fetch = worker._claims.fetch

        async def losing(query: Any, arguments: Any = ()) -> Any:
            rows = await fetch(query, arguments)
            if rows:
                monkeypatch.undo()
                raise psycopg.OperationalError("server closed the connection unexpectedly")
            return rows

        monkeypatch.setattr(worker._claims, "fetch", losing)
        job_id = await add(services, user_id, echo)
        assert [kind for kind in await said(services, user_id, job_id) if kind != "text"] == [
            "started", "retrying", "started", "succeeded"
        ]  # fmt: skip
        job = await read(services, user_id, job_id)
        assert (job.attempt, job.epoch) == (1, 2)


async def test_a_claim_cut_off_by_the_stop(
    settings: Settings, urls: DatabaseUrls, user_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have committed: what it took goes back before the worker leaves."""
    async with process(settings, urls, echo, workers=1) as (services, (worker,)):
        fetch, taken = worker._claims.fetch, asyncio.Event()

        async def hanging(query: Any, arguments: Any = ()) -> Any:
            if await fetch(query, arguments):
                taken.set()
                await asyncio.Event().wait()
            return []

        monkeypatch.setattr(worker._claims, "fetch", hanging)
        job_id = await add(services, user_id, echo)
        await taken.wait()
    async with process(settings, urls, echo) as (services, _):
        job = await read(services, user_id, job_id)
        assert (job.status, job.attempt, job.error and job.error["code"]) == ("queued", 0, "worker_stopping")


async def test_a_worker_that_claims_its_own_lost_job(
    settings: Settings, urls: DatabaseUrls, user_id: UUID, database: Database
) -> None:
    """Paused past its lease, it may be the first to ask again: the first attempt goes, the second is whole."""
    attempts: list[int] = []
    first_gone, go_on = asyncio.Event(), asyncio.Event()

    @handler("test.paused")
    async def paused(ctx: Context, _given: Given) -> Made:
        await ctx.text(f"attempt {ctx.attempt}")
        await ctx._flusher.settle(ctx._attempt)
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            try:
                await asyncio.Event().wait()
            finally:
                first_gone.set()
        await go_on.wait()
        return Made(word=f"attempt {ctx.attempt}")

    async with process(settings, urls, paused, workers=1, concurrency=3) as (services, (worker,)):
        job_id = await add(services, user_id, paused)
        await until(lambda: attempts == [1])
        async with database.service_connection() as connection, connection.transaction():
            await connection.execute("UPDATE workers SET expires_at = now() - interval '1 second'")
            await connection.execute(queries.SWEEP_LOST, {"error": "{}", "workers": None})
            await connection.execute("UPDATE workers SET expires_at = now() + interval '1 second'")
        services.doorbell.ring()
        async with asyncio.timeout(10):
            await first_gone.wait()
        await until(lambda: attempts == [1, 2])
        await until(lambda: [attempt.attempt for attempt in worker._running.values()] == [2])
        go_on.set()
        assert await said(services, user_id, job_id) == [
            "started", "text", "retrying", "started", "text", "succeeded"
        ]  # fmt: skip
        await until(lambda: not worker._running and not worker._tasks)
    assert attempts == [1, 2]


async def test_a_cancel_that_nobody_rang_for(
    settings: Settings, urls: DatabaseUrls, user_id: UUID, database: Database
) -> None:
    """The row says it; the heartbeat reads it."""

    @handler("test.endless")
    async def endless(_ctx: Context, _given: Given) -> None:
        await asyncio.Event().wait()

    async with process(settings, urls, endless, workers=1) as (services, _):
        job_id = await add(services, user_id, endless)
        await until_status(services, user_id, job_id, "running")
        async with database.service_connection() as connection:
            await connection.execute("UPDATE jobs SET cancel_requested = true")
        assert await said(services, user_id, job_id) == ["started", "canceled"]


async def test_connections_that_break_in_the_middle(settings: Settings, urls: DatabaseUrls, user_id: UUID) -> None:
    """All of them, several times, while a job streams, runs steps and checks its lease: it never notices."""
    broken: list[int] = []

    @handler("test.steady", max_attempts=1)
    async def steady(ctx: Context, _given: Given) -> Made:
        async def one() -> str:
            await ctx.text("step")
            return "done"

        for number in range(9):
            await ctx.text(f"{number} ")
            if number % 3 == 1:
                broken.append(kill_connections(urls))
            await ctx.check_lease()
            await ctx.step(str(number), one)
            await asyncio.sleep(0.02)
        return Made(word="whole")

    async with process(settings, urls, steady, workers=1) as (services, _):
        job_id = await add(services, user_id, steady)
        log = [event for event in await events(services, user_id, job_id) if event[0] is not None]
        job = await read(services, user_id, job_id)
    assert min(broken) >= 1
    assert [seq for seq, _, _ in log] == list(range(1, len(log) + 1))
    assert (job.status, job.attempt, job.epoch) == ("succeeded", 1, 1)
    text = "".join(data.removeprefix('{"delta":"').removesuffix('"}') for _, kind, data in log if kind == "text")
    assert text == "".join(f"{number} step" for number in range(9))


async def test_a_lease_is_asked_after_when_no_heartbeat_has_come_through(
    settings: Settings, urls: DatabaseUrls, user_id: UUID, database: Database
) -> None:
    """Before what costs money: a worker that was away finds out that the job is another's."""
    checked: list[str] = []
    go_on, took = asyncio.Event(), asyncio.Event()

    @handler("test.dear")
    async def dear(ctx: Context, _given: Given) -> Made:
        if ctx.attempt == 1:
            took.set()
            await go_on.wait()
            try:
                await ctx.check_lease()
                checked.append("held")
            except LostLease:
                checked.append("lost")
                raise
        return Made(word=f"attempt {ctx.attempt}")

    async with process(settings, urls, dear, workers=1, concurrency=1) as (services, (worker,)):
        job_id = await add(services, user_id, dear)
        await took.wait()
        beat, worker._beat_forever = worker._loops[1], None  # type: ignore[assignment, method-assign]
        beat.cancel()  # the process is cut off, and its handler does not know
        async with database.service_connection() as connection:
            await connection.execute("UPDATE workers SET expires_at = now() - interval '1 second'")
            await connection.execute(queries.SWEEP_LOST, {"error": "{}", "workers": None})
        worker._last_beat = 0.0
        go_on.set()
        await until(lambda: checked == ["lost"])
        other = Worker(services, concurrency=1)
        await other.start()
        assert await said(services, user_id, job_id) == ["started", "retrying", "started", "succeeded"]
        await other.stop()
