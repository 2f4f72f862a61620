"""How many jobs of one owner, or of one kind, run at a time; weights; and that nothing waits for ever."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.jobs.queue import KIND, Queue
from yeoul.core.runtime.services import DatabaseUrls


def running(queue: Queue, column: str) -> Counter[object]:
    rows = queue.service.execute("SELECT owner_id, kind FROM jobs WHERE status = 'running'")
    return Counter(row[column] for row in rows)


def test_one_owner_leaves_slots_to_others(queue: Queue) -> None:
    """A worker of ten slots: eight are the most one owner gets, at whatever batch."""
    many, one, worker = queue.user(), queue.user(), queue.worker()
    queue.backlog(many, 30)
    assert len(queue.claim(worker, 3, share=0.8)) == 3
    assert len(queue.claim(worker, 7, share=0.8)) == 5
    assert queue.claim(worker, 2, share=0.8) == []
    (job_id,) = queue.backlog(one, 1)
    assert [job.id for job in queue.claim(worker, 2, share=0.8)] == [job_id]


def test_the_share_is_of_all_living_workers(queue: Queue) -> None:
    owner, worker = queue.user(), queue.worker()
    queue.worker()
    queue.worker(lease=-1)
    queue.backlog(owner, 50)
    assert len(queue.claim(worker, 50, share=0.8)) == 16


def test_a_lonely_slot_is_for_everybody(queue: Queue) -> None:
    owner, worker = queue.user(), queue.worker()
    queue.service.execute("UPDATE workers SET concurrency = 1")
    queue.backlog(owner, 2)
    assert len(queue.claim(worker, 1, share=0.1)) == 1
    assert queue.claim(worker, 1, share=0.1) == []


def test_what_ends_makes_room(queue: Queue) -> None:
    owner, worker = queue.user(), queue.worker()
    queue.backlog(owner, 5)
    first, _ = queue.claim(worker, 5, owner_limit=2)
    assert queue.claim(worker, 5, owner_limit=2) == []
    queue.finish(first)
    assert len(queue.claim(worker, 5, owner_limit=2)) == 1


def test_an_owner_at_the_limit_hides_nobody(queue: Queue) -> None:
    """Not even with a backlog longer than what a claim looks at, and in front of everybody by priority."""
    many, one, worker = queue.user(), queue.user(), queue.worker()
    queue.backlog(many, 500, priority=9)
    assert len(queue.claim(worker, 4, owner_limit=4)) == 4
    (job_id,) = queue.backlog(one, 1, priority=0)
    assert [job.id for job in queue.claim(worker, 4, owner_limit=4)] == [job_id]


def test_a_kind_has_its_limit(queue: Queue) -> None:
    worker = queue.worker()
    for _ in range(3):
        queue.backlog(queue.user(), 20, kind="dear", priority=7)
    queue.backlog(queue.user(), 20, kind="cheap")
    kinds = ["dear", "cheap"]
    claimed = [job for _ in range(3) for job in queue.claim(worker, 4, kinds, kind_limits={"dear": 3})]
    assert len(claimed) == 12
    assert running(queue, "kind") == {"dear": 3, "cheap": 9}
    assert queue.claim(worker, 4, ["dear"], kind_limits={"dear": 3}) == []


def test_a_kind_can_be_held_back(queue: Queue) -> None:
    owner, worker = queue.user(), queue.worker()
    queue.backlog(owner, 3)
    assert queue.claim(worker, 3, kind_limits={KIND: 0}) == []
    assert len(queue.claim(worker, 3, kind_limits={"another": 0})) == 3


@pytest.mark.parametrize("limits", [{"owner_limit": 3}, {"kind_limits": {KIND: 3}}], ids=["owner", "kind"])
def test_eight_claimers_never_exceed_a_limit(queue: Queue, urls: DatabaseUrls, limits: dict[str, object]) -> None:
    """They count while others claim and end; the database remembers the most there ever were."""
    owner = queue.user()
    queue.backlog(owner, 120)

    def claimer(number: int) -> tuple[int, int]:
        own, most, done = Queue(urls), 0, 0
        try:
            worker = own.worker()
            for _ in range(400):
                for job in own.claim(worker, 1 + number % 3, **limits):  # type: ignore[arg-type]
                    most = max(most, running(own, "kind").total())
                    done += own.finish(job) == "succeeded"
                if own.service.execute("SELECT FROM jobs WHERE status = 'queued' LIMIT 1").fetchone() is None:
                    break
        finally:
            own.close()
        return most, done

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(claimer, range(8)))
    assert max(most for most, _ in results) <= 3
    assert sum(done for _, done in results) == 120


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2), st.sampled_from([2, 5]), st.integers(1, 40)),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 6),
    st.integers(1, 5),
    st.integers(0, 4),
)
def test_a_claim_takes_all_that_limits_allow(
    queue: Queue, submits: list[tuple[int, int, int, int]], slots: int, owner_limit: int, kind_limit: int
) -> None:
    """Whatever waits and runs: no limit is exceeded, and no slot stays empty while some job may run."""
    queue.service.execute("DELETE FROM jobs")
    users, worker = [queue.user() for _ in range(3)], queue.worker()
    kinds = ["a", "b", "c"]
    for who, kind, priority, count in submits:
        queue.backlog(users[who], count, kind=kinds[kind], priority=priority)
    for _ in range(8):
        taken = queue.claim(worker, slots, kinds, owner_limit=owner_limit, kind_limits={"a": kind_limit})
        by_owner, by_kind = running(queue, "owner_id"), running(queue, "kind")
        assert all(n <= owner_limit for n in by_owner.values())
        assert by_kind["a"] <= kind_limit
        if not taken:
            left = queue.service.execute("SELECT owner_id, kind FROM jobs WHERE status = 'queued'").fetchall()
            assert not [
                row
                for row in left
                if by_owner[row["owner_id"]] < owner_limit and not (row["kind"] == "a" and by_kind["a"] >= kind_limit)
            ]
            break


def test_a_weight_is_a_larger_share(queue: Queue) -> None:
    heavy, light, worker = queue.user(), queue.user(), queue.worker()
    queue.service.execute("UPDATE users SET queue_weight = 3 WHERE id = %s", [heavy])
    queue.backlog(heavy, 60)
    queue.backlog(light, 60)
    claimed = Counter(job.owner_id for _ in range(40) for job in queue.claim(worker))
    assert claimed[heavy] in {29, 30, 31}


def claims_until(queue: Queue, worker: UUID, job_id: UUID, batch: int = 1) -> int:
    for n in range(1, 100):
        if job_id in {job.id for job in queue.claim(worker, batch)}:
            return n
    raise AssertionError("it waits for ever")


@pytest.mark.parametrize(("batch", "most"), [(1, 16), (20, 1)])
def test_the_lowest_priority_does_not_wait_for_ever(queue: Queue, batch: int, most: int) -> None:
    low, high, worker = queue.user(), queue.user(), queue.worker()
    (job_id,) = queue.backlog(low, 1, priority=0)
    queue.backlog(high, 300, priority=9)
    assert claims_until(queue, worker, job_id, batch) <= most


def test_an_overdue_job_respects_the_limit_of_its_owner(queue: Queue) -> None:
    low, high, worker = queue.user(), queue.user(), queue.worker()
    queue.backlog(low, 3, priority=0)
    queue.backlog(high, 300, priority=9)
    for _ in range(100):
        for job in queue.claim(worker, 1, owner_limit=1):
            if job.owner_id == high:
                queue.finish(job)
    assert running(queue, "owner_id")[low] == 1


def claims_of_a_flood_until(queue: Queue, worker: UUID, flood: UUID, job_id: UUID, **limits: object) -> int:
    """Claims one by one; of what is claimed ends only the owner's of the flood, one at a time."""
    for n in range(1, 200):
        for job in queue.claim(worker, 1, **limits):  # type: ignore[arg-type]
            if job.id == job_id:
                return n
            if job.owner_id == flood:
                queue.finish(job)
    raise AssertionError("it waits for ever")


