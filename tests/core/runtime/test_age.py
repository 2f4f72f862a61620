"""After a restore nothing of the lost time is mistaken for now: no cursor, no epoch, no session."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.core.jobs.queue import Queue
from yeoul.core.base.ids import new_id
from yeoul.core.db.database import Database, driver_url
from yeoul.core.db.listen import ListenHub
from yeoul.core.events.hub import EventHub
from yeoul.core.events.schemas import AGE_BITS
from yeoul.core.jobs import service
from yeoul.core.runtime import age
from yeoul.core.runtime.services import DatabaseUrls

AT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def queue(urls: DatabaseUrls) -> Generator[Queue]:
    queue = Queue(urls)
    yield queue
    queue.close()


@pytest.fixture
async def hub(database: Database) -> AsyncGenerator[EventHub]:
    hub = EventHub(database, ListenHub(database))
    await hub.start()
    yield hub
    await hub.stop()


def begin(urls: DatabaseUrls) -> None:
    assert urls.admin is not None
    with psycopg.connect(driver_url(urls.admin), options="-c search_path=yeoul") as connection:
        age.begin(connection, AT)


async def read(
    database: Database, hub: EventHub, owner: UUID, job_id: UUID, after: int, last: int
) -> list[tuple[int | None, str]]:
    """(seq, type) of what a client with this cursor gets, up to the log's last."""
    async with database.as_user(owner) as session:
        watch = await service.watch(session, hub, job_id, after)
    got = [(event.seq, event.type) for event in watch.before if event.type == "reset"]
    async with asyncio.timeout(10), watch.subscription:
        async for batch in watch.subscription.batches():
            got += [(event.seq, event.type) for event in batch]
            if got[-1][0] == last:
                break
    return got


def seqs(events: list[tuple[int, str, Any]]) -> list[int]:
    return [seq for seq, _, _ in events]


async def test_cursors_of_the_lost_time(queue: Queue, urls: DatabaseUrls, database: Database, hub: EventHub) -> None:
    """Even where new events take the place of those that are lost: the client is told to forget, and gets it all."""
    owner = queue.user()
    job_id = queue.submit(owner)
    assert job_id is not None
    (job,) = queue.claim(queue.worker())
    for seq in (2, 3):
        assert queue.say(job, seq)
    assert queue.say(job, 4, "step", '{"name":"one","status":"finished"}', step="one")
    begin(urls)
    after = queue.events(job_id)
    base = after[0][0] - 1
    assert base % (1 << AGE_BITS) == 0
    assert abs((base >> AGE_BITS) - datetime.now(UTC).timestamp()) < 60
    assert seqs(after) == list(range(base + 1, base + 7))
    assert [kind for _, kind, _ in after] == ["started", "text", "text", "step", "restored", "retrying"]
    assert after[4][2] == {"backup_at": AT.isoformat()}
    assert after[5][2]["void_after"] == base + 4, "the text of a finished step stands"
    (again,) = queue.claim(queue.worker())
    last = base + 30
    for seq in range(again.last_seq + 1, last + 1):
        assert queue.say(again, seq)
    whole = [(seq, kind) for seq, kind, _ in queue.events(job_id)]
    for cursor in (1, 3, 4, 9, 40):  # those of the backup, and of the time that was lost
        assert await read(database, hub, owner, job_id, cursor, last) == [(None, "reset"), *whole]
    assert await read(database, hub, owner, job_id, 0, last) == whole
    assert await read(database, hub, owner, job_id, base + 4, last) == whole[4:]


async def test_a_job_that_had_said_nothing(queue: Queue, urls: DatabaseUrls, database: Database, hub: EventHub) -> None:
    owner = queue.user()
    job_id = queue.submit(owner)
    assert job_id is not None
    begin(urls)
    ((first, kind, _),) = queue.events(job_id)
    assert kind == "restored"
    assert await read(database, hub, owner, job_id, 5, first) == [
        (None, "reset"),
        (None, "queued"),
        (first, "restored"),
    ]


