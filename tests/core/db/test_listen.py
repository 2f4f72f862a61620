"""LISTEN and NOTIFY: rings that are lost, too long, nonsense, or fall into a broken connection."""

import asyncio
from collections.abc import AsyncGenerator, MutableMapping
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from yeoul.core.db.database import Database
from yeoul.core.db.listen import STREAMS_GREW, ListenHub, Ringer, _payloads
from yeoul.core.runtime.services import DatabaseUrls


class Heard:
    """A listener that can be waited for."""

    def __init__(self) -> None:
        self.rings: asyncio.Queue[list[UUID]] = asyncio.Queue()

    async def next(self) -> list[UUID]:
        async with asyncio.timeout(10):
            return await self.rings.get()


@pytest.fixture
async def heard(database: Database) -> AsyncGenerator[Heard]:
    """What a listening process hears of streams; the ring at its start is off the queue."""
    heard = Heard()
    hub = ListenHub(database)
    hub.on(STREAMS_GREW, heard.rings.put_nowait)
    await hub.start()
    assert await heard.next() == []
    yield heard
    await hub.stop()


def notify(urls: DatabaseUrls, payload: str) -> None:
    with psycopg.connect(urls.app, autocommit=True) as connection:
        connection.execute("SELECT pg_notify(%s, %s)", [STREAMS_GREW, payload])


async def test_a_broken_connection_is_made_again_and_everybody_told(urls: DatabaseUrls, heard: Heard) -> None:
    with psycopg.connect(urls.admin or "", autocommit=True) as connection:
        broken = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'yeoul listen' AND datname = current_database()"
        ).fetchall()
    assert broken == [(True,)]
    assert await heard.next() == []
    stream = uuid4()
    notify(urls, str(stream))
    assert await heard.next() == [stream]


async def test_an_outage_is_told_once(database: Database) -> None:
    heard, hub = Heard(), ListenHub(database)
    hub.on(STREAMS_GREW, heard.rings.put_nowait)
    there, database.service_url = database.service_url, "postgresql://nobody@/nothing?host=/nowhere"
    third = asyncio.Event()

    def count(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if len(lines) == 2:
            third.set()
        return event

    with capture_logs(processors=[count]) as lines:
        starting = asyncio.create_task(hub.start())
        await asyncio.wait_for(third.wait(), 10)
        database.service_url = there
        await starting
        assert await heard.next() == []
    await hub.stop()
    assert [line["log_level"] for line in lines] == ["warning", *["debug"] * (len(lines) - 2), "info"]


async def test_nonsense_does_not_end_the_listening(urls: DatabaseUrls, heard: Heard) -> None:
    """Any login may ring."""
    stream = uuid4()
    for payload in ("nonsense", "a" * 36, "None", f"nonsense,{stream}"):
        notify(urls, payload)
    assert await heard.next() == [stream]


async def test_a_failing_listener_does_not_end_the_listening(urls: DatabaseUrls, database: Database) -> None:
    heard, hub = Heard(), ListenHub(database)
    hub.on(STREAMS_GREW, lambda ids: 1 // 0)  # type: ignore[arg-type]
    hub.on(STREAMS_GREW, heard.rings.put_nowait)
    await hub.start()
    assert await heard.next() == []
    stream = uuid4()
    notify(urls, str(stream))
    assert await heard.next() == [stream]
    await hub.stop()


async def test_rings_are_coalesced(database: Database, heard: Heard) -> None:
    """What is rung while a NOTIFY is under way goes with the next, once: 3,000 rings of 1,000 streams, few payloads."""
    ringer = Ringer(database)
    streams = [uuid4() for _ in range(1000)]
    for _ in range(3):
        for stream in streams:
            ringer.ring(STREAMS_GREW, [stream])
    await ringer.stop()
    payloads: list[list[UUID]] = []
    while sum(map(len, payloads)) < len(streams):
        payloads.append(await heard.next())
    assert [stream for payload in payloads for stream in payload] == streams
    assert len(payloads) == 5  # 213 ids of 36 characters in 7,900 bytes
    assert heard.rings.empty()


async def test_a_ring_without_ids_means_look_at_everything(database: Database, heard: Heard) -> None:
    ringer = Ringer(database)
    ringer.ring(STREAMS_GREW)
    await ringer.stop()
    assert await heard.next() == []


async def test_a_ring_without_a_database_is_dropped_and_the_next_one_sent(database: Database, heard: Heard) -> None:
    ringer = Ringer(database)
    there, ringer._line._url = ringer._line._url, "postgresql://nobody@/nothing?host=/nowhere"
    ringer.ring(STREAMS_GREW, [uuid4()])
    assert ringer._task is not None
    await ringer._task
    ringer._line._url = there
    stream = uuid4()
    ringer.ring(STREAMS_GREW, [stream])
    await ringer.stop()
    assert await heard.next() == [stream]


@given(st.lists(st.text(st.characters(categories=["Ll", "Nd"], max_codepoint=127), min_size=1, max_size=300)))
def test_payloads_are_short_enough_and_lose_nothing(ids: list[str]) -> None:
    payloads = list(_payloads(ids))
    assert all(len(payload.encode()) < 8000 for payload in payloads)
    assert [i for payload in payloads for i in payload.split(",") if i] == ids
