"""The event log's partitions: made ahead, by whoever comes first, closed to everybody who asks for one by name."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from yeoul.core.base.ids import new_id, new_shared_stream_id
from yeoul.core.runtime.services import DatabaseUrls

Day = timedelta(days=1)


def id_of(moment: datetime) -> UUID:
    """A uuid7 made then."""
    tail = new_id().int & ((1 << 80) - 1)
    return UUID(int=int(moment.timestamp() * 1000) << 80 | tail)


def write(urls: DatabaseUrls, stream_id: UUID) -> str:
    """Writes an event, and says which partition took it."""
    with psycopg.connect(urls.service, autocommit=True) as connection:
        row = connection.execute(
            "INSERT INTO yeoul.events (stream_id, seq, type, data) VALUES (%s, 1, 'text', '{}')"
            " RETURNING tableoid::regclass::text",
            [stream_id],
        ).fetchone()
    assert row is not None
    return str(row[0]).removeprefix("yeoul.")


def ensure(urls: DatabaseUrls, days: int) -> int:
    with psycopg.connect(urls.service, autocommit=True) as connection:
        row = connection.execute("SELECT yeoul.ensure_event_partitions(%s)", [days]).fetchone()
    assert row is not None
    return int(row[0])


def test_events_fall_into_the_partition_of_their_stream(urls: DatabaseUrls) -> None:
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    assert write(urls, new_id()) == f"events_{now:%Y%m%d}"
    assert write(urls, id_of(midnight + Day)) == f"events_{now + Day:%Y%m%d}"
    assert write(urls, id_of(midnight + Day - timedelta(milliseconds=1))) == f"events_{now:%Y%m%d}"
    assert write(urls, id_of(midnight + 2 * Day)) == f"events_{now + 2 * Day:%Y%m%d}"
    assert write(urls, new_shared_stream_id()) == "events_shared"
    with psycopg.connect(urls.admin or "") as connection:
        assert connection.execute("SELECT count(*) FROM yeoul.events_default").fetchone() == (0,)


def test_making_them_is_safe_at_once_and_again(urls: DatabaseUrls) -> None:
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda _: ensure(urls, 9), range(6)))
    assert sorted(made) == [0, 0, 0, 0, 0, 7]
    assert ensure(urls, 9) == 0


def test_a_day_that_came_before_its_partition_is_left_where_it_is(urls: DatabaseUrls) -> None:
    """A process with a fast clock, or nobody for some days: those events stay in the default partition, readable."""
    early = id_of(datetime.now(UTC) + 4 * Day)
    assert write(urls, early) == "events_default"
    assert ensure(urls, 5) == 2  # the days 3 and 5
    assert write(urls, id_of(datetime.now(UTC) + 4 * Day)) == "events_default"
    assert write(urls, id_of(datetime.now(UTC) + 5 * Day)) != "events_default"
    with psycopg.connect(urls.service) as connection:
        assert connection.execute("SELECT seq FROM yeoul.events WHERE stream_id = %s", [early]).fetchall() == [(1,)]


def test_no_login_reads_or_writes_a_partition_by_name(urls: DatabaseUrls) -> None:
    ensure(urls, 4)
    with psycopg.connect(urls.admin or "") as connection:
        partitions = connection.execute(
            "SELECT relname, relrowsecurity AND relforcerowsecurity FROM pg_class"
            " WHERE relispartition AND relkind = 'r' AND relnamespace = 'yeoul'::regnamespace"
        ).fetchall()
    assert len(partitions) == 5 + 2
    assert all(forced for _, forced in partitions)
    for url in (urls.app, urls.service):
        for name, _ in partitions:
            with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT FROM yeoul.{name}".encode())
