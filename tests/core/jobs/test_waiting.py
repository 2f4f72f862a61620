"""Jobs that wait: for their time, for their turn, and how many may."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from uuid import UUID

import pytest

from tests.core.jobs.queue import Queue
from yeoul.core.jobs import queries
from yeoul.core.runtime.services import DatabaseUrls

PAST, SOON, FAR = "2020-01-01T00:00:00Z", "9998-01-01T00:00:00Z", "9999-12-31T23:59:59Z"


def overdue(queue: Queue, owner: UUID, count: int, *, priority: int = 5) -> list[UUID]:
    """Jobs whose time has come since they were submitted, the first one longest ago."""
    ids = [queue.submit(owner, priority=priority, run_at=SOON) for _ in range(count)]
    for n, job_id in enumerate(ids):
        queue.service.execute(
            "UPDATE jobs SET run_at = now() - make_interval(mins => %s) WHERE id = %s", [count - n, job_id]
        )
    return [job_id for job_id in ids if job_id is not None]


@pytest.mark.parametrize("run_at", [None, PAST, "-infinity", "4713-01-01 BC"])
def test_a_time_that_has_passed_is_now(queue: Queue, run_at: str | None) -> None:
    """And is not kept, however far back: a client could not read it."""
    job_id = queue.submit(queue.user(), run_at=run_at)
    assert job_id is not None
    job = queue.job(job_id)
    assert job["run_at"] == job["created_at"]
    assert [job.id for job in queue.claim(queue.worker())] == [job_id]


def test_a_job_with_a_time_is_not_claimed_before_it(queue: Queue) -> None:
    owner, worker = queue.user(), queue.worker()
    job_id = queue.submit(owner, run_at=SOON)
    assert job_id is not None
    assert queue.ready_due() == 0
    assert queue.claim(worker) == []
    row = queue.service.execute(queries.NEXT_DUE).fetchone()
    assert row is not None
    assert row["extract"] > 0
    queue.service.execute("UPDATE jobs SET run_at = now() WHERE id = %s", [job_id])
    assert queue.ready_due() == 1
    assert [job.id for job in queue.claim(worker)] == [job_id]


def test_what_is_due_queues_behind_what_waits_already(queue: Queue) -> None:
    """By the time it was due, each owner's in order; and it has no arrears either."""
    early, later, worker = queue.user(), queue.user(), queue.worker()
    first = queue.backlog(early, 2)
    due = overdue(queue, early, 3)
    others = overdue(queue, later, 1)
    assert queue.ready_due(2) == 2
    assert queue.ready_due(500) == 2
    order = [job.id for _ in range(6) for job in queue.claim(worker)]
    assert [job_id for job_id in order if job_id not in others] == first + due
    assert order.index(others[0]) <= 2


def test_what_is_due_is_readied_once_by_many(queue: Queue, urls: DatabaseUrls) -> None:
    """Many owners, each with jobs in several priorities: callers lock the same flows in one order."""
    owners = [queue.user() for _ in range(6)]
    ids = [i for owner in owners for priority in (2, 5) for i in overdue(queue, owner, 5, priority=priority)]

    def sweeper(_: int) -> int:
        own = Queue(urls)
        try:
            return sum(own.ready_due(7) for _ in range(10))
        finally:
            own.close()

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(sweeper, range(6))) == len(ids)
    tags = queue.service.execute("SELECT owner_id, priority, fair_at FROM jobs ORDER BY 1, 2, 3").fetchall()
    for one, next_one in pairwise(tags):
        if one["owner_id"] == next_one["owner_id"] and one["priority"] == next_one["priority"]:
            assert next_one["fair_at"] - one["fair_at"] >= 1  # each its own place


def test_a_place_is_counted_over_everybody(queue: Queue) -> None:
    one, two, worker = queue.user(), queue.user(), queue.worker()
    first, second = queue.backlog(one, 2)
    (third,) = queue.backlog(two, 1)
    (urgent,) = queue.backlog(two, 1, priority=9)
    places = {queue.place(one, first), queue.place(one, second), queue.place(two, third), queue.place(two, urgent)}
    assert {place[0] for place in places if place} == {1, 2, 3, 4}
    assert queue.place(two, urgent) == (1, 0.0)
    claimed = [job.id for _ in range(4) for job in queue.claim(worker)]
    assert claimed[0] == urgent
    assert queue.place(one, first) is None  # it runs


def test_a_place_says_how_long_it_takes(queue: Queue) -> None:
    owner = queue.user()
    queue.worker()  # ten slots
    queue.service.execute("INSERT INTO kind_costs (kind, average_seconds) VALUES ('test.echo', 20)")
    ids = queue.backlog(owner, 6)
    assert queue.place(owner, ids[5]) == (6, 10.0)


def test_a_place_is_counted_to_a_hundred(queue: Queue) -> None:
    owner = queue.user()
    ids = queue.backlog(owner, 150)
    places = [queue.place(owner, ids[n]) for n in (98, 99, 149)]
    assert [place[0] for place in places if place] == [99, 100, 100]


def test_what_waits_for_its_time_has_no_place(queue: Queue) -> None:
    owner = queue.user()
    job_id = queue.submit(owner, run_at=FAR)
    assert job_id is not None
    assert queue.place(owner, job_id) is None


def test_so_many_may_wait(queue: Queue) -> None:
    """Per owner; those that run or have ended do not count, those with a time do."""
    owner, other, worker = queue.user(), queue.user(), queue.worker()
    assert queue.submit(owner, max_queued=2) is not None
    assert queue.submit(owner, max_queued=2, run_at=FAR) is not None
    assert queue.submit(owner, max_queued=2) is None
    assert queue.submit(other, max_queued=2) is not None
    queue.claim(worker, 1)
    queue.claim(worker, 1)
    assert queue.submit(owner, max_queued=2) is not None
    assert queue.submit(owner, max_queued=2) is None


def test_a_high_limit_is_counted_by_some_submits(queue: Queue) -> None:
    owner = queue.user()
    queue.backlog(owner, 2000)
    assert queue.submit(owner, max_queued=4000) is not None
    assert None in [queue.submit(owner, max_queued=2000) for _ in range(60)]  # every second one looks


def test_idle_flows_are_forgotten_and_others_kept(queue: Queue) -> None:
    idle, busy, worker = queue.user(), queue.user(), queue.worker()
    queue.backlog(idle, 1)
    queue.backlog(busy, 5)
    for _ in range(4):
        queue.claim(worker)
    queue.service.execute(queries.FORGET_FLOWS)
    flows = queue.service.execute("SELECT owner_id FROM queue_flow").fetchall()
    assert [flow["owner_id"] for flow in flows] == [busy]
    (again,) = queue.backlog(idle, 1)
    assert again in {job.id for _ in range(2) for job in queue.claim(worker)}