def test_ones_own_flood_does_not_starve_ones_old_jobs(queue: Queue) -> None:
    """At the limit too: the old job takes the place of the one that would be next."""
    owner, worker = queue.user(), queue.worker()
    (job_id,) = queue.backlog(owner, 1, priority=0)
    queue.backlog(owner, 300, priority=7)
    assert len(queue.claim(worker, 2, owner_limit=3)) == 2
    assert claims_of_a_flood_until(queue, worker, owner, job_id, owner_limit=3) <= 16


def test_old_jobs_of_an_owner_at_the_limit_take_nobodys_turn(queue: Queue) -> None:
    full, high, low, worker = queue.user(), queue.user(), queue.user(), queue.worker()
    queue.backlog(full, 20, priority=1)
    assert len(queue.claim(worker, 2, owner_limit=2)) == 2
    (job_id,) = queue.backlog(low, 1, priority=0)
    queue.backlog(high, 300, priority=9)
    assert claims_of_a_flood_until(queue, worker, high, job_id, owner_limit=2) <= 16


def test_an_overdue_job_respects_the_limit_of_its_kind(queue: Queue) -> None:
    """It has its turn while the kind has room, and none after that."""
    low, high, worker = queue.user(), queue.user(), queue.worker()
    queue.backlog(low, 5, kind="dear", priority=0)
    queue.backlog(high, 300, priority=9)
    for _ in range(100):
        for job in queue.claim(worker, 1, ["dear", KIND], kind_limits={"dear": 2}):
            if job.owner_id == high:
                queue.finish(job)
    assert running(queue, "kind")["dear"] == 2


@pytest.mark.parametrize("batch", [1, 8])
def test_a_flood_delays_a_single_job_by_two_rounds(queue: Queue, batch: int) -> None:
    many, one, worker = queue.user(), queue.user(), queue.worker()
    queue.backlog(many, 10_000)
    for _ in range(10):
        for job in queue.claim(worker, batch, share=0.8):
            queue.finish(job)
    (job_id,) = queue.backlog(one, 1)
    assert claims_until(queue, worker, job_id, batch) <= 2


def test_kinds_nobody_here_runs_are_not_read_through(queue: Queue) -> None:
    owner, worker = queue.user(), queue.worker()
    queue.backlog(owner, 5000, kind="elsewhere", priority=9)
    queue.backlog(owner, 3)
    queue.claim(worker)  # reads the catalogue too
    rows = queue.service.execute(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM claim_jobs(%s, 1, ARRAY['test.echo'])", [worker]
    ).fetchone()
    assert rows is not None
    plan = rows["QUERY PLAN"][0]["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 1000  # a look at each would be 5,000
