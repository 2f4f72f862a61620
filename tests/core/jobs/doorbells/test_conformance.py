"""What every doorbell does, whatever carries it."""

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from tests.conftest import add_user, process
from tests.core.jobs.doorbells.conftest import Home, MakeHome, Transport
from tests.core.runtime.helpers import Given, add, echo, until, until_status
from yeoul.core.db.database import Database
from yeoul.core.runtime import worker
from yeoul.core.runtime.context import Context
from yeoul.core.runtime.handlers import handler
from yeoul.core.runtime.services import DatabaseUrls, Services
from yeoul.settings import Settings

MORE_SECONDS = 0.2
"""How long to listen for a ring that must not come; no signal tells of it."""


async def until_rings(*services: Services) -> None:
    """Waits until these processes hear."""

    async def hear() -> bool:
        return all(each.doorbell.trouble is None for each in services)

    await until(hear)


async def test_a_ring_reaches_every_listener_of_every_process(home: MakeHome) -> None:
    async with home() as first, home() as second, home() as third:
        homes = (first, second, third)
        before = [each.heard for each in homes]
        second.bell.ring()
        await asyncio.gather(*(each.until_heard(heard + 1) for each, heard in zip(homes, before, strict=True)))


async def test_a_process_has_several_listeners(transport: Transport, urls: DatabaseUrls) -> None:
    home = Home(transport.address, urls)
    other = asyncio.Event()

    def broken() -> None:
        raise ValueError("a listener's own fault")

    home.bell.on_ring(broken)
    home.bell.on_ring(other.set)
    try:
        await home.start()
        await home.until_connected()
        other.clear()
        heard = home.heard
        home.bell.ring()
        await home.until_heard(heard + 1)
        async with asyncio.timeout(5):
            await other.wait()
    finally:
        await home.stop()


async def test_connecting_counts_as_a_ring(home: MakeHome) -> None:
    async with home() as late:
        await late.until_heard(1)


async def test_rings_at_once_are_one(home: MakeHome) -> None:
    async with home() as hearing, AsyncExitStack() as stack:
        ringing = await stack.enter_async_context(home())
        heard = hearing.heard
        for _ in range(1000):
            ringing.bell.ring()
        await hearing.until_heard(heard + 1)
        await stack.aclose()  # it has sent all it will ever send
        hearing.bell.ring()
        await hearing.until_heard(heard + 2)
        await asyncio.sleep(MORE_SECONDS)
        assert hearing.heard == heard + 2


async def test_another_installation_is_not_heard(home: MakeHome) -> None:
    async with home() as ours:
        async with home(elsewhere=True) as theirs:
            heard, heard_there = ours.heard, theirs.heard
            theirs.bell.ring()
            await theirs.until_heard(heard_there + 1)
        ours.bell.ring()
        await ours.until_heard(heard + 1)
        await asyncio.sleep(MORE_SECONDS)
        assert ours.heard == heard + 1


async def test_the_last_ring_of_a_stopping_process_is_sent(home: MakeHome) -> None:
    async with home() as hearing:
        heard = hearing.heard
        async with home() as leaving:
            leaving.bell.ring()
        await hearing.until_heard(heard + 1)


async def test_ringing_before_the_start_and_after_the_end_does_no_harm(
    home: MakeHome, transport: Transport, urls: DatabaseUrls
) -> None:
    async with home() as hearing:
        early = Home(transport.address, urls)
        heard = hearing.heard
        early.bell.ring()
        await early.start()
        await hearing.until_heard(heard + 1)
        await early.stop()
        early.bell.ring()
        await early.bell.stop()
        never = Home(transport.address, urls)
        await never.stop()


async def test_it_survives_the_death_of_what_carries_it(
    home: MakeHome, transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    with capture_logs() as logs:
        async with home() as ringing, home() as hearing:
            await asyncio.to_thread(transport.kill)
            try:
                await asyncio.gather(ringing.until_lost(), hearing.until_lost())
                heard, began = hearing.heard, time.perf_counter()
                for _ in range(1000):
                    ringing.bell.ring()
                assert time.perf_counter() - began < 0.1
            finally:
                await asyncio.to_thread(transport.start)
            await hearing.until_heard(heard + 1)  # somebody may have rung meanwhile
            await asyncio.gather(ringing.until_connected(), hearing.until_connected())
            heard = hearing.heard
            ringing.bell.ring()
            await hearing.until_heard(heard + 1)
    said = Counter(line["event"] for line in logs if "doorbell" in line["event"])
    if transport.name != "postgres":  # whose connections speak for themselves
        assert list(said.values()) == [2, 2], said  # each process: it is gone, it is back
    assert not [record for record in caplog.records if record.name.startswith(("redis", "aiormq", "aio_pika"))]


async def test_it_wakes_workers_and_priorities_are_strict(
    transport: Transport,
    settings: Settings,
    urls: DatabaseUrls,
    database: Database,
    user_id: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "POLL_SECONDS", 60)  # nothing starts but by the bell
    busy, go_on = asyncio.Event(), asyncio.Event()
    order: list[UUID] = []

    @handler("test.first")
    async def first(_ctx: Context, _given: Given) -> None:
        busy.set()
        await go_on.wait()

    @handler("test.order")
    async def ordered(ctx: Context, _given: Given) -> None:
        order.append(ctx.job_id)

    rung = settings.model_copy(update={"doorbell": transport.address})
    async with (
        process(rung, urls, echo, first, ordered) as (api, _),
        process(rung, urls, echo, first, ordered, workers=1, concurrency=1) as (working, _),
    ):
        await until_rings(api, working)
        await until_status(api, user_id, await add(api, user_id, echo), "succeeded")
        await add(api, user_id, first)
        async with asyncio.timeout(10):
            await busy.wait()
        neighbour = await add_user(database)
        low = [await add(api, user_id, ordered, priority=2) for _ in range(3)]
        fair = await add(api, neighbour, ordered, priority=2)
        high = await add(api, neighbour, ordered, priority=7)
        go_on.set()
        for job_id in low:
            await until_status(api, user_id, job_id, "succeeded")
    assert order == [high, low[0], fair, low[1], low[2]]