async def test_a_second_restore_of_the_same_backup(queue: Queue, urls: DatabaseUrls) -> None:
    """Its age is another one, so that cursors of the first restore's time are known too."""
    owner = queue.user()
    job_id = queue.submit(owner)
    assert job_id is not None
    begin(urls)
    first = seqs(queue.events(job_id))
    begin(urls)
    second = seqs(queue.events(job_id))
    assert second[0] > first[-1] + (1 << AGE_BITS) // 2
    assert len(second) == 2


def test_jobs_that_had_ended_are_as_they_were(queue: Queue, urls: DatabaseUrls) -> None:
    owner = queue.user()
    job_id = queue.submit(owner)
    assert job_id is not None
    (job,) = queue.claim(queue.worker())
    queue.say(job, 2)
    queue.finish(job)
    before, row = queue.events(job_id), queue.job(job_id)
    begin(urls)
    assert queue.events(job_id) == before
    assert queue.job(job_id) == row


def test_the_stream_of_all_jobs(queue: Queue, urls: DatabaseUrls) -> None:
    owner = queue.user()
    queue.submit(owner)
    before = seqs(queue.user_events(owner))
    begin(urls)
    assert queue.user_events(owner) == []
    queue.submit(owner)
    (after,) = seqs(queue.user_events(owner))
    assert after > before[-1] + (1 << AGE_BITS) // 2


def test_workers_of_the_lost_time(queue: Queue, urls: DatabaseUrls) -> None:
    """One claimed the job again in the time that was lost, and holds the very next epoch."""
    owner = queue.user()
    job_id = queue.submit(owner)
    assert job_id is not None
    (held,) = queue.claim(queue.worker())
    begin(urls)
    assert (queue.job(job_id)["status"], queue.job(job_id)["attempt"]) == ("queued", 0)
    (again,) = queue.claim(queue.worker())
    assert (again.id, again.attempt) == (job_id, 1)
    assert again.epoch > held.epoch + 1_000_000
    for epoch in (held.epoch, held.epoch + 1, held.epoch + 2):
        ghost = type(held)(held.id, held.owner_id, epoch, 1, 0)
        assert not queue.say(ghost, again.last_seq + 1)
        assert queue.finish(ghost) is None
    assert queue.finish(again) == "succeeded"


def test_a_job_that_was_being_canceled_is_canceled(queue: Queue, urls: DatabaseUrls) -> None:
    owner = queue.user()
    job_id = queue.submit(owner)
    assert job_id is not None
    queue.claim(queue.worker())
    queue.cancel(owner, job_id)
    begin(urls)
    assert queue.job(job_id)["status"] == "canceled"
    assert [kind for _, kind, _ in queue.events(job_id)][-1] == "canceled"


def test_sessions_and_workers_end(queue: Queue, urls: DatabaseUrls) -> None:
    owner = queue.user()
    queue.worker()
    queue.service.execute(
        "INSERT INTO sessions (id, user_id, refresh_hash, expires_at) VALUES (%s, %s, '', now() + interval '1 day')",
        [new_id(), owner],
    )
    begin(urls)
    found = queue.service.execute("SELECT count(*) AS n FROM sessions WHERE revoked_at IS NULL").fetchone()
    assert found == {"n": 0}
    assert queue.service.execute("SELECT count(*) AS n FROM workers").fetchone() == {"n": 0}


def test_many_running_jobs(queue: Queue, urls: DatabaseUrls) -> None:
    """More than one batch."""
    owner = queue.user()
    queue.backlog(owner, 1100)
    assert len(queue.claim(queue.worker(), 1100)) == 1100
    begin(urls)
    row = queue.service.execute("SELECT count(*) AS n FROM jobs WHERE status = 'queued' AND attempt = 0").fetchone()
    assert row == {"n": 1100}
