"""What is forgotten and what never is: retention in SQL, over whatever the jobs are like."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.jobs.queue import Queue
from yeoul.core.base.ids import new_id
from yeoul.core.runtime.services import DatabaseUrls

DAY = timedelta(days=1)
STATUSES = ("queued", "running", "succeeded", "failed", "canceled")


@pytest.fixture
def queue(urls: DatabaseUrls) -> Generator[Queue]:
    queue = Queue(urls)
    yield queue
    queue.close()


def id_of(moment: datetime) -> UUID:
    """A uuid7 made then."""
    return UUID(int=int(moment.timestamp() * 1000) << 80 | new_id().int & ((1 << 80) - 1))


def partition(urls: DatabaseUrls, day: datetime) -> str:
    """Makes the day's partition of the event log, as the server did then."""
    name = f"events_{day:%Y%m%d}"
    with psycopg.connect(urls.admin or "", autocommit=True) as connection:
        connection.execute("SET ROLE yeoul_owner")
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS yeoul.{name} PARTITION OF yeoul.events FOR VALUES"
            f" FROM ('{floor(day)}') TO ('{floor(day + DAY)}')".encode()
        )
        connection.execute(f"ALTER TABLE yeoul.{name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY".encode())
    return name


def floor(day: datetime) -> UUID:
    midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
    return UUID(int=int(midnight.timestamp() * 1000) << 80)


def job(
    queue: Queue, owner: UUID, *, age: float, ended: float | None = None, status: str = "succeeded",
    retry_of: UUID | None = None,
) -> UUID:  # fmt: skip
    """A job made ``age`` days ago that ended ``ended`` days ago, with two events."""
    now = datetime.now(UTC)
    made = id_of(now - age * DAY)
    over = status in {"succeeded", "failed", "canceled"}
    queue.service.execute(
        "INSERT INTO jobs (id, owner_id, kind, status, input, max_attempts, root_id, retry_of, worker_id, created_at,"
        " finished_at) VALUES (%s, %s, 'test.echo', %s, '{}', 3, %s, %s, %s, %s, %s)",
        [
            made, owner, status, retry_of or made, retry_of, new_id() if status == "running" else None,
            now - age * DAY, now - (age if ended is None else ended) * DAY if over else None,
        ],
    )  # fmt: skip
    queue.service.execute(
        "INSERT INTO events (stream_id, seq, type, data) VALUES (%s, 1, 'started', '{}'), (%s, 2, 'text', '{}')",
        [made, made],
    )
    return made


def prune(queue: Queue, days: float, limit: int = 1000, owner: UUID | None = None, but: UUID | None = None) -> int:
    row = queue.service.execute(
        "SELECT prune_jobs(now() - %s, %s, %s, %s) AS n", [days * DAY, limit, owner, but or new_id()]
    ).fetchone()
    assert row is not None
    return int(row["n"])


def drop(queue: Queue, days: float) -> list[str]:
    dropped = []
    while row := queue.service.execute("SELECT drop_event_partition(now() - %s) AS name", [days * DAY]).fetchone():
        if row["name"] is None:
            break
        dropped.append(row["name"])
    return dropped


def left(queue: Queue) -> set[UUID]:
    return {row["id"] for row in queue.service.execute("SELECT id FROM jobs").fetchall()}


def told(queue: Queue) -> dict[UUID, int]:
    """How many events there are of each job, orphans too."""
    rows = queue.service.execute(
        "SELECT stream_id, count(*) AS n FROM events WHERE stream_id < %s GROUP BY 1", [UUID(int=0xF << 124)]
    ).fetchall()
    return {row["stream_id"]: row["n"] for row in rows}


def test_old_jobs_go_with_their_events_and_others_stay(queue: Queue) -> None:
    owner = queue.user()
    old = job(queue, owner, age=31)
    long = job(queue, owner, age=31, ended=29)
    young = job(queue, owner, age=29)
    waits = job(queue, owner, age=400, status="queued")
    runs = job(queue, owner, age=400, status="running")
    assert prune(queue, 30) == 1
    assert left(queue) == {long, young, waits, runs} == set(told(queue))
    assert old not in left(queue)
    assert prune(queue, 30) == 0


def test_batches(queue: Queue) -> None:
    owner = queue.user()
    made = [job(queue, owner, age=40 - n / 10) for n in range(7)]
    assert [prune(queue, 30, limit=3) for _ in range(4)] == [3, 3, 1, 0]
    assert not left(queue) & set(made)


