"""The hub: gaps, slow readers, lost rings, lost connections, pruned streams."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.core.runtime.helpers import until
from yeoul.core.base.ids import new_id, new_shared_stream_id
from yeoul.core.db.database import Database
from yeoul.core.db.listen import STREAMS_GREW, Ringer
from yeoul.core.events import hub as hub_module
from yeoul.core.events.hub import BUFFER, BUFFER_CHARS, PAGE, PAGE_CHARS, EventHub, Subscription
from yeoul.core.events.schemas import Event
from yeoul.core.runtime.services import DatabaseUrls


class Log:
    """Writes events as their writers do, without ringing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, stream_id: UUID, *seqs: int, kind: str = "text", data: str = "{}") -> None:
        async with self._database.service_connection() as connection:
            await connection.execute(
                "INSERT INTO events (stream_id, seq, type, data)"
                " SELECT %s, seq, %s, %s::json FROM unnest(%s::int[]) seq",
                [stream_id, kind, data, list(seqs)],
            )

    async def execute(self, statement: str, *arguments: Any) -> None:
        async with self._database.service_connection() as connection:
            await connection.execute(statement.encode(), arguments)


@pytest.fixture
def log(database: Database) -> Log:
    return Log(database)


@pytest.fixture
async def ringer(database: Database) -> AsyncGenerator[Ringer]:
    ringer = Ringer(database)
    yield ringer
    await ringer.stop()