def test_one_owners_alone_and_everybody_elses(queue: Queue) -> None:
    one, other = queue.user(), queue.user()
    first, second = job(queue, one, age=40), job(queue, other, age=40)
    assert prune(queue, 30, owner=one) == 1
    assert left(queue) == {second}
    third = job(queue, one, age=40)
    assert prune(queue, 30, but=one) == 1
    assert left(queue) == {third}
    assert first not in left(queue)


def test_what_a_waiting_retry_may_reuse_is_kept(queue: Queue) -> None:
    owner = queue.user()
    root = job(queue, owner, age=40, status="failed")
    queue.service.execute(
        "INSERT INTO steps (root_id, name, job_id, owner_id, output, seq_end) VALUES (%s, 'one', %s, %s, '1', 2)",
        [root, root, owner],
    )
    again = job(queue, owner, age=0, status="queued", retry_of=root)
    assert prune(queue, 30) == 0
    queue.cancel(owner, again)
    assert prune(queue, 30) == 1
    assert left(queue) == {again}
    assert queue.job(again)["retry_of"] is None
    assert queue.service.execute("SELECT 1 FROM steps").fetchall() == []


def test_a_whole_day_is_dropped_only_when_nobody_needs_it(queue: Queue, urls: DatabaseUrls) -> None:
    owner, now = queue.user(), datetime.now(UTC)
    days = {age: partition(urls, now - age * DAY) for age in (50, 45, 40, 5)}
    kept = job(queue, owner, age=50)
    waits = job(queue, owner, age=45, status="queued")
    job(queue, owner, age=45)
    late = job(queue, owner, age=40, ended=3)
    young = job(queue, owner, age=5)
    assert drop(queue, 30) == [days[50]]
    assert kept in left(queue)  # the job stays, its events are gone
    assert kept not in told(queue)
    assert {waits, late, young} <= set(told(queue))
    queue.cancel(owner, waits)
    assert drop(queue, 30) == []  # it has only just ended


def test_todays_partition_is_never_dropped(queue: Queue) -> None:
    assert drop(queue, 0) == []


def test_a_drop_waits_for_no_reader(queue: Queue, urls: DatabaseUrls) -> None:
    """Whoever waits for the log's lock has everybody wait behind them: it gives up after two seconds."""
    partition(urls, datetime.now(UTC) - 50 * DAY)
    with psycopg.connect(urls.service) as reader:
        reader.execute("SELECT count(*) FROM yeoul.events")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            drop(queue, 30)
    assert len(drop(queue, 30)) == 1


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[float, float, str, int | None]]:
    """(age, ended, status, index of the job it retries) of some jobs, in the order they were made."""
    ages = sorted(draw(st.lists(st.floats(0, 60), min_size=1, max_size=8)), reverse=True)
    made: list[tuple[float, float, str, int | None]] = []
    for n, age in enumerate(ages):
        earlier = [i for i in range(n) if made[i][2] in {"failed", "canceled", "succeeded"}]
        made.append(
            (
                age,
                age * draw(st.floats(0, 1)),
                draw(st.sampled_from(STATUSES)),
                draw(st.sampled_from([None, *earlier])),
            )
        )
    return made


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories(), jobs_days=st.floats(1, 50), events_days=st.floats(1, 50))
def test_nothing_unfinished_or_young_is_ever_lost(
    queue: Queue, urls: DatabaseUrls, history: list[tuple[float, float, str, int | None]], jobs_days: float,
    events_days: float,
) -> None:  # fmt: skip
    queue.service.execute("DELETE FROM jobs")
    queue.service.execute("DELETE FROM events")
    owner, now = queue.user(), datetime.now(UTC)
    events_days = min(events_days, jobs_days)
    made: list[UUID] = []
    for age, ended, status, of in history:
        if age > 1:
            partition(urls, now - age * DAY)
        made.append(job(queue, owner, age=age, ended=ended, status=status, retry_of=None if of is None else made[of]))
    drop(queue, events_days)
    prune(queue, jobs_days)
    jobs, events = left(queue), told(queue)
    for job_id, (_, ended, status, _) in zip(made, history, strict=True):
        unfinished = status in {"queued", "running"}
        if unfinished or ended < jobs_days - 0.01:
            assert job_id in jobs
        if unfinished or ended < events_days - 0.01:
            assert events[job_id] == 2
    assert set(events) <= jobs  # no orphans