@pytest.fixture
def no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only rings count: nobody looks by the clock."""
    monkeypatch.setattr(hub_module, "LOOK_SECONDS", 3600)


async def take(subscription: Subscription, count: int) -> list[Event]:
    """The next so many events, and no more than are there."""
    events: list[Event] = []
    async with asyncio.timeout(20):
        async for batch in subscription.batches():
            events += batch
            if len(events) >= count:
                break
    return events


def seqs(events: list[Event]) -> list[int | None]:
    return [event.seq for event in events]


async def test_replay_and_live_are_one(no_clock: None, hub: EventHub, log: Log, ringer: Ringer) -> None:
    job = new_id()
    await log.write(job, 1, 2, 3)
    async with hub.subscribe(job, 1) as late, hub.subscribe(job) as early:
        assert seqs(await take(late, 2)) == [2, 3]
        assert seqs(await take(early, 3)) == [1, 2, 3]
        await log.write(job, 4, 5)
        ringer.ring(STREAMS_GREW, [job])
        assert seqs(await take(late, 2)) == [4, 5]
        assert seqs(await take(early, 2)) == [4, 5]


async def test_a_lost_ring_costs_a_second_at_most(hub: EventHub, log: Log) -> None:
    job = new_id()
    async with hub.subscribe(job) as subscription:
        await log.write(job, 1)
        assert seqs(await take(subscription, 1)) == [1]


async def test_it_waits_at_a_gap(no_clock: None, hub: EventHub, log: Log, ringer: Ringer) -> None:
    """What is missing is under way: a later event of a job is never given out before an earlier one."""
    job = new_id()
    await log.write(job, 1, 2, 4, 5)
    async with hub.subscribe(job) as subscription:
        assert seqs(await take(subscription, 2)) == [1, 2]
        await log.write(job, 3)
        ringer.ring(STREAMS_GREW, [job])
        assert seqs(await take(subscription, 3)) == [3, 4, 5]


async def test_it_ends_with_the_job_and_not_with_a_shared_stream(hub: EventHub, log: Log) -> None:
    job, shared = new_id(), new_shared_stream_id()
    for stream in (job, shared):
        await log.write(stream, 1, 3)
        await log.write(stream, 2, kind="succeeded")
    async with hub.subscribe(job) as subscription:
        batches = [seqs(batch) async for batch in subscription.batches()]
        assert [seq for batch in batches for seq in batch] == [1, 2]
        assert subscription.over
    async with hub.subscribe(shared, ends=False) as subscription:
        assert seqs(await take(subscription, 3)) == [1, 2, 3]
        assert not subscription.over


async def test_a_stopping_server_ends_streams_that_are_not_over(no_clock: None, hub: EventHub, log: Log) -> None:
    job = new_id()
    await log.write(job, 1)
    async with hub.subscribe(job) as subscription:
        assert seqs(await take(subscription, 1)) == [1]
        hub.end_all()
        assert [batch async for batch in subscription.batches()] == []
        assert not subscription.over
    async with hub.subscribe(job) as too_soon:
        assert [batch async for batch in too_soon.batches()] == []


async def test_silence_is_told(no_clock: None, hub: EventHub, log: Log) -> None:
    async with hub.subscribe(new_id()) as subscription:
        async for batch in subscription.batches(silence=0.01):
            assert batch == []
            break


async def settled(subscription: Subscription) -> None:
    """Until the hub has stopped reading for a subscription that nobody reads."""
    await until(lambda: not subscription.wants_more)
    await asyncio.sleep(0.05)  # had it not stopped, it would go on now


async def test_a_slow_reader_costs_little_and_loses_nothing(hub: EventHub, log: Log) -> None:
    job = new_id()
    await log.write(job, *range(1, 5001))
    async with hub.subscribe(job) as subscription:
        await settled(subscription)
        assert len(subscription._buffer) <= BUFFER + PAGE
        assert seqs(await take(subscription, 5000)) == list(range(1, 5001))


async def test_a_slow_reader_of_large_events_costs_little(hub: EventHub, log: Log) -> None:
    job, size = new_id(), 200_000
    await log.write(job, *range(1, 41), data=f'"{"x" * (size - 2)}"')
    async with hub.subscribe(job) as subscription:
        await settled(subscription)
        assert len(subscription._buffer) <= (BUFFER_CHARS + PAGE_CHARS) // size + 2
        assert seqs(await take(subscription, 40)) == list(range(1, 41))


async def test_a_slow_reader_does_not_hold_up_a_quick_one(hub: EventHub, log: Log) -> None:
    job = new_id()
    await log.write(job, *range(1, 3001))
    async with hub.subscribe(job) as slow, hub.subscribe(job) as quick:
        await settled(slow)
        assert len(await take(quick, 3000)) == 3000
        assert len(await take(slow, 3000)) == 3000


async def test_who_is_overtaken_by_pruning_is_told(no_clock: None, hub: EventHub, log: Log, ringer: Ringer) -> None:
    """Of a shared stream only the newest are kept: a reader that is further behind goes on from there, and knows."""
    shared = new_shared_stream_id()
    await log.write(shared, 1, 2)
    async with hub.subscribe(shared, ends=False) as subscription:
        assert seqs(await take(subscription, 2)) == [1, 2]
        await log.write(shared, 6, 7)  # 3 to 5 came and went
        ringer.ring(STREAMS_GREW, [shared])
        events = await take(subscription, 3)
    assert [(event.seq, event.type) for event in events] == [(None, "reset"), (6, "text"), (7, "text")]


async def test_it_survives_a_database_that_goes(urls: DatabaseUrls, hub: EventHub, log: Log) -> None:
    job = new_id()
    await log.write(job, 1)
    async with hub.subscribe(job) as subscription:
        assert seqs(await take(subscription, 1)) == [1]
        with psycopg.connect(urls.admin or "", autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        with psycopg.connect(urls.service, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO yeoul.events (stream_id, seq, type, data) VALUES (%s, 2, 'text', '{}')", [job]
            )
        assert seqs(await take(subscription, 1)) == [2]


async def test_it_survives_a_subscription_that_breaks(
    no_clock: None, hub: EventHub, log: Log, ringer: Ringer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in serving one stream must not silence all."""
    monkeypatch.setattr(hub_module, "LOOK_SECONDS", 0.02)
    good, bad = new_id(), new_id()
    await log.write(good, 1)
    await log.write(bad, 1)
    async with hub.subscribe(bad) as broken:
        monkeypatch.setattr(broken, "put", lambda rows: 1 // 0)
        async with hub.subscribe(good) as subscription:
            ringer.ring(STREAMS_GREW, [bad])
            await asyncio.sleep(0.05)
            await log.write(good, 2)
            monkeypatch.undo()
            ringer.ring(STREAMS_GREW, [good])
            assert seqs(await take(subscription, 2))[-1:] == [2]


async def test_nothing_is_kept_of_streams_nobody_follows(hub: EventHub) -> None:
    for _ in range(10):
        async with hub.subscribe(new_id()):
            pass
    assert hub._subscriptions == {}
    assert hub._woken == {}
